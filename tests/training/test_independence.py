"""Law 1: a trial's numbers do not depend on its company."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final, get_args

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.data.prepare import PreparedData
from hpsearch.study.metrics import Metric
from hpsearch.study.spec import (
    Activation,
    ClassWeight,
    Configuration,
    DropoutLayers,
    DropoutPosition,
    DropoutScaling,
    Initializer,
    OptimizerName,
    Precision,
)
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import shape_of
from tests.training.cases import SEED, classification, configuration, regression, stepped

MOST_TRIALS = 33
ACTIVATIONS = get_args(Activation)
OPTIMIZERS = get_args(OptimizerName)
INITIALIZERS = (
    Initializer(name="he"),
    Initializer(name="xavier"),
    Initializer(name="normal", scale=0.01),
    Initializer(name="normal", scale=1e20),
    Initializer(name="uniform", scale=0.5),
)
CLASSIFICATION = (
    ("cross_entropy", "auto"),
    ("cross_entropy", "sigmoid"),
    ("binary_cross_entropy", "auto"),
    ("binary_cross_entropy", "softmax"),
    ("mse", "auto"),
    ("mse", "softmax"),
)
METRICS: tuple[Metric, ...] = (
    "validation_accuracy",
    "balanced_accuracy",
    "f1_macro",
    "roc_auc",
    "log_loss",
)
REGRESSION = (("mse", "auto"), ("mse", "relu"), ("mse", "tanh"))


@final
@dataclass(frozen=True, kw_only=True)
class Stay:
    """One trial's time in a cohort: it joins after step `after` at the earliest, and leaves at age `steps`.

    If its epochs end sooner, it leaves then.
    """

    number: int
    configuration: Configuration
    after: int
    steps: int


@final
@dataclass(frozen=True, kw_only=True)
class Story:
    """The trials that train together, their data, and their times."""

    data: PreparedData
    capacity: int
    stays: tuple[Stay, ...]
    metric: Metric = "auto"


@final
@dataclass(frozen=True, kw_only=True)
class End:
    """The final state of a trial: its arrays bit by bit, its telemetry number by number."""

    parameters: bytes
    state: tuple[bytes, ...]
    telemetry: str
    news: tuple[str, ...]


def end_of(cohort: Cohort, number: int, news: Sequence[str], telemetry: str) -> End:
    """Return the present state of trial `number`; `news` are the observations so far."""
    row = cohort.numbers.index(number)
    state = cohort._state
    return End(
        parameters=bits(cohort.parameters(number)),
        state=tuple(bits(array[row]) for array in (state.running, *state.optimizer)),
        telemetry=telemetry,
        news=tuple(news),
    )


def bits(array: Any) -> bytes:
    """Return the bits of `array`; all NaN are equal."""
    bytes_: bytes = np.where(np.isnan(array), array.dtype.type(np.nan), array).tobytes()
    return bytes_


def played(story: Story) -> list[End]:
    """Train the story's trials in one cohort and return the end of each stay."""
    cohort = Cohort(
        shape_of(story.stays[0].configuration),
        story.data,
        capacity=story.capacity,
        seed=SEED,
        metric=story.metric,
    )
    waiting, present = list(enumerate(story.stays)), dict[int, tuple[int, Stay]]()
    news: dict[int, list[str]] = {}
    ends: dict[int, End] = {}
    clock = 0
    while waiting or present:
        for index, stay in list(waiting):
            if cohort.free and stay.number not in present and (stay.after <= clock or not present):
                waiting.remove((index, stay))
                cohort.join(stay.number, stay.configuration)
                present[stay.number] = index, stay
                news[index] = []
        for observation in stepped(cohort):
            news[present[observation.number][0]].append(repr(observation))
        clock += 1
        for index, stay in list(present.values()):
            row = cohort._rows[cohort.numbers.index(stay.number)]
            if row.age == stay.steps or cohort._is_finished(row):
                ends[index] = end_of(cohort, stay.number, news[index], repr(row.telemetry))
                cohort.leave(stay.number)
                del present[stay.number]
    return [ends[index] for index in range(len(story.stays))]


def alone(story: Story, stay: Stay, *, capacity: int = 1) -> End:
    """Return the end of `stay` in a cohort of its own."""
    (end,) = played(replace(story, stays=(stay,), capacity=capacity))
    return end


