"""Requests to stop, by signal and by the end of the parent."""

import os
import signal
from pathlib import Path

import pytest

from hpsearch.worker.machine import cache_share_bytes, core_count, worker_name
from hpsearch.worker.shutdown import StopNowError, StopRequest


@pytest.fixture
def _handlers() -> object:
    """Put the process's own signal handlers back behind the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("_handlers")
def test_one_signal_drains_and_two_stop(number: signal.Signals) -> None:
    """The first SIGINT or SIGTERM asks to drain; the second ends the worker where it is."""
    stop = StopRequest()
    stop.listen()
    before = stop.is_asked
    os.kill(os.getpid(), number)
    assert (before, stop.is_asked, stop.signal) == (False, True, number)
    with pytest.raises(StopNowError):
        os.kill(os.getpid(), number)


@pytest.mark.usefixtures("_handlers")
def test_a_third_signal_interrupts_no_hand_back() -> None:
    """After the second one, and where nothing may be interrupted, signals are requests and no more."""
    stop = StopRequest()
    stop.listen()
    with stop.undisturbed():
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
    handed_back = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            handed_back.append("all")

    with pytest.raises(StopNowError):
        work()
    assert handed_back == ["all"]


def test_a_worker_whose_parent_is_gone_drains() -> None:
    """A process that is not our parent any more is a request to stop; the one that is, is none."""
    assert not StopRequest(parent=os.getppid()).is_asked
    assert StopRequest(parent=os.getpid()).is_asked


def test_waiting_ends_with_a_request() -> None:
    """A wait is cut short by a request, and says so."""
    stop = StopRequest()
    assert not stop.wait(0.001)
    stop.ask()
    assert stop.wait(60)


def test_the_largest_share_of_a_cache_counts(tmp_path: Path) -> None:
    """One core's share of each cache is its size over the cores that share it; the largest is what matters."""
    for index, size, cores in ((0, "48K", "0"), (2, "1024K", "0-1"), (3, "32M", "0-3,8")):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "size").write_text(f"{size}\n")
        (folder / "shared_cpu_list").write_text(f"{cores}\n")
    assert cache_share_bytes(tmp_path) == 32 * 2**20 // 5
    assert cache_share_bytes(tmp_path / "missing") == 8 * 2**20


def test_a_worker_has_a_name_and_a_core() -> None:
    """The name carries the process's id, and chance, since a container's next process may have the same id."""
    assert f"-{os.getpid()}-" in worker_name()
    assert len({worker_name() for _ in range(8)}) > 1
    assert core_count() >= 1
