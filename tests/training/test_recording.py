"""Recordings: their numbers are a worker's to the last bit, and their contents are correct."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpsearch.data.prepare import PreparedData
from hpsearch.training.distributions import ZERO_BIN
from hpsearch.training.evaluation import evaluate
from hpsearch.training.recording import Recording, RecordingOptions, Subject, record
from hpsearch.training.tracks import POINTS, Track
from tests.training.cases import SEED, classification, cohort_of, configuration, regression, trained


def recorded(
    data: PreparedData, *, watch: RecordingOptions | None = None, until_step: int | None = None, **values: Any
) -> Recording:
    """Return the recording of trial 0, with `values` in its configuration."""
    subject = Subject(configuration=configuration(**values), data=data, seed=SEED, number=0)
    return record(subject, watch=watch, until_step=until_step)


def exact(track: Track) -> Any:
    """Return the numbers of a track with a point for every step."""
    assert track.is_exact
    np.testing.assert_array_equal(track.low, track.high)
    return track.low


CASES: dict[str, dict[str, Any]] = {
    "relu": {},
    "two layers": {"hidden": (6, 5), "activation": "leaky_relu"},
    "no hidden layer": {"hidden": ()},
    "batch norm": {"batch_norm": True, "hidden": (6, 5)},
    "batch norm without gamma": {"batch_norm": True, "batch_norm_affine": False},
    "dropout": {"dropout": 0.4, "hidden": (6, 5)},
    "dropout before normalization": {
        "batch_norm": True,
        "dropout": 0.3,
        "dropout_position": "before_normalization",
        "hidden": (6, 5),
    },
    "skips": {"hidden": (6, 6, 6), "skip_connections": True, "dropout": 0.2},
    "float64": {"precision": "float64", "optimizer": "adam"},
    "diverging": {"activation": "leaky_relu", "learning_rate": 1e8, "epochs": 6},
    "sum": {"reduction": "sum", "learning_rate": 0.05},
    "remainder": {"batch_size": 8, "optimizer": "momentum"},
    "decay": {"weight_decay": 0.1},
}


@pytest.mark.parametrize("name", CASES)
def test_recording_changes_nothing(name: str) -> None:
    """Parameters and telemetry of a recorded trial are bit-identical to the trial's in a cohort of three."""
    chosen = CASES[name]
    data = classification(precision=chosen.get("precision", "float32"))
    recording = recorded(data, **chosen)
    same = configuration(**chosen)
    observation, parameters = trained(cohort_of(data, [same, same, same]))[0]
    np.testing.assert_array_equal(recording.final.parameters, parameters)
    assert repr(recording.telemetry) == repr(observation.telemetry)  # NaN equals NaN
    assert recording.steps == recording.subject.steps == observation.telemetry.steps


def test_regression_is_recorded() -> None:
    """Without classes there is no accuracy; everything else is recorded."""
    recording = recorded(regression(), loss="mse")
    assert np.isnan(exact_or_nan(recording.accuracy)).all()
    assert np.isfinite(exact(recording.loss)).all()
    assert recording.output.units == (0, 1)


def exact_or_nan(track: Track) -> Any:
    """Return a track's numbers; NaN if it has none."""
    return np.where(track.has_nan, np.nan, track.low)


def test_losses_are_those_of_epochs() -> None:
    """Minibatch losses, weighted by their examples, add up to the epochs' training losses."""
    recording = recorded(classification(), batch_size=8)
    losses = exact(recording.loss)[:, 0].reshape(3, 8)
    weights = np.array([8] * 7 + [4]) / 60
    expected = [epoch.training_loss for epoch in recording.telemetry.epochs]
    np.testing.assert_allclose(losses @ weights, expected, rtol=1e-12)


def test_watched_units_are_the_networks() -> None:
    """Mean weights and biases at step s are those of the parameters before it, for outputs and chosen units."""
    watch = RecordingOptions(units=(4, 1), snapshots=(0, 7))
    recording = recorded(classification(), watch=watch)
    first = recording.first
    assert first is not None
    assert first.units == (4, 1)
    for snapshot in recording.snapshots:
        hidden, output = recording.network.views(snapshot.parameters[None])
        assert exact(first.weights)[snapshot.steps].tolist() == pytest.approx(
            hidden.w[0][:, [4, 1]].mean(axis=0)
        )
        assert exact(first.biases)[snapshot.steps].tolist() == hidden.b[0][[4, 1]].tolist()
        assert exact(recording.output.weights)[snapshot.steps].tolist() == pytest.approx(
            output.w[0].mean(axis=0)
        )
        assert exact(recording.output.biases)[snapshot.steps].tolist() == output.b[0].tolist()
    assert [snapshot.steps for snapshot in recording.snapshots] == [0, 7]


