"""Studies of training functions: what is stored of their trials, and how many of them may fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from uuid import uuid4

import optuna
import pytest

from hpsearch.objective.failures import LONGEST_TEXT, output_end
from hpsearch.storage.progress import failed_limit, smallest_budget
from hpsearch.storage.records import Assignment, ClaimedTrial, StoredStudy, TrialOutcome, Update
from hpsearch.storage.store import Store
from hpsearch.study.spec import NO_DATA, Choices, Limits, ObjectiveSpec, Range, StudySpec
from hpsearch.trials import FAILURE, Failure, TrialState
from hpsearch.verdicts import Cause
from tests.contract.laboratory import FINDING, stock_storage

FAILURE_MADE = Failure(
    cause=Cause.CODE_ERROR,
    kind="ValueError",
    place="train.py:41",
    message="no such width: \u201c\U0001f984\u201d",
    traceback="x" * (LONGEST_TEXT - 2),
    output=output_end("\U0001f984" * LONGEST_TEXT),
    exit_code=3,
)


@pytest.fixture
def study(store: Store) -> StoredStudy:
    """Return a study that maximizes the result of a function."""
    spec = StudySpec(
        name=f"mine-{uuid4().hex}",
        data=NO_DATA,
        metric="accuracy",  # type: ignore[arg-type] # any name, for a study with an objective
        trials=4,
        search=(Range(name="width", low=8.0, high=64.0, integer=True),),
        objective=ObjectiveSpec(
            function="train:train",
            python_path=("/somewhere",),
            direction="maximize",
        ),
        limits=Limits(trial_seconds=3.0),
    )
    return store.studies.create(spec, fingerprint="")


@contextmanager
def read_by_optuna(study: StoredStudy, url: str) -> Iterator[optuna.Study]:
    """Yield the study as Optuna's own storage reads it."""
    storage = stock_storage(url)
    try:
        yield optuna.load_study(study_name=study.name, storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def claimed(store: Store, study: StoredStudy) -> ClaimedTrial:
    """Return a claim whose trial has its searched parameter."""
    (claim,) = store.queue.claim(study, worker="ann", count=1, lease_s=600.0)
    store.trials.assign(study, [Assignment(claim=claim, params={"width": 16})])
    return claim


def outcome(state: TrialState, value: float | None) -> TrialOutcome:
    """Return an outcome without series."""
    return TrialOutcome(state=state, value=value, finding=FINDING, series={})


def test_a_study_of_a_function_is_read_as_it_was_written(store: Store, study: StoredStudy, url: str) -> None:
    """Workers get the function and its limits from the database, other clients the direction and the metric."""
    found = store.studies.get(study.name)
    assert found.spec == study.spec
    assert found.maximize
    with read_by_optuna(study, url) as read:
        assert read.direction is optuna.study.StudyDirection.MAXIMIZE
        assert read.metric_names == ["accuracy"]


def test_a_failure_is_stored_with_its_texts(store: Store, study: StoredStudy) -> None:
    """The longest texts come back whole."""
    update = Update(
        claim=claimed(store, study),
        reports={},
        epochs=0,
        steps=0,
        system_attributes={FAILURE: asdict(FAILURE_MADE)},
        outcome=outcome(TrialState.FAILED, None),
    )
    assert store.trials.record(study, [update]) == frozenset()
    (trial,) = store.trials.all(study)
    assert trial.failure == FAILURE_MADE


def test_suggested_parameters_and_notes_are_seen_by_optuna(
    store: Store, study: StoredStudy, url: str
) -> None:
    """A write may repeat them; reports may have gaps; the study is shown with them, but does not search them."""
    claim = claimed(store, study)
    suggested = (
        (Range(0.0, 1.0, name="rate"), 0.5),
        (Choices(["a", "b"], name="kind"), "b"),
        (Choices([5, None], name="depth"), None),
    )
    first = Update(claim=claim, reports={3: 0.5}, epochs=4, steps=0, suggested=suggested[:1])
    last = Update(
        claim=claim,
        reports={3: 0.5, 9: 0.75},
        epochs=10,
        steps=0,
        suggested=suggested,
        user_attributes={"note": [1, 2]},
        outcome=outcome(TrialState.COMPLETE, 0.75),
    )
    for update in (first, last):
        assert store.trials.record(study, [update]) == frozenset()
    (trial,) = store.trials.all(study)
    assert trial.params == {"width": 16, "rate": 0.5, "kind": "b", "depth": None}
    assert trial.curve == {3: 0.5, 9: 0.75}
    with read_by_optuna(study, url) as loaded:
        (read,) = loaded.trials
    assert read.params == trial.params
    assert read.distributions["rate"] == optuna.distributions.FloatDistribution(0.0, 1.0)
    assert read.user_attrs["note"] == [1, 2]
    shown = store.trials.shown_study(study).spec.search
    assert [dimension.name for dimension in shown] == ["width", "rate", "kind", "depth"]
    assert shown[-1] == Choices([5, None], name="depth")
    assert store.studies.get(study.name).spec.search == study.spec.search


def test_as_many_trials_as_the_budget_may_fail() -> None:
    """A function may fail for some parameters, so the limit is higher than that of networks."""
    assert [failed_limit(budget, has_objective=True) for budget in (1, 10, 40)] == [10, 10, 40]
    assert smallest_budget(40, has_objective=True) == 41
