"""Checkpoints: a trial goes on to the same bits, and nothing depends on a file."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.study.spec import DataSpec, ModelSpec, PruningSpec, StudySpec, TrainingSpec
from hpsearch.worker.checkpoints import CHECKPOINT_VARIABLE, checkpoint_folder
from hpsearch.worker.shutdown import StopRequest
from tests.worker.bench import RATES, SPEC, Bench, numbers_of

ODD = replace(
    SPEC,
    trials=6,
    training=TrainingSpec(epochs=6, batch_size=32, optimizer="adam", keep="best"),
    model=ModelSpec(hidden=(16, 16), batch_norm=True, dropout=0.3, activation="tanh"),
    pruning=PruningSpec(rank="none", audit=0.5),
)
"""A study whose trials have every kind of state."""


def run_undisturbed(folder: Path, spec: StudySpec) -> Bench:
    """Return a bench whose study a worker ran in one piece."""
    bench = Bench(f"sqlite:///{folder / 'undisturbed.db'}", spec)
    bench.worker("calm").run()
    return bench


def end_after(bench: Bench, epochs: int, **options: Any) -> None:
    """Run a worker with a checkpoint after every epoch until a trial has trained `epochs`, then drain it."""
    stop = StopRequest()
    worker = bench.worker("first", stop=stop, checkpoint_every_s=0.0, **options)
    seen = 0
    observe = worker._observe

    def count(trainer: Any, observation: Any) -> None:
        nonlocal seen
        seen = max(seen, len(observation.telemetry.epochs))
        observe(trainer, observation)
        if seen >= epochs:
            stop.request()

    worker._observe = count  # type: ignore[method-assign]
    worker.run()


@pytest.fixture
def notes() -> list[str]:
    """Return a list for a worker's messages."""
    return []


@pytest.mark.parametrize(
    "spec",
    [ODD, replace(ODD, data=DataSpec(source="iris", folds=2)), replace(ODD, training=TrainingSpec(epochs=6))],
    ids=["every kind of state", "folds", "sgd"],
)
def test_a_continued_trial_gets_the_same_bits(tmp_path: Path, spec: StudySpec, notes: list[str]) -> None:
    """A trial that goes on from a checkpoint has the curve, verdict and series of an undisturbed one (law 1)."""
    calm = run_undisturbed(tmp_path, spec)
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", spec)
    end_after(bench, 3)
    bench.worker("second", notify=notes.append).run()
    assert sum("goes on from its checkpoint" in note for note in notes) >= 4
    assert list(map(numbers_of, bench.trials())) == list(map(numbers_of, calm.trials()))
    numbers = range(spec.trials)
    series, expected = (b.store.trials.series(b.study, numbers) for b in (bench, calm))
    assert {n: repr(one) for n, one in series.items()} == {n: repr(one) for n, one in expected.items()}
    for one in (calm, bench):
        one.close()


def test_the_ledger_counts_continued_epochs_once(tmp_path: Path) -> None:
    """Epochs with which a later attempt went on are no lost ones (law 8)."""
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", ODD)
    end_after(bench, 3)
    bench.worker("second").run()
    progress = bench.progress()
    assert progress.ledger == {
        key: n for key, n in progress.ledger.items() if key not in ("stopped", "worker_lost")
    }
    assert progress.epochs == sum(trial.epochs for trial in bench.trials())
    assert {a.epochs for made in bench.store.trials.all_attempts(bench.study).values() for a in made} == {0}
    bench.close()


def test_a_continued_trial_is_compared_by_the_value_of_each_rung(tmp_path: Path) -> None:
    """Every rung of asha that a trial completed has its value after so many epochs, also of an earlier attempt."""
    spec = replace(SPEC, pruning=PruningSpec(rank="asha"), training=TrainingSpec(epochs=9, batch_size=32))
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", spec)
    end_after(bench, 5)
    bench.worker("second").run()
    rungs = [
        (trial.curve[2**rung - 1], trial.system_attributes[f"completed_rung_{rung}"])
        for trial in bench.trials()
        for rung in range(4)
        if f"completed_rung_{rung}" in trial.system_attributes
    ]
    assert len(rungs) > spec.trials
    assert all(value == stored for value, stored in rungs)
    assert max(trial.attempts for trial in bench.trials()) == 2
    bench.close()


