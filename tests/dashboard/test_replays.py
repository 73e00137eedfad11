"""Replays that were requested on a page."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from hpsearch.dashboard.replays import MAX_WAITING, ReplayQueue
from hpsearch.worker.replay import StoredTrial
from tests.report import synthetic


def stored(number: int) -> StoredTrial:
    """Return a stored trial with that number."""
    snapshot = synthetic.synthetic(60)
    return StoredTrial(study=snapshot.study, trial=replace(snapshot.trials[0], number=number), series={})


def test_replays_are_bounded() -> None:
    """Each trial is trained once, one at a time, and the queue has a maximum length."""
    allowed = threading.Event()
    made: list[int] = []

    def make(request: StoredTrial) -> str:
        assert allowed.wait(20)
        made.append(request.trial.number)
        return f"page {request.trial.number}"

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
    """A replay that failed is tried again when it is requested again, for example after its data was restored."""
    outcomes = iter([RuntimeError("no data"), None])

    def make(request: StoredTrial) -> str:
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


def test_no_replay_delays_the_end_of_the_server() -> None:
    """A server that is stopping does not wait for running and queued replays."""
    program = (
        "import threading\n"
        "from hpsearch.dashboard.replays import ReplayQueue\n"
        "from tests.dashboard.test_replays import stored\n"
        "begun = threading.Event()\n"
        "def make(request):\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "replays = ReplayQueue(make)\n"
        "assert replays.submit(stored(0)) and replays.submit(stored(1))\n"
        "assert begun.wait(20)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=True).returncode == 0