def test_a_unit_that_the_layer_lacks_is_refused() -> None:
    """The message has the range of valid units."""
    with pytest.raises(ValueError, match=r"must be in 0 to 4 \(got 5, -1\)"):
        recorded(classification(), watch=RecordingOptions(units=(0, 5, -1)))


def dying(*, learning_rate: float, watch: RecordingOptions | None = None) -> Recording:
    """Return the recording of a ReLU network with summed gradients on inputs that, like pixels, are not negative."""
    data = classification(training=200, inputs=20)
    data = replace(data, training=replace(data.training, inputs=np.abs(data.training.inputs)))
    chosen: dict[str, Any] = {"hidden": (12,), "reduction": "sum", "epochs": 8}
    return recorded(data, watch=watch, learning_rate=learning_rate, **chosen)


def test_a_unit_that_fires_no_more_is_constant_bit_for_bit() -> None:
    """After the last firing of a ReLU unit neither its weights nor its bias change at all."""
    recording = dying(learning_rate=0.05, watch=RecordingOptions(snapshots=tuple(range(160))))
    silent = [unit for unit, step in enumerate(recording.last_fired[0]) if step < recording.steps - 10]
    assert 0 < len(silent) < 12
    last = recording.network.views(recording.final.parameters[None])
    for unit in silent:
        after = int(recording.last_fired[0][unit]) + 1
        then = recording.network.views(recording.snapshots[after].parameters[None])
        assert recording.snapshots[after].steps == after
        np.testing.assert_array_equal(then[0].w[0][:, unit], last[0].w[0][:, unit])
        assert then[0].b[0][unit] == last[0].b[0][unit]
        np.testing.assert_array_equal(then[1].w[0][unit], last[1].w[0][unit])
        if after > 1:
            before = recording.network.views(recording.snapshots[after - 1].parameters[None])
            assert (before[0].w[0][:, unit] != last[0].w[0][:, unit]).any()


def test_a_dead_network_has_gradients_of_exactly_zero() -> None:
    """If no unit fires the gradient of the first matrix is 0.0, and all its numbers are in the bin of zeros."""
    recording = dying(learning_rate=0.1)
    dead = exact(recording.firing)[:, 0] == 0
    assert dead[-1]
    assert (exact(recording.weight_gradients)[dead, 0] == 0).all()
    assert (exact(recording.bias_gradients)[dead, 1] > 0).any()
    counts = recording.moments[-1].layers[0].gradient.counts
    assert counts[ZERO_BIN] == counts.sum() == 20 * 12
    assert evaluate(recording.network, recording.final, recording.subject.data.training).never_positive == (
        1.0,
    )


def test_a_bias_before_batch_normalization_gets_no_gradient() -> None:
    """Subtracting the mean removes the bias: its gradient is rounding, which it is not without normalization."""
    data = classification(precision="float64")
    normal = recorded(data, batch_norm=True, precision="float64")
    plain = recorded(data, precision="float64")
    assert exact(normal.bias_gradients)[:, 0].max() < 1e-13
    assert exact(plain.bias_gradients)[:, 0].max() > 1e-3


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_first_number_that_is_not_finite_is_named(precision: Any) -> None:
    """The recording finds it at the latest with the loss, and continues to the end."""
    chosen = {"activation": "leaky_relu", "learning_rate": 1e8, "epochs": 80, "precision": precision}
    recording = recorded(classification(precision=precision), **chosen)
    found, shown = recording.nonfinite, recording.telemetry.nonfinite
    assert found is not None
    assert shown is not None
    assert found.step <= shown.step
    assert found.array in ("weights", "activations", "logits", "gradients")
    assert recording.steps == recording.subject.steps
    assert recording.loss.has_nan[-1, 0]


def test_a_finite_recording_names_no_array() -> None:
    """If every number is finite no array is named."""
    assert recorded(classification()).nonfinite is None


def test_inputs_of_activations_are_recomputed_exactly() -> None:
    """The activation of the recomputed inputs has the distribution of the recorded activations."""
    recording = recorded(classification(), watch=RecordingOptions(moments=(0, 5)))
    assert [moment.step for moment in recording.moments] == [0, 5]
    for moment in recording.moments:
        hidden, output = moment.layers
        np.testing.assert_array_equal(
            hidden.before.counts[ZERO_BIN + 1 :], hidden.after.counts[ZERO_BIN + 1 :]
        )
        assert hidden.before.counts[:ZERO_BIN].sum() == hidden.after.counts[ZERO_BIN]
        assert output.before is output.after


