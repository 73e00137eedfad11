"""SIGTERM drains: finished work is written, the rest goes back, and the process always ends within 5 s."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import TrialState
from hpsearch.worker.preparation import prepare_file
from tests.chaos.waiting import wait_until

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

WITHIN_S = 5.0
ROWS = 8

LARGE = f"""
name = "large"
trials = {10 * ROWS}
data = {{ source = "large.npz", validation_fraction = 0.99 }}
model.hidden = [1000, 1000]
training.batch_size = 100
sampler.name = "random"
pruning = {{ rank = "none", diagnosis = false }}
"""

LONG = """
name = "long"
trials = 400
data = { source = "digits" }
training.epochs = 20
sampler.name = "random"
pruning.rank = "none"
"""


@pytest.fixture(scope="module")
def folder(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> "Folder":
    """Return a folder with the study files and the data of the large one."""
    folder = make_folder({"large.toml": LARGE, "long.toml": LONG})
    chance = np.random.default_rng(5)
    x = chance.standard_normal((40_000, 64)).astype(np.float32)
    np.savez(folder.path / "large.npz", x=x, y=chance.integers(0, 10, len(x)))
    return folder


@pytest.fixture
def store(folder: "Folder", monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Provide the database of that folder, with both studies as if they were new."""
    monkeypatch.chdir(folder.path)
    with open_store("sqlite:///storage/hpsearch.db") as opened:
        for study in opened.studies.all():
            opened.studies.delete(study.name)
        for file in ("large.toml", "long.toml"):
            prepared = prepare_file(Path(file))
            opened.studies.create(prepared.spec, fingerprint=prepared.data.fingerprint)
        yield opened


def drained(process: "subprocess.Popen[str]") -> tuple[float, str]:
    """Return the seconds from SIGTERM to the end of a process, which must end drained, and its output."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    took_s = time.monotonic() - began
    assert process.stderr is not None
    return took_s, process.stderr.read()


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_handed_back(store: Store, study: StoredStudy, *, trials: int) -> None:
    """Assert that nothing runs and so many trials wait, each handed back by Ann without a crash."""
    progress = store.studies.progress(study)
    assert (progress.running, progress.waiting) == (0, trials)
    assert sum(progress.ledger.values()) == progress.epochs
    waiting = [trial.number for trial in store.trials.all(study) if trial.state is TrialState.WAITING]
    for number in waiting:
        (attempt,) = store.trials.attempts(study, number)
        assert (attempt.worker, attempt.why, attempt.crashed) == ("ann", "the worker was stopped", False)


def test_what_is_finished_is_written(folder: "Folder", store: Store) -> None:
    """Every trial that ended in a worker's hands before SIGTERM is in the database, and nothing is lost or doubled."""
    study = store.studies.get("long")
    with folder.start("worker", "start", "--study", "long", "--name", "ann", "--cohort", "8") as process:
        wait_until(lambda: store.studies.progress(study).finished >= 8, "some trials finish")
        took_s, said = drained(process)
    assert took_s < WITHIN_S
    found = re.search(r'study "long": (\d+) trials ended here\nworker ann: stopped\n$', said)
    assert found is not None, said
    progress = store.studies.progress(study)
    assert 8 <= progress.finished == int(found[1]) < progress.budget
    assert_handed_back(store, study, trials=progress.waiting)
    assert store.workers.all() == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells what a process has used")
def test_the_validation_of_a_large_network_is_broken_off(folder: "Folder", store: Store) -> None:
    """In the middle of a validation that takes far longer, a worker of eight large networks still drains."""
    study = store.studies.get("large")
    with folder.start(
        "worker", "start", "--study", "large", "--name", "ann", "--cohort", str(ROWS)
    ) as process:
        wait_until(lambda: store.studies.progress(study).running == ROWS, "the trials run")
        # The four steps of an epoch cost a thirtieth of its validation: that runs when so much time was used.
        before_s = processor_s(process.pid)
        wait_until(lambda: processor_s(process.pid) - before_s > 2.0, "the validation runs")
        took_s, said = drained(process)
    assert took_s < WITHIN_S
    assert said.endswith("worker ann: stopped\n")
    assert_handed_back(store, study, trials=ROWS)
    assert store.workers.all() == []


def test_a_step_that_does_not_end_is_left_alone(folder: "Folder", store: Store) -> None:
    """A worker that is stuck in one step hands back its trials from outside that step, and ends within 5 s."""
    options = ["--study", "long", "--name", "ann", "--cohort", "3"]
    with folder.start("stick", "2", "worker", "start", *options, module="tests.end_to_end.faulty") as process:
        assert process.stderr is not None
        while process.stderr.readline() != "stuck\n":
            assert process.poll() is None
        took_s, said = drained(process)
    assert took_s < WITHIN_S
    assert said == "worker ann: stopped in the middle of a long step\n"
    assert_handed_back(store, store.studies.get("long"), trials=3)


def test_a_run_whose_workers_are_stopped_says_so(folder: "Folder", store: Store) -> None:
    """If all its workers are stopped from afar, `study run` ends with 1, its progress, and how to continue."""
    study = store.studies.get("long")
    with folder.start("study", "run", "long", "--workers", "2") as process:
        wait_until(lambda: sum(bool(w.running) for w in store.workers.all()) == 2, "both workers train")
        for worker in store.workers.all():
            store.workers.request_stop(worker.identity.name)
        assert process.wait(60) == 1
        assert process.stderr is not None
        error = process.stderr.read().splitlines()[-1]
    progress = store.studies.progress(study)
    assert (progress.running, progress.is_done) == (0, False)
    assert error == (
        f'Error: study "long": Open: {progress.finished} of 400 trials finished, none in training. '
        "Its workers were stopped: the same command continues from here"
    )
