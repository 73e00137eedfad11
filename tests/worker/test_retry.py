"""Retries of calls to an unavailable database: how long, how often, and with which work in between."""

from collections.abc import Callable

import pytest

from hpsearch.errors import StorageError, StorageUnavailableError
from hpsearch.worker.retry import Reconnect
from hpsearch.worker.shutdown import StopRequest

DELETED = StorageUnavailableError("postgresql://node1/d: the server does not answer")


def failing(times: int, log: list[str], *, error: Exception = DELETED) -> Callable[[], str]:
    """Return work that fails `times` times before it succeeds, and records each try."""

    def work() -> str:
        log.append("try")
        if log.count("try") <= times:
            raise error
        return "done"

    return work


def reconnect(said: list[str], stop: StopRequest | None = None, *, longest_s: float = 60.0) -> Reconnect:
    """Return calls that do not wait long between tries."""
    return Reconnect(stop=stop or StopRequest(), notify=said.append, longest_s=longest_s, every_s=0.001)


def test_a_successful_call_is_made_once() -> None:
    """Without a failure there is no message and no work in between."""
    said: list[str] = []
    log: list[str] = []
    assert reconnect(said).call(failing(0, log), between=lambda: log.append("between")) == "done"
    assert (log, said) == (["try"], [])


def test_an_outage_is_reported_once_and_waited_for() -> None:
    """The same call is made until it succeeds, each time after the work in between; it is reported once."""
    said: list[str] = []
    log: list[str] = []
    assert reconnect(said).call(failing(3, log), between=lambda: log.append("between")) == "done"
    assert log == ["try", *["between", "try"] * 3]
    assert said == [str(DELETED)]


def test_the_work_in_between_must_succeed_too() -> None:
    """While it fails, the call itself is not made."""
    log: list[str] = []
    looks: list[str] = []
    look = failing(2, looks)

    def between() -> None:
        look()

    assert reconnect([]).call(failing(1, log), between=between) == "done"
    assert (len(log), len(looks)) == (2, 3)


@pytest.mark.parametrize("error", [StorageError("no rights"), ValueError("a bug")], ids=str)
def test_other_errors_are_not_waited_for(error: Exception) -> None:
    """An error that another try would repeat is raised immediately."""
    log: list[str] = []
    with pytest.raises(type(error)):
        reconnect([]).call(failing(1, log, error=error))
    assert log == ["try"]


def test_retries_have_an_end() -> None:
    """After the longest outage the database's own error is raised."""
    log: list[str] = []
    with pytest.raises(StorageUnavailableError) as caught:
        reconnect([], longest_s=0.0).call(failing(99, log))
    assert caught.value is DELETED
    assert len(log) == 2


def test_a_request_to_stop_leaves_one_last_try() -> None:
    """After a request to stop there is one more try, to store finished work."""
    stop = StopRequest()
    stop.request()
    assert reconnect([], stop).call(failing(1, [])) == "done"
    log: list[str] = []
    with pytest.raises(StorageUnavailableError):
        reconnect([], stop).call(failing(99, log))
    assert len(log) == 2
