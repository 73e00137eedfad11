"""Trainings that were requested on pages."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from hpsearch.dashboard.trainings import MAX_WAITING, Key, TrainingQueue


def key(number: int) -> Key:
    """Return the key of a trial's replay."""
    return "replay", "k1", number


def test_trainings_are_bounded() -> None:
    """Each is trained once, one at a time, in the order of the requests, and the queue has a maximum length."""
    allowed = threading.Event()
    made: list[int] = []

    def make(number: int) -> Callable[[object], str]:
        def train(_: object) -> str:
            assert allowed.wait(20)
            made.append(number)
            return f"page {number}"

        return train

    queue = TrainingQueue()
    assert [queue.submit(key(n), make(n)) for n in range(MAX_WAITING)] == [True] * MAX_WAITING
    assert queue.submit(key(0), make(0))
    assert not queue.submit(key(99), make(99))
    allowed.set()
    found = [queue.get(key(n)) for n in range(MAX_WAITING)]
    assert [one.result.result(20) for one in found if one is not None] == [
        f"page {n}" for n in range(MAX_WAITING)
    ]
    assert made == list(range(MAX_WAITING))
    assert queue.get(key(99)) is None


@pytest.mark.parametrize(("again", "results"), [(False, ["1", "1"]), (True, ["1", "2"])])
def test_a_failed_training_is_tried_again_and_a_finished_one_on_request(
    *, again: bool, results: list[str]
) -> None:
    """What failed is tried again, for example after its data was restored; what has a result, only with `again`."""
    outcomes: Iterator[Exception | str] = iter([RuntimeError("no data"), "1", "2"])

    def make(notify: Callable[[str], None]) -> str:
        notify("1 of 2")
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    queue = TrainingQueue()
    assert queue.submit(key(0), make, again=again)
    first = queue.get(key(0))
    assert first is not None
    with pytest.raises(RuntimeError, match="no data"):
        first.result.result(20)
    assert first.words == "1 of 2"
    for result in results:
        assert queue.submit(key(0), make, again=again)
        training = queue.get(key(0))
        assert training is not None
        assert training.result.result(20) == result


def test_no_training_delays_the_end_of_the_server() -> None:
    """A server that is stopping does not wait for running and queued trainings."""
    program = (
        "import threading\n"
        "from hpsearch.dashboard.trainings import TrainingQueue\n"
        "begun = threading.Event()\n"
        "def make(notify):\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "queue = TrainingQueue()\n"
        "assert queue.submit(('replay', 'k', 0), make) and queue.submit(('replay', 'k', 1), make)\n"
        "assert begun.wait(20)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=True).returncode == 0
