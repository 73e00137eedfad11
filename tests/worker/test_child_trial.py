"""Trials of training functions in a worker: their outcomes, what pauses a study, and a worker of such a study."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import optuna
import pytest

from hpsearch.diagnosis.programs import MOST_CONFIDENT
from hpsearch.errors import HpsearchError
from hpsearch.objective.messages import EarlyEnd, EpochReport, FinalValue, FromChild, TelemetryUpdate
from hpsearch.objective.monitor import Monitor
from hpsearch.objective.trial import Objective, ObjectiveTrial
from hpsearch.storage.records import Assignment, ClaimedTrial, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import NO_DATA, ObjectiveSpec, PruningSpec, Range, SamplerSpec, StudySpec
from hpsearch.trials import FAILURE, Failure, Trial, TrialState
from hpsearch.verdicts import AUDITED_AT, DIAGNOSED, Cause
from hpsearch.worker.child_trial import ChildTrial, children_of, repeated_failure
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.shutdown import StopRequest
from hpsearch.workflows.trials import enqueue

SPEC = StudySpec(
    name="parabola",
    data=NO_DATA,
    metric="value",  # type: ignore[arg-type] # any name, for a study with an objective
    trials=12,
    search=(Range(name="x", low=-1.0, high=1.0),),
    sampler=SamplerSpec(name="random"),
    pruning=PruningSpec(rank="none"),
    objective=ObjectiveSpec(function="__main__:train"),
)

ERROR = Failure(cause=Cause.CODE_ERROR, kind="ValueError", place="train.py:41", message="no such width")


def ended(*messages: FromChild) -> ChildTrial:
    """Return a trial that sent these messages, the last of which is its end."""
    claim = ClaimedTrial(number=3, trial_id=3, token=1, attempt=1)
    trial = ChildTrial(assignment=Assignment(claim=claim, params={"x": 0.5}))
    for message in messages:
        trial.receive(message)
    assert trial.outcome is not None
    return trial


@pytest.mark.parametrize(
    ("messages", "state", "value", "cause"),
    [
        ([FinalValue(value=0.25)], TrialState.COMPLETE, 0.25, Cause.INCONCLUSIVE),
        ([FinalValue(value=math.inf)], TrialState.PRUNED, math.inf, Cause.INCONCLUSIVE),
        ([FinalValue(value=math.nan)], TrialState.PRUNED, None, Cause.INCONCLUSIVE),
        ([EarlyEnd()], TrialState.PRUNED, None, Cause.OUTRANKED),
        ([EpochReport(epoch=2, value=0.5, numbers={}), EarlyEnd()], TrialState.PRUNED, 0.5, Cause.OUTRANKED),
        ([EpochReport(epoch=2, value=0.5, numbers={}), ERROR], TrialState.FAILED, None, Cause.CODE_ERROR),
    ],
)
def test_every_end_has_an_outcome(
    messages: list[FromChild], state: TrialState, value: float | None, cause: Cause
) -> None:
    """A finite number completes a trial; a failure has its cause, and keeps the reports."""
    outcome = ended(*messages).outcome
    assert outcome is not None
    assert (outcome.state, outcome.value, outcome.finding.cause) == (state, value, cause)


def measured(factor: float) -> TelemetryUpdate:
    """Return what a monitor measured of a loss that changes by a factor in each of 60 steps."""
    monitor = Monitor(learning_rate=0.1, steps=60)
    for step in range(60):
        monitor.step(2.0 * factor**step)
    return TelemetryUpdate(telemetry=monitor.telemetry)


@pytest.mark.parametrize(
    ("factor", "end", "cause"),
    [
        (0.95, FinalValue(value=0.1), Cause.HEALTHY),
        (3.0, FinalValue(value=0.1), Cause.DIVERGED_LR),
        (0.95, FinalValue(value=math.nan), Cause.INCONCLUSIVE),
        (3.0, FinalValue(value=math.nan), Cause.DIVERGED_LR),
        (0.95, EarlyEnd(), Cause.OUTRANKED),
        (3.0, EarlyEnd(), Cause.DIVERGED_LR),
        (3.0, ERROR, Cause.CODE_ERROR),
    ],
)
def test_what_was_measured_decides_the_verdict(factor: float, end: FromChild, cause: Cause) -> None:
    """A problem explains a trial that gave up or has no number; an exception has its own cause."""
    trial = ended(measured(factor), end)
    assert trial.outcome is not None
    assert trial.outcome.finding.cause is cause
    update = trial.update()
    assert update is not None
    assert update.steps == 60


def test_a_trial_from_a_checkpoint_is_not_judged() -> None:
    """Its first steps were not measured, so its losses compare with nothing."""
    claim = ClaimedTrial(number=3, trial_id=3, token=1, attempt=2)
    pruning = PruningSpec(diagnosis="act")
    trial = ChildTrial(assignment=Assignment(claim=claim, params={}), pruning=pruning, continues=True)
    trial.receive(measured(3.0))
    assert trial.fatal_finding(pruning.fatal_causes) is None
    assert trial.judge().cause is Cause.INCONCLUSIVE
    trial.continues = False
    assert trial.fatal_finding(pruning.fatal_causes) is not None


@pytest.mark.parametrize(("maximize", "best", "is_over"), [(True, 0.75, True), (False, 0.25, False)])
def test_a_trial_that_does_not_improve_is_complete(maximize: bool, best: float, is_over: bool) -> None:  # noqa: FBT001
    """The epoch of its last report counts, not the number of reports; its value is the best one."""
    claim = ClaimedTrial(number=3, trial_id=3, token=1, attempt=1)
    trial = ChildTrial(assignment=Assignment(claim=claim, params={}))
    for epoch, value in enumerate((0.5, 0.75, math.nan, 0.5)):
        trial.receive(EpochReport(epoch=epoch, value=value, numbers={}))
    trial.receive(EpochReport(epoch=7, value=0.25, numbers={}))
    assert trial.has_stalled(6, maximize=maximize) is is_over
    trial.stop_early(6, maximize=maximize)
    assert trial.outcome is not None
    assert (trial.outcome.state, trial.outcome.value) == (TrialState.COMPLETE, best)
    assert trial.outcome.finding.cause is Cause.EARLY_STOPPED


def test_epochs_before_a_checkpoint_belong_to_earlier_attempts() -> None:
    """A trial that goes on at epoch 6 has trained the first six before (law 8)."""
    claim = ClaimedTrial(number=3, trial_id=3, token=1, attempt=3)
    trial = ChildTrial(assignment=Assignment(claim=claim, params={}), continues=True)
    trial.receive(EpochReport(epoch=6, value=0.5, numbers={}))
    update = trial.update()
    assert update is not None
    assert (update.epochs, dict(update.kept)) == (7, {1: 6, 2: 6})


def test_an_outranked_trial_keeps_what_was_found() -> None:
    """The problem is in its evidence and its remedy."""
    claim = ClaimedTrial(number=3, trial_id=3, token=1, attempt=1)
    trial = ChildTrial(assignment=Assignment(claim=claim, params={}))
    trial.receive(measured(3.0))
    trial.receive(EpochReport(epoch=0, value=7.0, numbers={}))
    trial.outrank("median")
    assert trial.outcome is not None
    finding = trial.outcome.finding
    assert finding.cause is Cause.OUTRANKED
    assert finding.evidence[DIAGNOSED + Cause.DIVERGED_LR] == MOST_CONFIDENT
    assert finding.suggested.keys() == {"learning_rate"}


def test_reported_numbers_become_series() -> None:
    """Each name has one number per report, NaN if a report lacks it; values that rank become the curve."""
    trial = ended(
        EpochReport(epoch=0, value=0.5, numbers={"loss": 2.0}),
        EpochReport(epoch=4, value=None, numbers={"loss": 1.0, "accuracy": 0.75}),
        FinalValue(value=0.25),
    )
    update = trial.update()
    assert update is not None
    assert update.outcome is not None
    assert (dict(update.reports), update.epochs) == ({0: 0.5}, 2)
    assert {name: str(list(values)) for name, values in update.outcome.series.items()} == {
        "loss": "[2.0, 1.0]",
        "accuracy": "[nan, 0.75]",
    }


def failed(number: int, failure: Failure | None) -> Trial:
    """Return a trial that ended in the order of its number, failed or complete."""
    attributes = (
        {}
        if failure is None
        else {FAILURE: {"cause": "code_error", "kind": failure.kind, "place": failure.place}}
    )
    return Trial(
        number=number,
        state=TrialState.COMPLETE if failure is None else TrialState.FAILED,
        params={},
        finished=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        system_attributes=attributes,
    )


def test_five_failures_of_one_kind_in_a_row_are_noticed() -> None:
    """Fewer, another kind or place among them, and a success after them are not."""
    other = replace(ERROR, place="train.py:7")
    series = {
        (ERROR,) * 5: "ValueError in train.py:41",
        (None, *(ERROR,) * 5): "ValueError in train.py:41",
        (ERROR,) * 4: None,
        (ERROR, ERROR, other, ERROR, ERROR): None,
        (*(ERROR,) * 5, None): None,
    }
    for failures, words in series.items():
        assert repeated_failure([failed(n, one) for n, one in enumerate(failures)]) == words


def stored(store: Store, spec: StudySpec = SPEC) -> StoredStudy:
    """Return a study in the database."""
    return store.studies.create(spec, fingerprint="")


def work(store: Store, study: StoredStudy, function: Objective, *, rows: int = 3) -> None:
    """Let a worker in this process spend the study's budget, with forks for its trials, `rows` of them at once."""
    options = WorkerOptions(name="ann", rows=rows)
    children = children_of(study, store.folder, function)
    Worker(store, study, children, options=options, stop=StopRequest()).run()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a database of this test only."""
    return open_store(f"sqlite:///{tmp_path}/objective.db")


def test_a_worker_spends_the_budget_exactly(store: Store) -> None:
    """Failed trials do not count, and every other one has the value of its parameters."""

    def train(trial: ObjectiveTrial) -> float:
        if trial.number in (1, 4):
            raise ValueError("no such width")
        trial.report(0, value=1.0)
        trial.note("seed", trial.seed)
        return float(trial.params["x"]) ** 2

    study = stored(store)
    with store:
        work(store, study, train)
        trials, progress = store.trials.all(study), store.studies.progress(study)
        assert (progress.complete, progress.failed, progress.running, len(trials)) == (12, 2, 0, 14)
        for trial in trials:
            if trial.number in (1, 4):
                assert trial.failure is not None
                assert trial.failure.words.startswith("ValueError in test_child_trial.py:")
            else:
                assert trial.value == float(trial.params["x"]) ** 2
                assert trial.curve == {0: 1.0}
        assert (store.folder / "checkpoints").exists() is False


def test_trials_are_pruned_by_rank(store: Store) -> None:
    """One after another, every trial that is worse than the median of those before it is stopped early."""

    def train(trial: ObjectiveTrial) -> float:
        for epoch in range(5):
            trial.report(epoch, value=float(trial.number))
        return float(trial.number)

    pruning = PruningSpec(rank="median", startup_trials=1, warmup_epochs=1)
    study = stored(store, replace(SPEC, pruning=pruning))
    with store:
        work(store, study, train, rows=1)
        trials = store.trials.all(study)
    states = {trial.number: trial.state for trial in trials}
    assert states[0] is TrialState.COMPLETE
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert [trial.number for trial in pruned] == list(range(1, 12))
    assert all(trial.verdict is Cause.OUTRANKED and trial.epochs < 5 for trial in pruned)


def test_a_study_that_only_fails_pauses(store: Store) -> None:
    """After five failures of one kind in a row the study pauses with the reason, and takes no more trials."""

    def train(trial: ObjectiveTrial) -> float:
        raise KeyError("width")

    study = stored(store)
    with store:
        work(store, study, train)
        progress = store.studies.progress(study)
    assert progress.is_paused
    assert 5 <= progress.failed <= 8
    assert str(progress.stopped).startswith(
        "paused by hpsearch after 5 failures in a row, KeyError in test_child_trial.py:"
    )


def diverging(trial: ObjectiveTrial) -> float:
    """Train with losses that fall in trials of even numbers, and grow without end in the others."""
    monitor = Monitor(learning_rate=0.1, steps=60, listener=trial.measured)
    loss = 2.0
    for epoch in range(3):
        for _ in range(20):
            loss *= 0.95 if trial.number % 2 == 0 else 3.0
            monitor.step(loss)
        monitor.end_epoch()
        trial.report(epoch, value=loss)
    return loss


@pytest.mark.parametrize(
    "pruning",
    [
        PruningSpec(rank="none"),
        PruningSpec(rank="none", diagnosis=False),
        PruningSpec(rank="none", diagnosis="act"),
        PruningSpec(rank="none", diagnosis="act", audit=1.0),
    ],
)
def test_a_verdict_stops_a_trial_only_if_the_study_lets_it(store: Store, pruning: PruningSpec) -> None:
    """All have the verdict of what was measured; with "act" alone it stops trials, but not those that are audited."""
    study = stored(store, replace(SPEC, trials=4, pruning=pruning))
    with store:
        work(store, study, diverging)
        trials = store.trials.all(study)
    for trial in trials:
        assert trial.finding is not None
        if trial.number % 2 == 0:
            assert (trial.state, trial.verdict, trial.steps) == (TrialState.COMPLETE, Cause.HEALTHY, 60)
            continue
        assert trial.verdict is Cause.DIVERGED_LR
        is_stopped = pruning.diagnosis == "act" and not pruning.audit
        assert trial.state is (TrialState.PRUNED if is_stopped else TrialState.COMPLETE)
        assert (trial.steps, trial.epochs) == ((16, 0) if is_stopped else (60, 3))
        assert (AUDITED_AT in trial.finding.evidence) == (pruning.audit == 1.0)
        assert (trial.finding.confidence > MOST_CONFIDENT) == (pruning.diagnosis == "act")


def optunas(trial: ObjectiveTrial) -> float:
    """Train as an objective written for Optuna, with a parameter that only some trials have."""
    x = trial.suggest_float("x", -4.0, 4.0)
    kind = trial.suggest_categorical("kind", [None, "shifted"])
    shift = trial.suggest_int("shift", 1, 3) if kind == "shifted" else 0
    for step in range(3):
        trial.report(x**2 + shift, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x**2 + shift


def test_an_objective_of_optuna_runs_unchanged(store: Store) -> None:
    """Its parameters are sampled while it runs, and every Optuna client sees them with their distributions."""
    spec = replace(SPEC, search=(), sampler=SamplerSpec(name="tpe", startup_trials=4), pruning=PruningSpec())
    study = stored(store, spec)
    with store:
        assert enqueue(store, "parabola", ["kind=None", "x=0.5"]).params == {"kind": None, "x": 0.5}
        work(store, study, optunas)
        trials = store.trials.all(study)
        shown = store.trials.shown_study(study).spec.search
    assert all(set(trial.params) - {"shift"} == {"x", "kind"} for trial in trials)
    assert all(("shift" in trial.params) == (trial.params["kind"] == "shifted") for trial in trials)
    assert {trial.params["kind"] for trial in trials} == {None, "shifted"}
    assert len({trial.params["x"] for trial in trials}) == len(trials)
    assert trials[0].params == {"kind": None, "x": 0.5}
    assert {dimension.name for dimension in shown} == {"x", "kind", "shift"}
    read = optuna.load_study(study_name="parabola", storage=f"sqlite:///{store.folder}/objective.db")
    assert read.best_trial.distributions["x"] == optuna.distributions.FloatDistribution(-4.0, 4.0)


def test_another_process_cannot_run_a_function_of_this_one(store: Store) -> None:
    """A worker without the function refuses the study with the reason."""
    study = stored(store)
    with store, pytest.raises(HpsearchError, match="its function was passed by a program"):
        children_of(study, store.folder, None)
