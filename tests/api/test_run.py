"""`Study.run` in a script, a thread and a test, to its end and interrupted. `test_notebook_kernel` has notebooks."""

import contextlib
import logging
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import hpsearch
from hpsearch.storage.records import Progress

STORAGE = "sqlite:///runs.db"

LONG = """
import pathlib
import hpsearch

study = hpsearch.create_study(
    name="long",
    data="digits",
    model={"hidden": [128, 128]},
    training={"epochs": 3000, "batch_size": 10},
    search={"learning_rate": hpsearch.Range(1e-3, 1e-2, log=True)},
    sampler={"name": "random"},
    pruning={"diagnosis": False, "rank": "none"},
    trials=2,
    storage="sqlite:///runs.db",
)


def note(progress):
    if progress.epochs > 2:
        pathlib.Path("has-begun").touch()


study.run(workers=1, progress=note)
"""
"""A study that takes hours, and leaves a file once epochs are trained."""


def short_study(name: str = "short", *, trials: int = 2) -> hpsearch.Study:
    """Return a study of short trials."""
    return hpsearch.create_study(
        name=name,
        data="iris",
        model={"hidden": [4]},
        training={"epochs": 1},
        search={"learning_rate": hpsearch.Range(1e-3, 1.0, log=True)},
        trials=trials,
        storage=STORAGE,
    )


def wait_for(path: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return once the file exists; fail after a minute, or if the process ends."""
    for _ in range(600):
        if path.exists():
            return
        assert process is None or process.poll() is None
        time.sleep(0.1)
    pytest.fail(f"{path} was not written")


def check_that_work_was_handed_back() -> None:
    """Check that no trial is held by a worker, and that no worker is registered."""
    study = hpsearch.load_study("long", storage=STORAGE)
    assert (study.progress.running, study.progress.waiting, study.progress.finished) == (0, 1, 0)
    assert study.trials[0].to_dict()["history"][0]["kind"] == "handed_back"


def test_a_script_needs_no_guard() -> None:
    """Workers are programs of their own, so the lines of the caller's script run once."""
    script = Path(__file__).with_name("user_script.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert Path("imported.txt").read_text() == "once\n"


def test_a_study_runs_in_a_thread() -> None:
    """Without the main thread, no signal handler is set, and the study runs to its end."""
    before, study = signal.getsignal(signal.SIGINT), short_study()
    handlers = []
    thread = threading.Thread(
        target=lambda: study.run(progress=lambda _: handlers.append(signal.getsignal(signal.SIGINT)))
    )
    thread.start()
    thread.join()
    assert study.state == "finished"
    assert set(handlers) == {before}


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Without a terminal and a notebook a call is silent; sentences go to the logger `hpsearch`."""
    caplog.set_level(logging.INFO, "hpsearch")
    study = short_study()
    study.edit(trials=3)
    study.run(workers=1)
    assert study.best_params
    study.report("short.html")
    study.confirm(best=1, seeds=2)
    assert capfd.readouterr() == ("", "")
    assert {record.name for record in caplog.records} == {"hpsearch"}
    assert 'Study "short": the budget is 3 trials now (it was 2)' in caplog.messages


IN_A_TERMINAL = """
import sys
import hpsearch

study = hpsearch.create_study(name="shown", data="iris", training={"epochs": 1}, trials=2, storage="sqlite:///runs.db")
study.run(workers=1)
assert "rich" in sys.modules
assert not {"typer", "click", "hpsearch.cli.main"} & set(sys.modules)
study.confirm(best=1, seeds=2)
"""


def test_a_terminal_shows_the_progress() -> None:
    """In a terminal stderr shows the bar of the command line, and how far a confirmation is; Typer is not loaded."""
    Path("shown.py").write_text(IN_A_TERMINAL)
    reader, writer = pty.openpty()
    process = subprocess.Popen([sys.executable, "shown.py"], stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    shown = b""
    with os.fdopen(reader, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # the end, on Linux
        while part := terminal.read(4096):
            shown += part
    assert process.communicate()[0] == b""
    assert process.returncode == 0, shown
    assert b"\x1b[" in shown
    assert b"2 of 2 trials" in shown
    assert b"shown: 2 of 2" in shown


def test_a_finished_study_is_not_run_again() -> None:
    """The same call returns the same study; a larger budget continues it to exactly so many trials."""
    study = short_study().run()
    numbers = [trial.to_dict() for trial in study.trials]
    assert study.run() is study
    assert [trial.to_dict() for trial in study.trials] == numbers
    assert len(study.run(5).trials) == study.progress.finished == 5


def test_an_error_of_the_callback_drains_and_is_raised() -> None:
    """What the caller's own function raises ends the run; the workers hand their trials back."""
    study = short_study(trials=500)

    def fail(progress: Progress) -> None:
        if progress.epochs:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        study.run(workers=1, progress=fail)
    assert study.progress.running == 0


def test_a_paused_study_does_not_run() -> None:
    """The error is that of the command line, with its remedy; the study goes on after `resume`."""
    study = short_study()
    study.pause()
    with pytest.raises(hpsearch.HpsearchError, match='study "short": Paused: 0 of 2 trials finished'):
        study.run()
    study.resume()
    assert study.run().state == "finished"


def test_rounds_return_the_last_study() -> None:
    """With `rounds`, the study is narrowed and its follow-ups run; without a change it ends early."""
    last = short_study(trials=40).run(rounds=2)
    assert last.name in ("short", "short-round-2")
    assert last.state == "finished"


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_hands_back_what_is_in_training(times: int) -> None:
    """One Ctrl-C drains, two stop at once: the call raises KeyboardInterrupt, and no trial stays with a worker."""
    Path("long.py").write_text(LONG)
    process = subprocess.Popen([sys.executable, "long.py"], stderr=subprocess.PIPE)
    wait_for(Path("has-begun"), process)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt: study.run() was stopped" in errors
    check_that_work_was_handed_back()
