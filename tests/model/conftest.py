"""Finished studies of several kinds, and their best trials."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from sklearn import datasets

from hpsearch.data.prepare import prepare
from hpsearch.model.fitting import fit_again
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.spec import DataSpec, Fault, ModelSpec, PruningSpec, StudySpec
from hpsearch.trials import best_trials
from hpsearch.worker.replay import StoredTrial
from tests.worker.bench import SPEC as IRIS
from tests.worker.bench import Bench

SPEC: Final = replace(IRIS, trials=5, pruning=PruningSpec(diagnosis=False, rank="none"))
IRIS_CSV: Final = "flowers.csv"

KINDS: Final[Mapping[str, StudySpec]] = {
    "digits": replace(SPEC, data=DataSpec(source="digits", validation_fraction=0.4)),
    "csv": replace(SPEC, data=DataSpec(source=IRIS_CSV, scale="standard", target="species")),
    "regression": replace(SPEC, data=DataSpec(source="diabetes", scale="standard")),
    "unscaled": replace(SPEC, data=DataSpec(source="diabetes", scale="standard", target_scale="none")),
    "batch_norm": replace(SPEC, model=ModelSpec(hidden=(16, 16), batch_norm=True, skip_connections=True)),
    "dropout": replace(SPEC, model=ModelSpec(hidden=(16,), dropout=0.3, dropout_scaling="evaluation")),
    "two_classes": replace(
        SPEC,
        data=DataSpec(source="breast_cancer", scale="standard"),
        model=ModelSpec(hidden=(8,), loss="binary_cross_entropy"),
        training=replace(SPEC.training, precision="float64"),
    ),
    "fault": replace(SPEC, data=DataSpec(source="digits", fault=Fault(name="integer_division", number=4))),
}
"""Studies of each task, network and source."""

Finished: TypeAlias = Callable[..., tuple[Bench, StoredTrial]]


@pytest.fixture
def finished(tmp_path: Path) -> Iterator[Finished]:
    """Return a function that runs the study of a kind and returns its database and its best trial."""
    benches: list[Bench] = []

    def run(kind: str, **changes: Any) -> tuple[Bench, StoredTrial]:
        if KINDS[kind].data.source == IRIS_CSV:
            write_iris(tmp_path / IRIS_CSV)
        bench, stored = _run(replace(KINDS[kind], **changes), tmp_path)
        benches.append(bench)
        return bench, stored

    yield run
    for bench in benches:
        bench.close()


@pytest.fixture(scope="session")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Return the model of the best trial on the CSV file of irises."""
    folder = tmp_path_factory.mktemp("flowers")
    write_iris(folder / IRIS_CSV)
    data = replace(KINDS["csv"].data, source=str(folder / IRIS_CSV))
    bench, stored = _run(replace(KINDS["csv"], data=data), folder)
    bench.close()
    return fit_again(stored).model


def _run(spec: StudySpec, folder: Path) -> tuple[Bench, StoredTrial]:
    """Run a study in a database in `folder`, and return that and the best trial."""
    bench = Bench(f"sqlite:///{folder / 'models.db'}", spec)
    bench.data = prepare(spec.data, seed=spec.seed, precision=spec.training.precision, environment={})
    bench.worker("ann").run()
    best = best_trials(bench.trials(), maximize=bench.study.maximize, count=1)[0]
    return bench, stored_trial(bench, best.number)


def stored_trial(bench: Bench, number: int) -> StoredTrial:
    """Return a stored trial with its series."""
    series = bench.store.trials.series(bench.study, [number]).get(number)
    return StoredTrial(
        study=bench.study, trial=bench.store.trials.get(bench.study, number), series=series or {}
    )


def write_iris(path: Path) -> None:
    """Write the irises as CSV: four columns of numbers, and the species."""
    bunch = datasets.load_iris()
    lines = ["length,width,petal length,petal width,species"]
    for row, target in zip(bunch.data, bunch.target, strict=True):
        lines.append(",".join([*map(str, row), str(bunch.target_names[target])]))
    path.write_text("\n".join(lines) + "\n")
