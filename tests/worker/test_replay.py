"""Replays: any stored trial trained again, to the last bit, or with the first difference."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hpsearch.data.prepare import prepare
from hpsearch.errors import FingerprintError, HpsearchError, StudyFileError, VersionError
from hpsearch.study.configurations import spanned_dimensions
from hpsearch.study.spec import ExactConfiguration, ModelSpec, PruningSpec, SamplerSpec
from hpsearch.training.recording import RecordingOptions
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.replay import Replay, ReplayRequest, StoredTrial, replay
from tests.worker.bench import SPEC, Bench

SEARCHED = replace(SPEC, trials=16, pruning=PruningSpec(rank="median", startup_trials=3))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Return a finished study of iris, with outranked, diverged and complete trials."""
    made = Bench(f"sqlite:///{tmp_path_factory.mktemp('replaying') / 'replayed.db'}", SEARCHED)
    made.worker("ann").run()
    yield made
    made.close()


def stored(bench: Bench, number: int) -> StoredTrial:
    """Return a stored trial."""
    series = bench.store.trials.series(bench.study, [number])
    return StoredTrial(
        study=bench.study, trial=bench.store.trials.get(bench.study, number), series=series.get(number) or {}
    )


def replayed(bench: Bench, number: int, **request: Any) -> Replay:
    """Return the replay of a trial of the study."""
    return replay(stored(bench, number), ReplayRequest(**request))


def test_every_trial_is_replayed_bit_for_bit(bench: Bench) -> None:
    """A trial with any fate has a replay with the same numbers and the same end."""
    states = set()
    for trial in bench.trials():
        found = replayed(bench, trial.number)
        assert found.check.difference is None
        assert found.check.epochs == len(trial.curve)
        assert found.check.numbers >= 2 * len(trial.curve)
        assert found.original.recording.steps == trial.steps
        states.add(trial.state)
    assert states >= {TrialState.COMPLETE, TrialState.PRUNED}


def pruned(bench: Bench) -> Trial:
    """Return the first trial that was stopped within its first epochs."""
    return next(trial for trial in bench.trials() if trial.steps < 24)


def test_a_replay_can_train_more_epochs(bench: Bench) -> None:
    """A replay can train more epochs than the trial or the study; the stored ones are compared."""
    trial = pruned(bench)
    found = replayed(bench, trial.number, epochs=9)
    recording = found.original.recording
    assert recording.steps == 9 * recording.subject.steps_per_epoch
    assert len(recording.telemetry.epochs) == 9
    assert found.check.epochs == len(trial.curve)
    assert found.check.difference is None


def test_a_shorter_replay_compares_its_epochs(bench: Bench) -> None:
    """Stored epochs that are not trained again are no difference."""
    complete = next(trial for trial in bench.trials() if trial.state is TrialState.COMPLETE)
    found = replayed(bench, complete.number, epochs=2)
    assert (found.check.epochs, found.check.difference) == (2, None)


@pytest.mark.parametrize(("series", "epoch"), [("validation_accuracy", 3), ("training_loss", 1)])
def test_the_first_difference_is_named(bench: Bench, series: str, epoch: int) -> None:
    """A stored number with one wrong bit is reported, with its epoch, steps and possible reason."""
    complete = next(trial for trial in bench.trials() if trial.state is TrialState.COMPLETE)
    own = stored(bench, complete.number)
    if series == "validation_accuracy":
        value = float(np.nextafter(own.trial.curve[epoch], 2))
        forged = replace(own, trial=replace(own.trial, curve={**own.trial.curve, epoch: value}))
    else:
        values = list(own.series[series])
        value = values[epoch] = float(np.nextafter(np.float32(values[epoch]), np.float32(9)))
        forged = replace(own, series={**own.series, series: values})
    difference = replay(forged, ReplayRequest()).check.difference
    assert difference is not None
    assert (difference.series, difference.epoch, difference.stored) == (series, epoch, value)
    assert (difference.first_step, difference.last_step) == (4 * epoch, 4 * epoch + 3)
    assert "worker ann" in difference.reasons[0]


def test_another_version_of_hpsearch_is_a_reason(bench: Bench) -> None:
    """A difference names the version that made the study if it is not this one."""
    own = stored(bench, 0)
    version = f"{own.study.version}.1"
    forged = replace(own, study=replace(own.study, version=version), trial=replace(own.trial, curve={0: 7.0}))
    difference = replay(forged, ReplayRequest()).check.difference
    assert difference is not None
    assert any(version in reason for reason in difference.reasons)


