"""ReplayQueue that were asked for on a page."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from hpsearch.dashboard.replays import MAX_WAITING, ReplayQueue
from hpsearch.worker.replay import StoredTrial
from tests.report import synthetic


def stored(number: int) -> StoredTrial:
    """Return a trial of that number."""
    snapshot = synthetic.synthetic(60)
    return StoredTrial(study=snapshot.study, trial=replace(snapshot.trials[0], number=number), series={})


def test_replays_are_bounded() -> None:
    """Each trial is trained once, one at a time, and no more wait than may."""
    allowed = threading.Event()
    made: list[int] = []

    def make(asked: StoredTrial) -> str:
        assert allowed.wait(20)
        made.append(asked.trial.number)
        return f"page {asked.trial.number}"

    replays = ReplayQueue(make)
    assert [replays.submit(stored(n)) for n in range(MAX_WAITING)] == [True] * MAX_WAITING
    assert replays.submit(stored(0))
    assert not replays.submit(stored(99))
    allowed.set()
    pages = [replays.get("k1", n) for n in range(MAX_WAITING)]
    assert [page.result(20) for page in pages if page is not None] == [
        f"page {n}" for n in range(MAX_WAITING)
    ]
    assert made == list(range(MAX_WAITING))
    assert replays.get("k1", 99) is None


def test_a_replay_that_failed_can_be_tried_again() -> None:
    """What could not be trained is trained when it is asked for again, say after its data came back."""
    outcomes = iter([RuntimeError("no data"), None])

    def make(asked: StoredTrial) -> str:
        if error := next(outcomes):
            raise error
        return "page"

    replays = ReplayQueue(make)
    assert replays.submit(stored(0))
    first = replays.get("k1", 0)
    assert first is not None
    with pytest.raises(RuntimeError, match="no data"):
        first.result(20)
    assert replays.submit(stored(0))
    second = replays.get("k1", 0)
    assert second is not None
    assert second.result(20) == "page"


def test_no_replay_holds_up_the_end() -> None:
    """A server that is asked to stop ends, whatever is trained and whatever waits."""
    program = (
        "import threading\n"
        "from hpsearch.dashboard.replays import ReplayQueue\n"
        "from tests.dashboard.test_replays import stored\n"
        "begun = threading.Event()\n"
        "def make(asked):\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "replays = ReplayQueue(make)\n"
        "assert replays.submit(stored(0)) and replays.submit(stored(1))\n"
        "assert begun.wait(20)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=True).returncode == 0
