"""The child process of one trial: import the training function, run it, and send its end to the worker."""

import contextlib
import ctypes
import faulthandler
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, final

from hpsearch.objective.failures import of_exception
from hpsearch.objective.messages import (
    Acknowledgement,
    ChosenValue,
    EarlyEnd,
    End,
    EndRequest,
    EpochReport,
    FinalValue,
    Note,
    Order,
    ParameterRequest,
    TelemetryUpdate,
)
from hpsearch.objective.trial import Objective, ObjectiveTrial, TrialStopped
from hpsearch.trials import ParameterValue

_PARENT_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""

CHILD_VARIABLE: Final = "HPSEARCH_TRIAL"
"""The environment variable with the number of the trial that the process trains."""


def run_trial(
    connection: Connection, output: Connection, order: Order, parent: int, function: Objective | None
) -> None:
    """Run the trial of `order` in this process, which belongs to it: the target of a new process.

    `function` is the function if it is not imported by name, as in a forked process.
    """
    _isolate(output, parent)
    os.environ[CHILD_VARIABLE] = str(order.number)
    channel = _PipeChannel(connection)
    end = _end_of(order, channel, function)
    sys.stdout.flush()
    sys.stderr.flush()
    channel.send(end)


def load_function(name: str, python_path: Sequence[str]) -> Objective:
    """Return the function `package.module:name`, found also in the folders `python_path`.

    Raises the errors of the module's import, and LookupError or TypeError if it has no such function.
    """
    sys.path[:0] = [folder for folder in python_path if folder not in sys.path]
    module_name, _, path = name.partition(":")
    found: Any = import_module(module_name)
    for part in path.split("."):
        if not hasattr(found, part):
            raise LookupError(f'module {module_name} has no function "{path}"')
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{name} must be a function (got {type(found).__name__})")
    function: Objective = found
    return function


def import_late_modules() -> None:
    """Import what PyTorch imports with its first optimizer, which takes seconds, so that forks of this process have it.

    Do nothing if this process has not imported PyTorch. A failure is left to the trial that needs the module.
    """
    if "torch" in sys.modules:
        with contextlib.suppress(Exception):
            import_module("torch._dynamo")


def _end_of(order: Order, channel: "_PipeChannel", function: Objective | None) -> End:
    """Return the end of the trial: its value, or why it has none."""
    try:
        train = load_function(order.function, order.python_path) if function is None else function
        return FinalValue(value=_number(train(ObjectiveTrial(order, channel))))
    except TrialStopped:
        return EarlyEnd()
    except BaseException as error:  # noqa: BLE001 # a failed trial is a value
        return EarlyEnd() if _is_pruned(error) else of_exception(error)


def _number(value: Any) -> float:
    if isinstance(value, tuple | list) or value is None or isinstance(value, str):
        raise TypeError(f"the objective must return a number (got {value!r:.80})")
    return float(value)


def _is_pruned(error: BaseException) -> bool:
    """Return True for Optuna's TrialPruned, which need not be importable here."""
    return any(
        kind.__name__ == "TrialPruned" and kind.__module__.startswith("optuna.")
        for kind in type(error).__mro__
    )


def _isolate(output: Connection, parent: int) -> None:
    """Make the process its own session, with its output in a pipe; it ends with the process `parent`."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    end_with_parent(parent)
    with contextlib.suppress(
        OSError
    ):  # if memory runs out, the system should end the trial and not the worker
        Path("/proc/self/oom_score_adj").write_text("1000")
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    sys.stdout, sys.stderr = (
        os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)
        for descriptor in (1, 2)
    )
    faulthandler.enable(sys.stderr)


def end_with_parent(parent: int) -> None:
    """Let the system kill this process once the process `parent`, which started it, ends."""
    with contextlib.suppress(AttributeError, OSError):  # no Linux: the listener notices that the parent ended
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


@final
class _PipeChannel:
    """The child's end of the pipe: a thread receives, so that a request to stop arrives at any time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._answers: queue.SimpleQueue[Acknowledgement | ChosenValue] = queue.SimpleQueue()
        self._stop = threading.Event()
        threading.Thread(target=self._receive, name="hpsearch worker", daemon=True).start()

    @property
    def should_stop(self) -> bool:
        return self._stop.is_set()

    def send(self, message: Note | TelemetryUpdate | EpochReport | ParameterRequest | End) -> None:
        with self._sending:
            self._connection.send(message)

    def report(self, message: EpochReport) -> None:
        self.send(message)
        self._answers.get()

    def ask(self, message: ParameterRequest) -> ParameterValue:
        self.send(message)
        answer = self._answers.get()
        if not isinstance(answer, ChosenValue):
            raise TrialStopped("the trial ends before it has its parameters")
        return answer.value

    def _receive(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if isinstance(message, EndRequest):
                    self._stop.set()
                    message = Acknowledgement()  # a child that waits for an answer need not wait longer
                self._answers.put(message)
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)  # the worker is gone, and another one may train the trial already