def test_normalized_numbers_have_mean_0_and_variance_1() -> None:
    """After batch normalization without gamma and beta, the activation's inputs are normalized."""
    recording = recorded(classification(), batch_norm=True, batch_norm_affine=False, hidden=(6, 5))
    for moment in recording.moments:
        for layer in moment.layers[:-1]:
            assert layer.before.mean == pytest.approx(0, abs=1e-6)
            assert layer.before.variance == pytest.approx(1, abs=0.02)


def test_gradients_are_of_the_mean_loss() -> None:
    """The sum over the minibatch and the folded learning rate are divided out, so reductions can be compared."""
    data = classification(precision="float64")
    mean, summed = (
        recorded(data, precision="float64", reduction=reduction, until_step=1)
        for reduction in ("mean", "sum")
    )
    np.testing.assert_allclose(exact(mean.weight_gradients), exact(summed.weight_gradients), rtol=1e-12)
    for one, other in zip(mean.moments[0].layers, summed.moments[0].layers, strict=True):
        assert one.gradient.variance == pytest.approx(other.gradient.variance)
    sample = mean.telemetry.samples[0]
    expected = [layer.gradient_norm for layer in sample.layers]
    assert exact(mean.weight_gradients)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("until", [1, 5, 6, 7, 12, 18, 40])
def test_a_recording_ends_after_the_given_steps(until: int) -> None:
    """It ends after that many steps, with their finished epochs; at most at the configuration's end."""
    recording = recorded(classification(), until_step=until)
    whole = recorded(classification())
    assert recording.steps == min(until, 18)
    assert list(recording.telemetry.epochs) == list(whole.telemetry.epochs)[: until // 6]
    np.testing.assert_array_equal(exact(recording.loss), exact(whole.loss)[:until])


def test_an_interrupted_recording_is_complete_so_far() -> None:
    """The interruption is checked at every step, and everything recorded until then is returned."""
    asked = iter([False] * 9 + [True] * 9)
    subject = Subject(configuration=configuration(), data=classification(), seed=SEED, number=0)
    recording = record(subject, is_interrupted=lambda: next(asked, True))
    assert 0 < recording.steps < 9
    assert len(recording.loss.steps) == recording.steps


def test_a_long_recording_is_bounded() -> None:
    """More steps than points are merged, and the highest loss is kept."""
    data = classification(training=20, validation=5)
    recording = recorded(data, batch_size=1, epochs=230, hidden=(3,))
    assert recording.steps == 4600 > POINTS
    assert len(recording.loss.steps) <= POINTS
    assert recording.loss.stride == 2
    assert recording.firing.low.min() >= 0


def test_evaluation_equals_validation() -> None:
    """Loss and accuracy on the validation part are those of the last epoch, in several passes."""
    data = classification(validation=1203)
    recording = recorded(data, dropout=0.3, batch_norm=True)
    found = evaluate(recording.network, recording.final, data.validation)
    last = recording.telemetry.epochs[-1]
    assert (found.loss, found.accuracy) == (last.validation_loss, last.validation_accuracy)


def test_units_are_counted_over_all_examples() -> None:
    """A unit is never positive if it is so for no example, over any number of passes."""
    data = classification(validation=700)
    recording = recorded(data, hidden=(9, 8), learning_rate=0.5)
    found = evaluate(recording.network, recording.final, data.validation)
    views = recording.network.views(recording.final.parameters[None])
    x = data.validation.inputs
    for layer, view in enumerate(views[:-1]):
        x = np.maximum(x @ view.w[0] + view.b[0], 0)
        np.testing.assert_array_equal(found.fires[layer], (x > 0).any(axis=0))
    assert found.never_positive == tuple(1 - fires.mean() for fires in found.fires)


def test_an_evaluation_without_classes_has_no_accuracy() -> None:
    """In regression there is only a loss."""
    data = regression()
    recording = recorded(data, loss="mse")
    found = evaluate(recording.network, recording.final, data.validation)
    assert found.accuracy is None
    assert found.loss == recording.telemetry.epochs[-1].validation_loss


def test_a_unit_with_a_skip_fires_by_its_own_activation() -> None:
    """The inputs of a skip are no firing: the branches of the last layer are counted, not their sums."""
    data = classification(validation=700)
    recording = recorded(data, hidden=(9, 9, 9), skip_connections=True, learning_rate=0.5)
    found = evaluate(recording.network, recording.final, data.validation)
    first, *skipping, _ = recording.network.views(recording.final.parameters[None])
    x = np.maximum(data.validation.inputs @ first.w[0] + first.b[0], 0)
    for layer, view in enumerate(skipping, start=1):
        own = np.maximum(x @ view.w[0] + view.b[0], 0)
        np.testing.assert_array_equal(found.fires[layer], (own > 0).any(axis=0))
        x = own + x
        assert (x > 0).any(axis=0).sum() > found.fires[layer].sum()