@pytest.mark.parametrize(("more", "is_older"), [({}, True), ({"training_loss": 9.0}, False)])
def test_measurements_of_an_earlier_version_are_a_reason(
    bench: Bench, more: dict[str, float], *, is_older: bool
) -> None:
    """If only measurements on small minibatches differ, the reason is an earlier version, and not another machine."""
    own = stored(bench, 0)
    shifted = {name: [value, *own.series[name][1:]] for name, value in {"logit_max": 9.0, **more}.items()}
    difference = replay(replace(own, series={**own.series, **shifted}), ReplayRequest()).check.difference
    assert difference is not None
    assert difference.reasons[0].startswith("an earlier hpsearch stored it") is is_older
    assert any("worker ann" in reason for reason in difference.reasons) is not is_older


def test_settings_make_a_second_run(bench: Bench) -> None:
    """The same trial with one setting changed has the same first weights, and trains all its epochs."""
    trial = pruned(bench)
    watch = RecordingOptions(snapshots=(0,))
    found = replayed(bench, trial.number, settings={"training.learning_rate": 0.25}, watch=watch)
    assert found.altered is not None
    one, other = found.original.recording, found.altered.recording
    assert other.subject.configuration.training.learning_rate == 0.25
    np.testing.assert_array_equal(one.snapshots[0].parameters, other.snapshots[0].parameters)
    assert other.steps == 6 * other.subject.steps_per_epoch
    assert found.check.difference is None


def test_precision_can_be_changed(bench: Bench) -> None:
    """The data is read again in the other precision, and the first loss is nearly the same."""
    found = replayed(bench, 0, settings={"training.precision": "float64"})
    assert found.altered is not None
    other = found.altered.recording
    assert other.final.parameters.dtype == np.float64
    assert other.loss.low[0, 0] == pytest.approx(found.original.recording.loss.low[0, 0], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"training.learning_rat": 1}, 'training.learning_rat: unknown key; did you mean "learning_rate"'),
        ({"training.learning_rate": -1}, "training.learning_rate: must be a number above 0"),
        ({"data.source": "wine"}, r"data.source: must be a field of \[model\] or \[training\]"),
        ({"seed": 3}, r"seed: must be a field of \[model\] or \[training\] \(got 3\)"),
        ({"training.batch_size": 5000}, "training.batch_size: must be at most"),
    ],
)
def test_settings_that_do_not_fit_are_refused(bench: Bench, settings: dict[str, Any], message: str) -> None:
    """The error has the key path, the rule and the value, like that of a study file, and names the trial."""
    with pytest.raises(StudyFileError, match=message) as raised:
        replayed(bench, 0, settings=settings)
    assert 'study "iris": trial 0' in str(raised.value)


def test_unknown_units_are_refused(bench: Bench) -> None:
    """Watched units must be units of the first hidden layer."""
    with pytest.raises(HpsearchError, match=r"--watch: .*trial 0 \(got 64\): they are numbered from 0 to 63"):
        replayed(bench, 0, watch=RecordingOptions(units=(3, 64)))


def test_a_trial_without_parameters_is_refused(bench: Bench) -> None:
    """A trial that waits to be sampled, and one of another program, are refused with the reason."""
    own = stored(bench, 0)
    waiting = replace(own, trial=Trial(number=7, state=TrialState.WAITING, params={}))
    with pytest.raises(
        HpsearchError, match=r"trial 7: must have a value of learning_rate, weight_decay .*waits"
    ):
        replay(waiting, ReplayRequest())
    foreign = replace(own, trial=Trial(number=7, state=TrialState.COMPLETE, params={"learning_rate": 0.1}))
    with pytest.raises(HpsearchError, match=r"a value of weight_decay .*another program"):
        replay(foreign, ReplayRequest())
    odd = {"learning_rate": 0.1, "weight_decay": 0.0, "temperature": 3.0}
    with pytest.raises(HpsearchError, match=r"its parameters must be this study's .temperature"):
        replay(replace(own, trial=Trial(number=7, state=TrialState.COMPLETE, params=odd)), ReplayRequest())


