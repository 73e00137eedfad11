"""One trial with 2 parameters, 5 reports and 3 attributes, written in every way that there is."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final
from uuid import uuid4

import optuna
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import make_url

from hpsearch.storage import open_storage
from hpsearch.storage.records import Assignment, ClaimedTrial, StoredStudy, TrialOutcome, Update
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import DataSpec, Range, StudySpec
from hpsearch.trials import TrialState
from hpsearch.verdicts import Cause, Finding

REPORTS: Final = {step: 0.5 + step / 10 for step in range(5)}
LEASE_S: Final = 600.0

_SEARCH: Final = (
    Range(name="learning_rate", low=1e-6, high=1.0, log=True),
    Range(name="weight_decay", low=1e-8, high=0.1, log=True),
)
_FINDING: Final = Finding(
    cause=Cause.HEALTHY, confidence=0.75, first_step=3, evidence={"loss": 0.5}, remedy="nothing to do"
)
_SERIES: Final = {
    name: list(REPORTS.values())
    for name in ("training_loss", "validation_loss", "validation_accuracy", "dead_share", "gradient_norm")
}

Block = Callable[[], int]
"""Makes trials from their creation to their end and returns how many."""


def new_study(store: Store, trials: int) -> StoredStudy:
    """Return a study of its own with that budget."""
    spec = StudySpec(
        name=f"study-{uuid4().hex}",
        data=DataSpec(source="digits"),
        trials=trials,
        metric="validation_accuracy",
        search=_SEARCH,
    )
    return store.studies.create(spec, fingerprint="0123456789abcdef")


def assignment(claim: ClaimedTrial) -> Assignment:
    """Return parameters for a claim."""
    place = (claim.number % 1000 + 1) / 1001
    return Assignment(claim=claim, params={"learning_rate": place, "weight_decay": place / 10})


def end(claim: ClaimedTrial) -> Update:
    """Return the end of a trial."""
    outcome = TrialOutcome(state=TrialState.COMPLETE, value=0.9, finding=_FINDING, series=_SERIES)
    return Update(claim=claim, reports=REPORTS, epochs=len(REPORTS), steps=500, outcome=outcome)


def by_claims(store: Store, study: StoredStudy, *, worker: str, count: int) -> int:
    """Claim up to `count` trials, give them parameters, end them, and return how many there were."""
    claims = store.queue.claim(study, worker=worker, count=count, lease_s=LEASE_S)
    if claims:
        store.trials.assign(study, [assignment(claim) for claim in claims])
        store.trials.record(study, [end(claim) for claim in claims])
    return len(claims)


def of_claims(stack: ExitStack, url: str, count: int) -> Block:
    """Return a block of one claim of `count` trials."""
    store = stack.enter_context(open_store(url))
    study = new_study(store, 10**6)
    return lambda: by_claims(store, study, worker="benchmark", count=count)


def of_optuna(stack: ExitStack, storage: BaseStorage, trials: int) -> Block:
    """Return a block of that many trials of Optuna's ask and tell, without a sampler worth the name."""
    stack.callback(storage.remove_session)
    study = optuna.create_study(
        storage=storage,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.NopPruner(),
    )

    def block() -> int:
        for _ in range(trials):
            ask_and_tell(study)
        return trials

    return block


def ask_and_tell(study: optuna.Study) -> None:
    """Make one trial from its creation to its end, asking after each report whether to continue."""
    trial = study.ask()
    x = trial.suggest_float("learning_rate", 1e-6, 1.0, log=True)
    y = trial.suggest_float("weight_decay", 1e-8, 0.1, log=True)
    for step, value in REPORTS.items():
        trial.report(x + y + value, step)
        trial.should_prune()
    for key, attribute in {"verdict": "healthy", "epochs": len(REPORTS), "worker": "benchmark"}.items():
        trial.set_user_attr(key, attribute)
    study.tell(trial, x + y)


def ours(url: str) -> BaseStorage:
    """Return our storage for Optuna."""
    return open_storage(url)


def stock(url: str) -> BaseStorage:
    """Return Optuna's own."""
    drivers: dict[str, Any] = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    parsed = make_url(url)
    named = parsed.set(drivername=drivers.get(parsed.drivername, parsed.drivername))
    return RDBStorage(named.render_as_string(hide_password=False))
