"""The subject of chaos: a study in its own database, and one undisturbed worker's results."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from hpsearch.storage.engine import BUSY_TIMEOUT_S
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import (
    DataSpec,
    ModelSpec,
    PruningSpec,
    Range,
    SamplerName,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
)
from hpsearch.telemetry import Series
from hpsearch.trials import Trial
from hpsearch.worker.preparation import prepare_study
from tests.chaos import audit
from tests.chaos.crew import Crew, Job
from tests.chaos.waiting import GIVE_UP_S

STUDY: Final = "chaos"

_SEARCH: Final = (
    Range(name="learning_rate", low=1e-3, high=10.0, log=True),
    Range(name="weight_decay", low=1e-8, high=1e-1, log=True),
    Range(name="model.dropout", low=0.0, high=0.5),
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A study whose results depend on nothing but its trials' numbers, and how long a trial takes."""

    trials: int
    sampler: SamplerName = "random"
    epochs: int = 30

    @property
    def spec(self) -> StudySpec:
        """The study's specification."""
        return StudySpec(
            name=STUDY,
            data=DataSpec(source="digits"),
            metric="validation_accuracy",
            trials=self.trials,
            seed=20170523,
            model=ModelSpec(hidden=(128, 64)),
            training=TrainingSpec(epochs=self.epochs, batch_size=32),
            search=_SEARCH,
            sampler=SamplerSpec(name=self.sampler),
            pruning=PruningSpec(rank="none"),
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The facts of a trial that must not depend on its worker, time or attempts. Floats are compared by their bits."""

    number: int
    state: str
    params: Mapping[str, Any]
    value: str
    curve: Mapping[int, str]
    finding: str
    epochs: int
    steps: int
    series: Mapping[str, bytes]


@final
class Ground:
    """A database that holds the plan's study and nothing else, with every write audited."""

    def __init__(self, url: str, plan: Plan) -> None:
        self.url = url
        self.plan = plan
        self.store: Store = open_store(url)
        prepared = prepare_study(plan.spec)
        self.study: StoredStudy = self.store.studies.create(
            prepared.spec, fingerprint=prepared.data.fingerprint
        )
        # No connection outlives its use, so that none is found dead.
        patience = {"timeout": BUSY_TIMEOUT_S} if url.startswith("sqlite") else {}
        self.engine: Engine = create_engine(url, poolclass=NullPool, connect_args=patience)
        with self.engine.begin() as connection:
            if not inspect(connection).has_table(audit.TABLE):
                audit.install(connection)

    @property
    def is_sqlite(self) -> bool:
        """Return True if the database is a file."""
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        """Close our own connections."""
        self.store.close()
        self.engine.dispose()

    def connect(self) -> Connection:
        """Return a connection of our own, to read or change data."""
        return self.engine.connect()

    def progress(self) -> Progress:
        """Return the progress of the study."""
        return self.store.studies.progress(self.study)

    def finished(self) -> int:
        """Return the number of finished trials. Sweeps nothing."""
        return self._count("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')")

    def held_by(self, worker: str) -> int:
        """Return the number of a worker's leases. Sweeps nothing."""
        return self._count(
            "SELECT count(*) FROM hpsearch_trials WHERE worker = :worker AND lease_until IS NOT NULL",
            worker=worker,
        )

    def is_blocked_by(self, worker: str) -> bool:
        """True while a worker, which stands still, is in the middle of a transaction and may keep others waiting."""
        if not self.is_sqlite:
            return bool(
                self._count(
                    "SELECT count(*) FROM pg_stat_activity WHERE application_name = :worker AND state <> 'idle'",
                    worker=worker,
                )
            )
        with closing(sqlite3.connect(self.engine.url.database or "", timeout=0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False

    def most_crashes(self, worker: str | None = None) -> int:
        """Return the most workers that were lost with a trial which `worker`, or any worker, trains or may take."""
        return self._count(
            "SELECT coalesce(max(lost), 0) FROM (SELECT (SELECT count(*) FROM hpsearch_attempts AS a "
            "WHERE a.study_key = o.study_key AND a.number = o.number AND (a.crashed OR a.kind = 'lost')) AS lost "
            "FROM hpsearch_trials AS o JOIN trials AS t USING (trial_id) "
            "WHERE t.state IN ('RUNNING', 'WAITING') AND (:worker = '' OR o.worker = :worker)) AS counts",
            worker=worker or "",
        )

    def results(self) -> list[Result]:
        """Return the facts of all trials that must not depend on events."""
        trials = self.store.trials.all(self.study)
        series = self.store.trials.series(self.study, [trial.number for trial in trials])
        return [result_of(trial, series.get(trial.number) or {}) for trial in trials]

    def _count(self, statement: str, **values: str) -> int:
        with self.connect() as connection:
            return int(connection.execute(text(statement), values).scalar_one())


def result_of(trial: Trial, series: Series) -> Result:
    """Return the facts of the trial that must not depend on events."""
    return Result(
        number=trial.number,
        state=trial.state.value,
        params={name: repr(value) for name, value in trial.params.items()},
        value=repr(trial.value),
        curve={epoch: repr(value) for epoch, value in trial.curve.items()},
        finding=repr(trial.finding),
        epochs=trial.epochs,
        steps=trial.steps,
        series={name: np.asarray(values, np.float32).tobytes() for name, values in series.items()},
    )


def undisturbed(plan: Plan, folder: Path, *, within_s: float = GIVE_UP_S) -> list[Result]:
    """Return one undisturbed worker's results of the plan."""
    ground = Ground(f"sqlite:///{folder}/undisturbed.db", plan)
    try:
        job = Job(url=ground.url, study=STUDY, folder=folder, lease_s=30.0, module="tests.chaos.audited")
        with Crew(job, size=1) as crew:
            crew.dismiss(within_s=within_s)
            assert [hand.popen.returncode for hand in crew.everybody] == [0], crew.everybody[0].said
        return ground.results()
    finally:
        ground.close()
