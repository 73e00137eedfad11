"""Child processes of training functions: how each of their ends is reported, and that no process is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpsearch.objective.children import (
    ChildObservation,
    Children,
    can_limit_memory,
    memory_of_family,
    trial_seed,
)
from hpsearch.objective.messages import End, Noted, Reported, Returned, Stopped
from hpsearch.objective.trial import Objective, ObjectiveTrial, TrialStopped
from hpsearch.study.spec import Limits, ObjectiveSpec
from hpsearch.trials import Failure
from hpsearch.verdicts import Cause

GIVE_UP_S = 60.0


def children_of(
    folder: Path, function: Objective | None, *, name: str = "__main__:f", limits: Limits | None = None
) -> Children:
    """Return the children that train `function`, in forks, or the one of that name in new processes."""
    objective = ObjectiveSpec(function=name, python_path=(str(folder),))
    return Children(
        objective=objective,
        metric="value",
        seed=3,
        folder=folder,
        limits=limits or Limits(),
        function=function,
    )


def observations(children: Children, numbers: tuple[int, ...] = (0,)) -> Iterator[ChildObservation]:
    """Start the trials, and yield what they send until each has ended."""
    for number in numbers:
        children.join(number, {"x": 2.0})
    deadline = time.monotonic() + GIVE_UP_S
    while children.numbers:
        assert time.monotonic() < deadline
        for one in children.advance(is_interrupted=lambda: False):
            yield one
            if isinstance(one.message, Returned | Stopped | Failure):
                children.leave(one.number)
    children.close()


def end_of(folder: Path, function: Objective, *, limits: Limits | None = None) -> End:
    """Return the end of a trial of `function`."""
    message = list(observations(children_of(folder, function, limits=limits)))[-1].message
    assert isinstance(message, Returned | Stopped | Failure)
    return message


def failure_of(folder: Path, function: Objective, *, limits: Limits | None = None) -> Failure:
    """Return the failure of a trial of `function`."""
    end = end_of(folder, function, limits=limits)
    assert isinstance(end, Failure)
    return end


def test_a_function_reports_and_returns(tmp_path: Path) -> None:
    """Reports, notes and the returned number arrive in order."""

    def train(trial: ObjectiveTrial) -> float:
        trial.report(0, value=0.5, loss=1.0)
        trial.note("seed", trial.seed)
        return float(trial.params["x"]) ** 2

    found = [one.message for one in observations(children_of(tmp_path, train))]
    assert found == [
        Reported(epoch=0, value=0.5, numbers={"loss": 1.0}),
        Noted(name="seed", value=trial_seed(3, 0)),
        Returned(value=4.0),
    ]


def test_several_trials_run_at_once(tmp_path: Path) -> None:
    """Each has its own process, number and seed."""

    def train(trial: ObjectiveTrial) -> float:
        return float(trial.number)

    found = list(observations(children_of(tmp_path, train), (4, 9, 2)))
    assert {one.number: one.message for one in found} == {n: Returned(value=float(n)) for n in (2, 4, 9)}
    assert len({trial_seed(3, number) for number in range(100)}) == 100


def test_a_function_is_imported_by_its_name(tmp_path: Path) -> None:
    """A new process finds the module in the folders of the study, and one without the function fails."""
    (tmp_path / "my_module.py").write_text("def train(trial):\n    return trial.params['x'] + 1\n")
    (found,) = observations(children_of(tmp_path, None, name="my_module:train"))
    assert found.message == Returned(value=3.0)
    (missing,) = observations(children_of(tmp_path, None, name="my_module:trian"))
    assert isinstance(missing.message, Failure)
    assert missing.message.message == 'module my_module has no function "trian"'


def test_an_exception_is_a_failure_with_its_output(tmp_path: Path) -> None:
    """It has the kind, the place, the traceback and the last output."""

    def train(trial: ObjectiveTrial) -> float:
        sys.stdout.write("epoch 0\n")
        raise ValueError("no such width")

    failure = failure_of(tmp_path, train)
    assert failure.words == f"ValueError in test_children.py:{train.__code__.co_firstlineno + 2}"
    assert (failure.cause, failure.message, failure.output) == (Cause.CODE_ERROR, "no such width", "epoch 0")
    assert "child.py" not in failure.traceback


@pytest.mark.parametrize("value", [None, "0.5", (1.0, 2.0)])
def test_a_function_must_return_a_number(tmp_path: Path, value: object) -> None:
    """Anything else is an error of the function."""
    failure = failure_of(tmp_path, lambda _: value)  # type: ignore[arg-type,return-value]
    assert failure.message.startswith("the objective must return a number (got ")


def test_a_process_that_ends_by_itself_fails(tmp_path: Path) -> None:
    """An exit code and a signal are distinguished."""
    exited = failure_of(tmp_path, lambda _: os._exit(3))
    assert (exited.kind, exited.exit_code) == ("exit code 3", 3)

    def crash(trial: ObjectiveTrial) -> float:
        os.kill(os.getpid(), signal.SIGSEGV)
        return 0.0

    crashed = failure_of(tmp_path, crash)
    assert crashed.words == f"SIGSEGV in test_children.py:{crash.__code__.co_firstlineno + 1}"
    assert crashed.signal == signal.SIGSEGV


def test_a_function_may_give_up(tmp_path: Path) -> None:
    """TrialStopped, raised by itself, ends the trial without a failure."""

    def train(trial: ObjectiveTrial) -> float:
        raise TrialStopped

    assert end_of(tmp_path, train) == Stopped()


def test_a_trial_over_its_time_is_stopped(tmp_path: Path) -> None:
    """A function that reports ends by itself, and one that hangs is killed; both are timeouts."""

    def reports(trial: ObjectiveTrial) -> float:
        for epoch in range(10**9):
            trial.report(epoch, value=0.0)
        return 0.0

    def hangs(trial: ObjectiveTrial) -> float:
        signal.pause()
        return 0.0

    for train in (reports, hangs):
        failure = failure_of(tmp_path, train, limits=Limits(trial_seconds=0.2))
        assert (failure.cause, failure.message) == (Cause.TIMEOUT, "it trained for more than 0.2 s")


@pytest.mark.skipif(not can_limit_memory(), reason="needs /proc")
def test_a_trial_that_takes_too_much_memory_is_killed(tmp_path: Path) -> None:
    """Its children count too."""

    def train(trial: ObjectiveTrial) -> float:
        fill = "blocks = []\nwhile True: blocks.append(b'x' * 2**20)"
        subprocess.run([sys.executable, "-c", fill], check=False)
        return 0.0

    used_mb = memory_of_family(os.getpid()) // 2**20
    failure = failure_of(tmp_path, train, limits=Limits(trial_memory_mb=used_mb + 100))
    assert (failure.cause, failure.kind) == (Cause.OUT_OF_MEMORY, "over trial_memory_mb")


def test_nothing_is_left_of_a_trial(tmp_path: Path) -> None:
    """Processes that a function started end with it."""

    def train(trial: ObjectiveTrial) -> float:
        sleeper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        trial.note("process", sleeper.pid)
        return 0.0

    found = [one.message for one in observations(children_of(tmp_path, train))]
    assert isinstance(found[0], Noted)
    deadline = time.monotonic() + GIVE_UP_S
    while is_running(found[0].value):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process_id: int) -> bool:
    """Return True unless the process has ended; one without a waiting parent stays as a zombie."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_checkpoint_is_found_by_the_next_attempt(tmp_path: Path) -> None:
    """A trial that is killed and started again has the folder of its first attempt."""

    def train(trial: ObjectiveTrial) -> float:
        saved = trial.checkpoint_dir / "epoch"
        if saved.exists():
            return float(saved.read_text())
        saved.write_text("5")
        trial.report(0, value=0.0)
        signal.pause()
        return 0.0

    children = children_of(tmp_path, train)
    children.join(0, {})
    while not children.advance(is_interrupted=lambda: False):
        pass
    children.kill(0)
    assert [one.message for one in observations(children)] == [Returned(value=5.0)]