@st.composite
def stories(draw: st.DrawFn, *, most_trials: int = MOST_TRIALS) -> Story:
    """Draw data, a shape, and trials of that shape that come and go, some of them twice.

    Values that hypothesis need not shrink are drawn from a seed.
    """
    precision = draw(st.sampled_from(["float32", "float32", "float64"]))
    count = draw(st.sampled_from([1, 2, 3, 5, 8, 13, most_trials]))
    batch_size = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 10, 16, 25]))
    data, loss, output = _draw_data(draw, batch_size=batch_size, precision=precision)
    shape, rates = _draw_network(draw)
    shape |= {
        "loss": loss,
        "output": output,
        "optimizer": draw(st.sampled_from(OPTIMIZERS)),
        "reduction": draw(st.sampled_from(["mean", "sum"])),
        "order": draw(st.sampled_from(["once", "once", "reshuffle"])),
        "batch_size": batch_size,
        "precision": precision,
    }
    metric: Metric = "rmse"
    if data.task == "classification":
        metric = draw(st.sampled_from(METRICS))
        shape["class_weight"] = draw(st.sampled_from(get_args(ClassWeight)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    stays = tuple(_stay(number, shape, generator, rates) for number in generator.permutation(count))
    again = tuple(
        replace(stay, after=stay.after + 3) for stay in stays[: draw(st.sampled_from([0, 0, 1, 3]))]
    )
    return Story(
        data=data,
        metric=metric,
        capacity=draw(st.integers(1, count + 2)) if count < 8 else draw(st.integers(count // 2, count)),
        stays=stays + again,
    )


def _draw_data(draw: st.DrawFn, *, batch_size: int, precision: str) -> tuple[PreparedData, str, str]:
    """Draw data of either task, with a loss and an output activation for it."""
    sizes: dict[str, Any] = {
        "training": draw(st.integers(1, 45)) if batch_size > 2 else draw(st.integers(1, 12)),
        "validation": draw(st.sampled_from([1, 2, 19, 501, 1003])),
        "inputs": draw(st.integers(1, 70)),
        "precision": precision,
    }
    if draw(st.booleans()):
        return classification(**sizes, classes=draw(st.integers(2, 11))), *draw(
            st.sampled_from(CLASSIFICATION)
        )
    return regression(**sizes, outputs=draw(st.integers(1, 9))), *draw(st.sampled_from(REGRESSION))


def _draw_network(draw: st.DrawFn) -> tuple[dict[str, Any], Sequence[float]]:
    """Draw the network of a shape, and the rates of dropout that its trials can have."""
    has_skips = draw(st.booleans())
    scaling = draw(st.sampled_from(get_args(DropoutScaling)))
    rates = draw(st.sampled_from([(0.0,), (0.1, 0.5, 0.9)] if scaling == "training" else [(0.1,), (0.5,)]))
    widths = st.sampled_from([7, 33]) if has_skips else st.integers(1, 70)
    shape = {
        "hidden": tuple(draw(st.lists(widths, max_size=4 if has_skips else 3))),
        "skip_connections": has_skips,
        "dropout_position": draw(st.sampled_from(get_args(DropoutPosition))),
        "dropout_layers": draw(st.sampled_from(get_args(DropoutLayers))),
        "dropout_scaling": scaling,
        "activation": draw(st.sampled_from(ACTIVATIONS)),
        "batch_norm": draw(st.booleans()),
        "batch_norm_affine": draw(st.booleans()),
        "batch_norm_epsilon": draw(st.sampled_from([1e-5, 0.1])),
    }
    return shape, rates


def _stay(number: int, shape: dict[str, Any], generator: np.random.Generator, rates: Sequence[float]) -> Stay:
    """Return a stay of a trial with its own rates, from 0 to far beyond divergence.

    `rates` are the possible rates of dropout.
    """
    return Stay(
        number=int(number),
        configuration=configuration(
            **shape,
            learning_rate=float(
                10 ** generator.choice([-3.0, -1.0, -0.5, 0.5, 9.0, generator.uniform(-7, 1)])
            ),
            weight_decay=float(generator.choice([0.0, 1e-6, 1e-2, 10.0])),
            momentum=float(generator.choice([0.0, 0.5, 0.9, 0.99])),
            dropout=float(generator.choice(rates)),
            initializer=INITIALIZERS[generator.choice(len(INITIALIZERS), p=[0.4, 0.2, 0.2, 0.05, 0.15])],
            epochs=int(generator.integers(1, 5)),
        ),
        after=int(generator.integers(0, 12)),
        steps=int(generator.integers(1, 40)),
    )


def check(story: Story) -> None:
    """Assert that every stay of `story` ends as it does alone."""
    for stay, end in zip(story.stays, played(story), strict=True):
        assert end == alone(story, stay), stay


@given(stories())
def test_a_trial_does_not_depend_on_its_company(story: Story) -> None:
    """Training K trials together gives each the numbers it gets alone, to the last bit."""
    check(story)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_two_blas_threads_keep_the_law(precision: Precision) -> None:
    """With two BLAS threads, products that are large enough for both keep trials apart.

    Results with one and with two threads may differ: OpenBLAS cuts a large product in other places.
    """
    data = classification(training=230, validation=200, inputs=300, classes=10, precision=precision)
    shape = {"hidden": (100,), "batch_size": 100, "precision": precision, "optimizer": "momentum"}
    stays = tuple(
        Stay(
            number=number,
            configuration=configuration(**shape, learning_rate=0.02 * (number + 1), weight_decay=1e-4),
            after=number % 2,
            steps=4,
        )
        for number in range(4)
    )
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        check(Story(data=data, capacity=3, stays=stays))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_used_row_is_like_a_new_one(optimizer: str) -> None:
    """A trial in the row of a diverged one, and one that joins a second time, train as they do alone."""
    data = classification(training=43)
    shape: dict[str, Any] = {"optimizer": optimizer, "batch_norm": True, "dropout": 0.3, "epochs": 2}
    diverging = Stay(
        number=0,
        configuration=configuration(
            **shape, learning_rate=1e9, initializer=Initializer(name="normal", scale=1e38)
        ),
        after=0,
        steps=6,
    )
    fresh = Stay(
        number=1,
        configuration=configuration(**shape, learning_rate=0.01, weight_decay=0.1),
        after=0,
        steps=99,
    )
    story = Story(data=data, capacity=1, stays=(diverging, fresh, replace(fresh, steps=4), fresh))
    ends = played(story)
    check(story)
    assert "NonFinite" in ends[0].telemetry
    assert "NonFinite" not in ends[1].telemetry
    assert ends[1] == ends[3]