def test_a_trial_of_another_program_is_trained_and_compared(tmp_path: Path) -> None:
    """Values that an Optuna client reported are compared with ours, and their source is named."""
    bench = Bench(f"sqlite:///{tmp_path / 'foreign.db'}", SPEC)
    client = optuna.load_study(study_name="iris", storage=bench.url)
    trial = client.ask(
        {
            "learning_rate": optuna.distributions.FloatDistribution(1e-6, 1e3, log=True),
            "weight_decay": optuna.distributions.FloatDistribution(1e-8, 1e-1, log=True),
        }
    )
    trial.report(0.5, 0)
    trial.report(float("nan"), 1)
    client.tell(trial, 0.5)
    found = replayed(bench, 0)
    assert len(found.original.recording.telemetry.epochs) == 2
    assert found.check.numbers == 2
    assert found.check.difference is not None
    assert found.check.difference.reasons == ("another program than hpsearch trained it",)
    bench.close()


def test_a_trial_that_waits_with_parameters_trains_to_its_end(bench: Bench) -> None:
    """Without stored values nothing is compared, and the whole trial is recorded."""
    own = stored(bench, 0)
    waiting = replace(
        own, trial=Trial(number=0, state=TrialState.WAITING, params=own.trial.params), series={}
    )
    found = replay(waiting, ReplayRequest())
    assert found.original.recording.steps == 24
    assert found.check.numbers == 0


def test_a_running_trial_is_replayed_to_its_last_epoch(bench: Bench) -> None:
    """The epochs stored so far are compared, and no further step is trained."""
    complete = next(trial for trial in bench.trials() if trial.state is TrialState.COMPLETE)
    curve = {epoch: complete.curve[epoch] for epoch in range(2)}
    running = replace(complete, state=TrialState.RUNNING, value=None, curve=curve, steps=8, finding=None)
    found = replay(replace(stored(bench, complete.number), trial=running, series={}), ReplayRequest())
    assert found.original.recording.steps == 8
    assert (found.check.epochs, found.check.numbers, found.check.difference) == (2, 2, None)


def test_other_data_and_other_versions_are_refused(bench: Bench) -> None:
    """A replay needs the study's data and its major version, like a worker."""
    own = stored(bench, 0)
    with pytest.raises(FingerprintError, match="its data has the fingerprint other"):
        replay(replace(own, study=replace(own.study, fingerprint="other")), ReplayRequest())
    with pytest.raises(VersionError, match="made by hpsearch 99"):
        replay(replace(own, study=replace(own.study, version="99.0")), ReplayRequest())


@pytest.mark.parametrize(
    "model",
    [
        ModelSpec(hidden=()),
        ModelSpec(hidden=(9, 8), batch_norm=True, dropout=0.3),
    ],
)
def test_networks_of_every_kind_are_replayed(model: ModelSpec, tmp_path: Path) -> None:
    """Trials without hidden layers, with normalization and dropout are bit-identical, in double precision too."""
    spec = replace(SPEC, trials=5, model=model, training=replace(SPEC.training, precision="float64"))
    bench = Bench(f"sqlite:///{tmp_path / 'kinds.db'}", spec)
    bench.data = prepare(spec.data, seed=spec.seed, precision="float64", environment={})
    bench.worker("ann").run()
    for trial in bench.trials():
        check = replayed(bench, trial.number).check
        assert check.difference is None
        assert check.epochs == len(trial.curve)
    bench.close()


def test_exact_configurations_are_replayed(tmp_path: Path) -> None:
    """The trials of exact configurations contain their values, and are reproduced exactly."""
    spec = replace(
        SPEC,
        trials=4,
        search=(),
        sampler=SamplerSpec(name="none"),
        configurations=(
            ExactConfiguration(name="slow", params=(("learning_rate", 0.01),)),
            ExactConfiguration(name="wide", params=(("model.hidden", "[24, 24]"), ("learning_rate", 0.5))),
        ),
    )
    bench = Bench(f"sqlite:///{tmp_path / 'exact.db'}", replace(spec, search=spanned_dimensions(spec)))
    bench.worker("ann").run()
    widths = []
    for trial in bench.trials():
        found = replayed(bench, trial.number)
        assert found.check.difference is None
        assert found.check.epochs == len(trial.curve) > 0
        widths.append(found.original.recording.subject.configuration.model.hidden)
    assert widths == [(64,), (24, 24)] * 2
    bench.close()
