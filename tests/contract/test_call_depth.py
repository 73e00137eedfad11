"""The way of a worker's writes to the driver is short."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from sqlalchemy import event

from hpsearch.storage.records import WorkerIdentity
from tests.contract.laboratory import Lab

Labs = Callable[..., Lab]

CALLS_MAX = 4
"""Most functions of ours between a worker and the driver."""

STATEMENTS = {
    "sqlite": {"claim_new": 9, "heartbeat": 5},
    "postgresql": {"claim_new": 5, "heartbeat": 1},
    "mariadb": {"claim_new": 9, "heartbeat": 4},
}
"""Statements of a worker, with the one that begins its transaction."""


def claim_new(lab: Lab) -> None:
    """Claim trials that no worker has claimed yet."""
    lab.claim(3)


def claim_waiting(lab: Lab) -> None:
    """Claim an enqueued trial and one that was handed back."""
    lab.claim(2)


def heartbeat(lab: Lab) -> None:
    """Renew a lease."""
    lab.renew(600.0)


def assign(lab: Lab) -> None:
    """Store parameters."""
    lab.assign(lab.claim(2))


def finish(lab: Lab) -> None:
    """Store the end of a trial, from its claim on."""
    lab.finish(2)


def hand_back(lab: Lab) -> None:
    """Hand back a trial in training."""
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="the worker ends", crashed=False)


def come_and_go(lab: Lab) -> None:
    """Enter and leave the registry."""
    identity = WorkerIdentity(name=lab.worker, host="node7", process_id=1, version="0")
    lab.store.workers.register(identity)
    lab.store.workers.unregister(lab.worker)


def calls_to_driver() -> list[str]:
    """Return the functions of hpsearch that wait for the driver now, outermost first."""
    found: list[str] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals["__name__"]
        if module.startswith("hpsearch.") and frame.f_code.co_name != "_notify_listeners":
            found.append(f"{module}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return found[::-1]


@pytest.mark.parametrize(
    "operation", [claim_new, claim_waiting, heartbeat, assign, finish, hand_back, come_and_go]
)
def test_a_write_reaches_the_driver_in_few_calls(new_lab: Labs, operation: Callable[[Lab], None]) -> None:
    """No write passes through more than four functions between the worker and the driver."""
    lab = new_lab()
    if operation is claim_waiting:
        lab.claim(1)
        hand_back(lab)
        lab.store.queue.enqueue(lab.study, [{"learning_rate": 0.01}])
    elif operation in (heartbeat, hand_back):
        lab.claim(1)
    writes: list[list[str]] = []

    def note(*execution: Any) -> None:
        if str(execution[2]).lstrip().startswith(("INSERT", "UPDATE", "DELETE", "WITH")):
            writes.append(calls_to_driver())

    engine = lab.store._transactions.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        operation(lab)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert writes
    assert max(writes, key=len)[CALLS_MAX:] == [], max(writes, key=len)


@pytest.mark.parametrize("operation", [claim_new, heartbeat])
def test_a_worker_sends_few_statements(new_lab: Labs, dialect: str, operation: Callable[[Lab], None]) -> None:
    """Other workers wait during a claim, and heartbeats are most of what a large fleet sends."""
    lab = new_lab()
    lab.store.workers.register(WorkerIdentity(name=lab.worker, host="node7", process_id=1, version="0"))
    lab.claim(1)
    sent: list[str] = []
    engine = lab.store._transactions.engine

    def note(*execution: Any) -> None:
        sent.append(execution[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        operation(lab)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(sent) == STATEMENTS[dialect][operation.__name__], sent
