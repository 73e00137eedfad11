"""Finished studies of several kinds, and their best trials."""

import random
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


@pytest.fixture(scope="session")
def customers(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Return the model of the best trial on a raw table: text, missing cells, a date, an id and free text."""
    folder = tmp_path_factory.mktemp("customers")
    (folder / "customers.csv").write_text(customers_table(300), encoding="utf-8")
    bench, stored = _run(replace(SPEC, data=DataSpec(source=str(folder / "customers.csv"))), folder)
    bench.close()
    return fit_again(stored).model


def customers_table(rows: int) -> str:
    """Return a raw table of customers as CSV."""
    stream = random.Random(5)
    lines = ["customer,age,city,income,member,joined,comment,label"]
    for i in range(rows):
        age, city = stream.randint(18, 80), stream.choice(["Oslo", "Rome", "Łódź"])
        year, member = stream.randint(2015, 2023), stream.choice(["yes", "no"])
        score = (city == "Oslo") + (age - 50) / 15 + (member == "yes") + (year - 2019) * 0.4
        cells = [
            f"C{i:04}",
            "" if stream.random() < 0.1 else str(age),
            "NA" if stream.random() < 0.05 else "Bern" if stream.random() < 0.01 else city,
            f"{stream.lognormvariate(10, 1):.2f}",
            member,
            f"{year}-{stream.randint(1, 12):02}-{stream.randint(1, 28):02}",
            " ".join(stream.choice(["good", "bad", "late"]) for _ in range(6)) + f" {i}",
            "stay" if score > 0.5 else "leave",
        ]
        lines.append(",".join(cells))
    return "\n".join([*lines, ""])


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
