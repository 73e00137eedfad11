"""Studies to test a database with, and shortcuts that finish their trials without training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import optuna
from optuna_dashboard._note import get_note_from_system_attrs, save_note_with_version
from sqlalchemy import create_engine, make_url, text

from hpsearch.storage.records import (
    Assignment,
    ClaimedTrial,
    Evaluation,
    Part,
    StoredStudy,
    TrialOutcome,
    Update,
    WorkerIdentity,
)
from hpsearch.storage.store import Store
from hpsearch.study.spec import Choices, DataSpec, Dimension, Range, StudySpec
from hpsearch.telemetry import Series
from hpsearch.trials import ParameterValue, TrialState
from hpsearch.verdicts import Cause, Finding

FINGERPRINT: Final = "0123456789abcdef"

SEARCH: Final[tuple[Dimension, ...]] = (
    Range(name="learning_rate", low=1e-6, high=1.0, log=True),
    Range(name="model.dropout", low=0.0, high=0.5, step=0.125),
    Range(name="training.batch_size", low=16, high=256, log=True, integer=True),
    Choices(name="model.activation", choices=("relu", "tanh", "elu")),
)

FINDING: Final = Finding(
    cause=Cause.HEALTHY, confidence=0.75, first_step=3, evidence={"loss": 0.5}, remedy="nothing to do"
)


@dataclass
class Lab:
    """A separate study in a store, and shortcuts that finish its trials."""

    store: Store
    url: str
    study: StoredStudy
    opened: list[optuna.storages.RDBStorage] = field(default_factory=list)
    worker: str = field(default_factory=lambda: f"worker-{uuid4().hex}")

    def claim(self, count: int, *, lease_s: float = 600.0, worker: str | None = None) -> list[ClaimedTrial]:
        """Claim trials. A lease of less than 0 s is already expired."""
        return self.store.queue.claim(self.study, worker=worker or self.worker, count=count, lease_s=lease_s)

    def renew(self, lease_s: float, *, worker: str | None = None) -> int:
        """Send the worker's heartbeat; return the number of renewed leases."""
        identity = WorkerIdentity(name=worker or self.worker, host="node7", process_id=1, version="0")
        return self.store.queue.beat(identity, lease_s=lease_s).leases

    def params(self, number: int) -> dict[str, ParameterValue]:
        """Return parameters that differ from trial to trial."""
        return {
            "learning_rate": 1e-6 * (1.0 + number) ** (1 / 3),
            "model.dropout": 0.125 * (number % 5),
            "training.batch_size": 16 + number % 200,
            "model.activation": ("relu", "tanh", "elu")[number % 3],
        }

    def assign(self, claims: Sequence[ClaimedTrial]) -> frozenset[int]:
        """Give claims the parameters of their numbers."""
        return self.store.trials.assign(
            self.study, [Assignment(claim=claim, params=self.params(claim.number)) for claim in claims]
        )

    def end(self, claims: Sequence[ClaimedTrial], **outcome: Any) -> frozenset[int]:
        """Record that claims ended, after two epochs, as in `update`."""
        return self.store.trials.record(self.study, [update(claim, **outcome) for claim in claims])

    def finish(self, count: int, **outcome: Any) -> list[ClaimedTrial]:
        """Claim, assign and end `count` trials."""
        claims = self.claim(count)
        self.assign(claims)
        self.end(claims, **outcome)
        return claims

    def stock(self) -> optuna.Study:
        """Return the study as read by any other Optuna client."""
        storage = stock_storage(self.url)
        self.opened.append(storage)
        return optuna.load_study(study_name=self.study.spec.name, storage=storage)

    def close(self) -> None:
        """Close the storage that `stock` opened."""
        for storage in self.opened:
            storage.remove_session()
            storage.engine.dispose()


def update(
    claim: ClaimedTrial,
    *,
    state: TrialState = TrialState.COMPLETE,
    value: float | None = 0.5,
    reports: Mapping[int, float] | None = None,
    finding: Finding = FINDING,
    series: Series | None = None,
    kept: Mapping[int, int] = MappingProxyType({}),
    is_over: bool = True,
) -> Update:
    """Return the end of a trial after as many epochs as it has reports, ten steps each, or only these epochs."""
    curve = {0: 0.25, 1: 0.5} if reports is None else reports
    outcome = TrialOutcome(
        state=state,
        value=value,
        finding=finding,
        series={"training_loss": [1.0] * len(curve)} if series is None else series,
    )
    return Update(
        claim=claim,
        reports=curve,
        epochs=len(curve),
        steps=10 * len(curve),
        outcome=outcome if is_over else None,
        kept=kept,
    )


def evaluation(
    number: int,
    *,
    seed: int = 1,
    part: Part = "validation",
    loss: float | None = 0.25,
    accuracy: float | None = 0.5,
    score: float | None = None,
) -> Evaluation:
    """Return an evaluation of a trial; the database writes its own time."""
    return Evaluation(
        number=number,
        part=part,
        seed=seed,
        loss=loss,
        accuracy=accuracy,
        score=score,
        made=datetime.now(UTC),
    )


def note_of(study: optuna.Study, number: int | None) -> str:
    """Return the note of a trial, or of the study for None, as Optuna's dashboard shows it."""
    trial_id = None if number is None else study.trials[number]._trial_id
    attributes = study._storage.get_study_system_attrs(study._study_id)
    return str(get_note_from_system_attrs(attributes, trial_id)["body"])


def write_notes(study: optuna.Study, notes: Mapping[int | None, str]) -> None:
    """Write notes of trials by number, and of the study under None, as a user of Optuna's dashboard does."""
    for number, body in notes.items():
        trial_id = None if number is None else study.trials[number]._trial_id
        save_note_with_version(study._storage, study._study_id, trial_id, 1, body)


def stock_storage(url: str, **options: Any) -> optuna.storages.RDBStorage:
    """Return Optuna's own storage on a database, silent."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    driver = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    parsed = make_url(url)
    named = parsed.set(drivername=driver.get(parsed.drivername, parsed.drivername))
    return optuna.storages.RDBStorage(named.render_as_string(hide_password=False), **options)


def a_spec(name: str | None = None, *, trials: int = 20, **changes: Any) -> StudySpec:
    """Return a specification with every kind of parameter, under a name of its own."""
    return StudySpec(
        name=name or f"study-{uuid4().hex}",
        data=DataSpec(source="digits"),
        trials=trials,
        search=SEARCH,
        **{"metric": "validation_accuracy", **changes},
    )


def kill_others(lab: Lab, dialect: str) -> None:
    """End all connections of the store on the server's side."""
    database = make_url(lab.url).database
    engine = create_engine(make_url(lab.url))
    with engine.connect() as connection:
        if dialect == "postgresql":
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
                )
            )
        else:
            others = text(
                f"SELECT id FROM information_schema.processlist WHERE db = '{database}' AND id <> connection_id()"
            )
            for connection_id in connection.execute(others).scalars().all():
                connection.execute(text(f"KILL {connection_id}"))
    engine.dispose()
