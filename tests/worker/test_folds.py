"""Studies whose trials are trained on several folds."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from hpsearch.model.fitting import fit_again
from hpsearch.storage.records import StoredStudy
from hpsearch.study.spec import DataSpec, PruningSpec
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import FOLD
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.worker.repetitions import repetitions, train
from hpsearch.worker.replay import ReplayRequest, StoredTrial, replay
from hpsearch.worker.shutdown import StopRequest
from hpsearch.worker.trial_diagnosis import diagnose_configuration
from tests.worker.bench import SPEC, Bench, numbers_of

DATA = DataSpec(source="iris", folds=3, test_fraction=0.1)
FOLDS = replace(SPEC, data=DATA, trials=16)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a finished study with three folds."""
    made = Bench(f"sqlite:///{tmp_path}/folds.db", FOLDS)
    made.worker("a", rows=5).run()
    return made


def stored(bench: Bench, trial: Trial) -> StoredTrial:
    """Return a trial with its series."""
    series = bench.store.trials.series(bench.study, [trial.number])[trial.number]
    assert series is not None
    return StoredTrial(study=bench.study, trial=trial, series=series)


def best(bench: Bench) -> Trial:
    """Return the best trial."""
    return max(
        (trial for trial in bench.trials() if trial.state is TrialState.COMPLETE),
        key=lambda trial: trial.value or 0.0,
    )


def test_a_study_with_folds_does_not_depend_on_its_workers(bench: Bench, tmp_path: Path) -> None:
    """Every trial is bit-identical alone and in company, the budget is exact, and the ledger adds up."""
    other = Bench(f"sqlite:///{tmp_path}/alone.db", FOLDS)
    stop = StopRequest()
    halted = other.worker("a", rows=3, stop=stop)
    halted._turn()
    stop.request()
    halted.run()
    other.worker("b", rows=1).run()
    progress, trials = bench.progress(), bench.trials()
    assert progress.finished == other.progress().finished == FOLDS.trials
    assert [numbers_of(trial) for trial in trials] == [numbers_of(trial) for trial in other.trials()]
    assert [trial.spread for trial in trials] == [trial.spread for trial in other.trials()]
    assert sum(progress.ledger.values()) == progress.epochs == sum(trial.epochs for trial in trials)
    assert all(trial.epochs <= FOLDS.training.epochs for trial in trials)
    other.close()
    bench.close()


def test_the_spread_is_stored_for_every_optuna_tool(bench: Bench) -> None:
    """The value is the mean over folds; its standard deviation is a user attribute; the verdict names its fold."""
    trial = best(bench)
    assert trial.spread is not None
    assert trial.spread > 0
    theirs = optuna.load_study(study_name="iris", storage=bench.url).trials[trial.number]
    assert theirs.user_attrs["spread"] == trial.spread
    assert trial.finding is not None
    assert trial.finding.evidence[FOLD] in (1, 2, 3)
    assert bench.progress().best is not None
    assert any(t.spread == bench.progress().best.spread for t in bench.trials())  # type: ignore[union-attr]
    bench.close()


def test_a_replay_checks_all_folds_and_a_model_is_trained_on_all_examples(bench: Bench) -> None:
    """All stored numbers come out again; the model has the mean's value, and one preprocessing for all examples."""
    trial = best(bench)
    made = replay(stored(bench, trial), ReplayRequest())
    assert made.check.difference is None
    assert made.check.epochs == SPEC.training.epochs
    assert made.original.recording.subject.data.fingerprint == bench.data.folds[0].fingerprint
    changed = dict(enumerate(trial.curve.values())) | {2: 0.123}
    other = replay(stored(bench, replace(trial, curve=changed)), ReplayRequest())
    assert other.check.difference is not None
    assert other.check.difference.epoch == 2

    model = fit_again(stored(bench, trial)).model
    assert (model.value, model.result.is_verified, model.result.trained_on) == (trial.value, True, "all")
    assert model.fingerprint == bench.study.fingerprint
    assert model.result.training_examples == len(bench.data.training.inputs) == 135
    assert model.preprocessing is not None
    assert np.isfinite(model.parameters).all()
    bench.close()


def test_pruned_trials_of_folds_can_be_replayed(bench: Bench) -> None:
    """A trial that a verdict on one fold stopped has the means of the epochs that all folds finished."""
    pruned = [trial for trial in bench.trials() if trial.state is TrialState.PRUNED and trial.curve]
    assert pruned
    for trial in pruned:
        made = replay(stored(bench, trial), ReplayRequest())
        assert made.check.difference is None
        assert made.check.epochs == len(trial.curve)
    bench.close()


def test_fresh_seeds_and_the_test_part(bench: Bench) -> None:
    """Fresh seeds train all folds; the test part is measured by a training on all other examples."""
    study = PreparedStudy(spec=bench.study.spec, data=bench.data)
    trial = best(bench)
    planned = repetitions(
        study, {trial.number: trial.params}, {bench.study.spec.seed: [trial.number]}, rows=1
    )
    ((again,),) = train(study, planned, part="validation", stop=StopRequest())
    assert again.accuracy == trial.value
    ((tested,),) = train(study, planned, part="test", stop=StopRequest())
    assert bench.data.test is not None
    assert tested.accuracy is not None
    assert math.isclose(tested.accuracy * len(bench.data.test.inputs) % 1, 0, abs_tol=1e-9)
    bench.close()


def test_a_diagnosis_is_of_the_first_fold(bench: Bench) -> None:
    """Diagnosis trains the first fold, whose validation part is apart from its training part."""
    study = PreparedStudy(spec=replace(bench.study.spec, pruning=PruningSpec(rank="none")), data=bench.data)
    first = replace(study, data=bench.data.folds[0])
    assert diagnose_configuration(study) == diagnose_configuration(first)
    bench.close()


def test_the_stored_study_has_its_folds(bench: Bench) -> None:
    """A study read from the database has the folds that it was created with."""
    found: StoredStudy = bench.store.studies.get("iris")
    assert (found.spec.data.folds, found.spec.data.group, found.spec.data.time) == (3, None, None)
    bench.close()
