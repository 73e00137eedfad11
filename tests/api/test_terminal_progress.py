"""The progress of a run: its lines, their frequency, and the speed."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.console import Console

from hpsearch.api.pace import Pace
from hpsearch.api.terminal_progress import Display
from hpsearch.cli.output import write_message
from hpsearch.storage.records import Progress, StoredStudy, Tally
from hpsearch.study.spec import DataSpec, StudySpec
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.worker.shutdown import StopRequest

STUDY = StoredStudy(
    key="k",
    study_id=1,
    spec=StudySpec(name="flowers", data=DataSpec(source="iris"), metric="validation_accuracy"),
    fingerprint="f",
    version="0.1.0",
    created=datetime(2026, 1, 1, tzinfo=UTC),
)


def progress(*, complete: int = 0, epochs: int = 0, running: int = 0) -> Progress:
    """Return the state of a study of 20 trials."""
    fates: Mapping[Fate, Tally] = {Fate.COMPLETE: Tally(trials=complete, epochs=epochs)} if complete else {}
    best = Trial(number=7, state=TrialState.COMPLETE, params={}, value=0.9876) if complete else None
    return Progress(
        name="flowers",
        budget=20,
        complete=complete,
        pruned=0,
        failed=0,
        running=running,
        waiting=0,
        fates=fates,
        ledger={"complete": epochs} if epochs else {},
        epochs=epochs,
        best=best,
    )


def test_the_pace_leaves_out_what_was_there() -> None:
    """Epochs per second and the time left count from the first epoch of this run."""
    pace = Pace()
    before = progress(complete=10, epochs=100)
    for now_s in (50.0, 60.0):
        pace.see(before, now_s)
        assert pace.is_waiting(before)
        assert pace.left_s(before, now_s) is None
    after = progress(complete=15, epochs=150)
    pace.see(after, 70.0)
    assert pace.epochs_per_s(after, 70.0) == pytest.approx(5.0)
    assert pace.left_s(after, 70.0) == pytest.approx(10.0)
    assert not pace.is_waiting(after)


def test_lines_come_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal a line is written every 10 % of the budget, and at the end; notes come at once."""
    notes: list[str] = []
    with Display(STUDY, StopRequest(), notes=notes, write=write_message) as display:
        for complete in (0, 1, 2, 3):
            display.show(progress(complete=complete, epochs=complete, running=0 if complete == 0 else 4))
        notes.append("ann: the worker was killed by signal 9")
        display.show(progress(complete=3, epochs=3, running=4))
        display.show(progress(complete=20, epochs=20))
        display.show(progress(complete=20, epochs=20))
    written = capsys.readouterr()
    assert written.out == ""
    lines = written.err.splitlines()
    assert [line.split(";")[0] for line in lines] == [
        "Starting workers",
        "0 of 20 trials",
        "2 of 20 trials",
        "ann: the worker was killed by signal 9",
        "20 of 20 trials",
    ]
    assert lines[1] == "0 of 20 trials; starting workers"
    assert lines[2].endswith("; complete 2; best val acc 0.988 (trial 7)")


def test_a_request_to_stop_is_answered_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C prints the consequences at once, while the workers still finish."""
    stop = StopRequest()
    with Display(STUDY, stop, write=write_message) as display:
        stop.request()
        # The thread that prints them ends by itself afterwards.
        assert display.watch is not None
        display.watch.join(10)
        assert "finishing; Ctrl-C again to stop at once\n" in capsys.readouterr().err


def test_a_request_to_stop_is_answered_if_the_run_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A drain that is quicker than the thread that prints is announced too."""
    stop = StopRequest()
    with Display(STUDY, stop, write=write_message):
        stop.request()
    assert capsys.readouterr().err.count("finishing; Ctrl-C again to stop at once\n") == 1


def test_a_lowered_budget_is_done() -> None:
    """More finished trials than the budget leave no time and cause no fault."""
    pace = Pace()
    pace.see(progress(complete=1, epochs=1), 0.0)
    lowered = replace(progress(complete=9, epochs=9), budget=5)
    assert lowered.is_done
    assert pace.left_s(lowered, 1.0) == 0.0


@pytest.mark.parametrize("width", [30, 50, 80, 120])
def test_a_narrow_terminal_shows_everything(width: int) -> None:
    """At any width it shows the count, the running trials, the rate, the time left, the fates and the best."""
    console = Console(width=width, color_system=None)
    display = Display(STUDY, StopRequest(), _console=console)
    display.show(progress(complete=1, epochs=1, running=4))
    with console.capture() as captured:
        console.print(display._picture(progress(complete=2, epochs=41, running=4), time.monotonic() + 10))
    shown = " ".join(captured.get().split())
    for fact in (
        "flowers",
        "2 of 20 trials; 4 running, 4.0 epochs/s, 3 min 00 s left",
        "complete 2",
        "best val acc 0.988 (trial 7)",
    ):
        assert fact in shown
