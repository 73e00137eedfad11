"""The drawing of a recording step by step, and the times at which units died."""

import math
from dataclasses import replace

import numpy as np
import pytest

from hpsearch.analysis.replay import deaths, layer_units
from hpsearch.report.figures.replay_lines import LinePanel
from hpsearch.report.figures.replay_tracks import STEP_PANELS, events, step_panel
from hpsearch.verdicts import Cause
from tests.report.replays import CASES, recording, run_of


def drawn(name: str, case: str) -> LinePanel:
    """Return a panel of a case."""
    made = step_panel(name, recording(case), None)
    assert made is not None
    return made


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", STEP_PANELS)
def test_every_panel_of_every_network_is_whole(name: str, case: str) -> None:
    """Each line has the numbers of every step, and each number a place within the scale or a rail."""
    made = step_panel(name, recording(case), None)
    if made is None:
        assert (name, case) in {
            ("accuracy", "regression"),
            *((absent, "no hidden layer") for absent in ("first-weights", "first-biases", "firing")),
        }
        return
    for line in made.lines:
        assert line.points[0].x == 0
        assert {point.x for point in line.points} == set(range(recording(case).steps))
        for point in line.points:
            place = made.scale.place(point.value)
            assert place is None or made.scale.low <= place <= made.scale.high


def test_the_five_panels_of_the_articles() -> None:
    """Accuracy is one line; outputs, at most ten, and watched units, ten, each have their mean weight and bias."""
    counts = {name: len(drawn(name, "dying").lines) for name in STEP_PANELS}
    assert counts["accuracy"] == counts["loss"] == 1
    assert counts["output-weights"] == counts["output-biases"] == 4
    assert counts["first-weights"] == counts["first-biases"] == 10


def test_units_that_died_are_marked_at_their_last_firing() -> None:
    """The line of each watched unit that fell silent has a mark at the step of its last firing."""
    found = deaths(recording("dying"), 0)
    assert found
    for name in ("first-weights", "first-biases"):
        for line in drawn(name, "dying").lines:
            unit = int(line.name.removeprefix("unit "))
            assert (line.marked is not None) == (unit in found)
            if line.marked is not None:
                assert line.marked.x == found[unit]
                assert line.mark == f"last fired at step {found[unit]:,}"
                at = next(point for point in line.points if point.x == found[unit])
                assert line.marked.value == at.value


def test_a_dead_unit_is_constant_after_its_mark() -> None:
    """From the step after its last firing a unit's line is level, to the last bit."""
    for name in ("first-weights", "first-biases"):
        for line in drawn(name, "dying").lines:
            if line.marked is not None:
                assert len({point.value for point in line.points if point.x > line.marked.x}) == 1


def test_units_of_a_network_of_nan_are_not_dead() -> None:
    """NaN does not fire, and that is no death."""
    made = recording("diverging")
    assert made.nonfinite is not None
    assert (made.last_fired[0] < made.steps - 10).all()
    assert deaths(made, 0) == {}


def test_units_of_a_short_run_can_be_dead() -> None:
    """If a run ends before 1,000 examples, its second half determines which units fell silent."""
    made = recording("dying", epochs=1)
    size = made.subject.configuration.training.batch_size
    assert made.steps * size < 1000
    assert deaths(made, 0)
    assert all(step + made.steps // 2 < made.steps for step in deaths(made, 0).values())


def test_units_are_counted_by_layer() -> None:
    """Deaths, and units that no held-back example excites, by hidden layer; none without one."""
    (layer,) = layer_units(recording("dying"))
    assert (layer.layer, layer.units, layer.held_back) == (1, 12, 20)
    assert len(layer.deaths) == 12
    assert layer.never_positive > 0.5
    assert [layer.units for layer in layer_units(recording("batch norm"))] == [12, 8]
    assert layer_units(recording("no hidden layer")) == ()


def test_a_gradient_of_zero_has_its_own_rail() -> None:
    """If the network is dead the gradient of the first matrix is exactly 0, and is drawn as that."""
    made = drawn("weight-gradients", "dying")
    assert made.rails == ("exactly 0",)
    assert made.lines[0].name == "hidden layer 1"
    assert made.lines[0].points[-1].value == 0


def test_diverging_values_are_on_a_logarithmic_scale() -> None:
    """Weights that grow without bound are drawn on a symmetric scale, NaN on a rail."""
    made = drawn("first-weights", "diverging")
    assert made.scale.kind == "symlog"
    assert "NaN" in made.rails
    assert math.isnan(made.lines[0].points[-1].value)


def test_events_are_at_their_first_step() -> None:
    """The verdict's first step and the first non-finite number are marked; verdicts unrelated to steps are not."""
    made = recording("diverging")
    assert made.nonfinite is not None
    finding = run_of(made).verdict.findings[0]
    assert [(event.x, event.text) for event in events(made, finding)] == [
        (finding.first_step, finding.cause.value),
        (made.nonfinite.step, "not finite"),
    ]
    assert events(recording("healthy"), replace(finding, cause=Cause.HEALTHY)) == ()
    assert events(recording("healthy"), None) == ()


def test_batch_normalization_leaves_the_bias_no_gradient() -> None:
    """The gradient is rounding error, far below that of the output layer's biases."""
    first, _, last = drawn("bias-gradients", "batch norm").lines
    assert max(point.value for point in first.points) < 1e-5
    assert np.median([point.value for point in last.points]) > 1e-3
