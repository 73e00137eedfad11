"""Ctrl-C and crashes: after any faults of its workers, a study ends with its exact budget and the same results."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

TRIALS = 24

LONG = f"""
name = "long"
trials = {TRIALS}
seed = 7
data = {{ source = "digits" }}
training.epochs = 60
sampler.name = "random"
pruning.rank = "none"

[search]
learning_rate = {{ low = 1e-3, high = 10.0, log = true }}
weight_decay = {{ low = 1e-8, high = 1e-1, log = true }}
"model.dropout" = {{ low = 0.0, high = 0.5 }}
"""

Results = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def expected(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> Results:
    """Return the results of one worker, undisturbed."""
    folder = make_folder({"long.toml": LONG})
    ended = folder.run("study", "run", "long.toml", "--workers", "1", "--cohort", "7")
    assert ended.returncode == 0, ended.stderr
    results = folder.results("long")
    assert len(results) == TRIALS
    return results


@pytest.fixture
def folder(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> "Folder":
    """Return a folder with the study file in it, without a run."""
    return make_folder({"long.toml": LONG})


def finish(folder: "Folder") -> Results:
    """Run the study to its end and return its results."""
    ended = folder.run("study", "run", "long.toml", "--workers", "2")
    assert ended.returncode == 0, ended.stderr
    shown = folder.json("study", "show", "long")
    assert (shown["finished"], shown["running"], shown["waiting"]) == (TRIALS, 0, 0)
    assert sum(shown["ledger"].values()) == shown["epochs"]
    return folder.results("long")


def test_two_workers_find_what_one_finds(folder: "Folder", expected: Results) -> None:
    """With a sampler that does not learn, trials get the same values in other cohorts, to the last bit."""
    assert finish(folder) == expected


def test_ctrl_c_hands_back_and_the_study_goes_on(folder: "Folder", expected: Results) -> None:
    """Ctrl-C once ends with 130, leaves nothing running, keeps what is finished; the next run completes the rest."""
    with folder.start("study", "run", "long.toml", "--workers", "2") as process:
        folder.wait_for_trials(process, 4)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr is not None
        said = process.stderr.read()
        assert "finishing; Ctrl-C again to stop at once\n" in said
        assert said.endswith("Stopped. Run the same command again to continue.\n")
    shown = folder.json("study", "show", "long")
    assert shown["running"] == 0
    assert 4 <= shown["finished"] < TRIALS
    kept = [result for result in folder.results("long") if result[1] in ("complete", "pruned")]
    assert kept == [result for result in expected if result[0] in {kept_one[0] for kept_one in kept}]
    assert finish(folder) == expected


def test_ctrl_c_twice_stops_at_once(
    folder: "Folder",
    expected: Results,
    workers_of: Callable[["subprocess.Popen[str]"], list[int]],
    wait_until_gone: Callable[[list[int]], None],
) -> None:
    """Ctrl-C twice ends with 130 and leaves no process and no running trial."""
    with folder.start("study", "run", "long.toml", "--workers", "2") as process:
        folder.wait_for_trials(process, 4)
        workers = workers_of(process)
        assert len(workers) == 2
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    wait_until_gone(workers)
    assert folder.json("study", "show", "long")["running"] == 0
    assert finish(folder) == expected


def test_a_killed_worker_is_replaced(
    folder: "Folder", expected: Results, workers_of: Callable[["subprocess.Popen[str]"], list[int]]
) -> None:
    """A worker that is killed ends neither the command nor the study, and changes no result."""
    with folder.start("study", "run", "long.toml", "--workers", "2") as process:
        folder.wait_for_trials(process, 4)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(60) == 0, said
    assert "was killed by signal 9" in said
    assert folder.results("long") == expected


def test_workers_do_not_outlive_their_run(
    folder: "Folder",
    expected: Results,
    workers_of: Callable[["subprocess.Popen[str]"], list[int]],
    wait_until_gone: Callable[[list[int]], None],
) -> None:
    """If the command itself is killed, its workers hand back their trials and end."""
    with folder.start("study", "run", "long.toml", "--workers", "2") as process:
        folder.wait_for_trials(process, 4)
        workers = workers_of(process)
        process.kill()
    wait_until_gone(workers)
    shown = folder.json("study", "show", "long")
    assert shown["running"] == 0
    assert finish(folder) == expected