def test_checkpoints_are_removed(tmp_path: Path) -> None:
    """A trial that ended leaves no file, and a file of another worker's ended trial goes with the next run."""
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", ODD)
    end_after(bench, 2)
    folder = checkpoint_folder(bench.study, bench.store.folder)
    left = list(folder.glob("*.npz"))
    assert left
    bench.worker("second").run()
    left[0].write_bytes(b"an orphan")
    bench.worker("third").run()
    assert list(folder.iterdir()) == []
    bench.close()


@pytest.mark.parametrize("damage", ["cut", "foreign", "changed"])
def test_an_unusable_checkpoint_begins_the_trial_again(tmp_path: Path, damage: str, notes: list[str]) -> None:
    """A damaged file, or one of other numbers, costs the epochs that it saved and nothing else."""
    calm = run_undisturbed(tmp_path, ODD)
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", ODD)
    end_after(bench, 2)
    left = sorted(checkpoint_folder(bench.study, bench.store.folder).glob("*.npz"))
    for path, other in zip(left, [*left[1:], left[0]], strict=True):
        content = path.read_bytes()
        match damage:
            case "cut":
                path.write_bytes(content[: len(content) // 2])
            case "foreign":
                path.write_bytes(b"\x93NUMPY nothing")
            case _ if path < other:
                other.write_bytes(content)
    bench.worker("second", notify=notes.append).run()
    assert any("begins again" in note for note in notes)
    assert list(map(numbers_of, bench.trials())) == list(map(numbers_of, calm.trials()))
    for one in (calm, bench):
        one.close()


def test_a_folder_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: list[str]
) -> None:
    """Without a usable folder there are no checkpoints, one message, and the trials train."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(CHECKPOINT_VARIABLE, str(tmp_path / "file"))
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", ODD)
    bench.worker("only", notify=notes.append, checkpoint_every_s=0.0).run()
    assert bench.progress().is_done
    assert sum("checkpoints cannot be written" in note for note in notes) == 1
    bench.close()


_KILLED = """
import os, signal, sys
from tests.worker.bench import SPEC, Bench
from tests.worker.test_checkpoints import LONG
bench = Bench(sys.argv[1], LONG)
worker = bench.worker("killed", rows=1, checkpoint_every_s=0.0)
observe = worker._observe
def kill(trainer, observation):
    observe(trainer, observation)
    if len(observation.telemetry.epochs) == 16:
        worker._write()
        os.kill(os.getpid(), signal.SIGKILL)
worker._observe = kill
worker.run()
"""

LONG = replace(
    ODD, trials=1, search=RATES[:1], training=TrainingSpec(epochs=20, batch_size=8, optimizer="adam")
)


def test_a_killed_worker_costs_at_most_one_epoch(tmp_path: Path) -> None:
    """SIGKILL after epoch 16 of 20, before its checkpoint: the next worker repeats that epoch, with the same bits."""
    calm = run_undisturbed(tmp_path, LONG)
    bench = Bench(f"sqlite:///{tmp_path / 'lab.db'}", LONG)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, bench.url], check=False, env={**os.environ, "PYTHONPATH": "."}
    )
    assert done.returncode == -signal.SIGKILL
    bench.store.queue.release(bench.study, worker="killed", numbers=None, why="it was killed", crashed=True)
    bench.worker("second").run()
    (attempt,) = bench.store.trials.attempts(bench.study, 0)
    assert (attempt.epochs, bench.progress().epochs) == (1, 21)
    assert list(map(numbers_of, bench.trials())) == list(map(numbers_of, calm.trials()))
    for one in (calm, bench):
        one.close()
