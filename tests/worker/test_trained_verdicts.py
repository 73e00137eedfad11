"""Verdicts on networks that are really trained, on data of kinds that were judged wrongly before."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from hpsearch.data.dataset import Array, RawData
from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import TrialFacts, facts_about
from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.study.spec import DataSpec, Initializer, ModelSpec, StudySpec, TrainingSpec, configure
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_end
from hpsearch.training.row import Observation, shape_of
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.preparation import PreparedStudy, prepare_study
from hpsearch.worker.trial_diagnosis import diagnose_configuration
from hpsearch.workflows.healing import heal

Data = tuple[Array, Array]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """One trained trial: its cause, whether diagnosis stopped it, and its last validation."""

    cause: Cause
    is_stopped: bool
    accuracy: float
    loss: float


def study(
    data: Data, *, seed: int = 0, scale: str = "none", task: str = "auto", **settings: Any
) -> PreparedStudy:
    """Return a study of arrays that searches nothing; `settings` are of its model or its training."""
    model = {name: value for name, value in settings.items() if name in ModelSpec.__dataclass_fields__}
    training = {name: value for name, value in settings.items() if name not in model}
    spec = StudySpec(
        name="x",
        seed=seed,
        data=DataSpec(source="data", scale=scale, task=task),  # type: ignore[arg-type] # the tests' own values
        model=ModelSpec(**model),
        training=TrainingSpec(**training),
        search=(),
    )
    raw = RawData(inputs=data[0], targets=data[1], where="data", origin="data")
    return prepare_study(spec, arrays=raw)


def train(prepared: PreparedStudy, rates: Sequence[float]) -> list[Trained]:
    """Train a trial with each of `rates` as a worker does: to its end, or to the first sure fatal verdict."""
    configuration = configure(prepared.spec, {})
    configurations = {
        number: replace(configuration, training=replace(configuration.training, learning_rate=rate))
        for number, rate in enumerate(rates)
    }
    data, fatal = facts_of(prepared.data), prepared.spec.pruning.fatal_causes
    facts = {number: facts_about(prepared.spec, data, own) for number, own in configurations.items()}

    def is_over(observation: Observation) -> bool:
        telemetry = observation.telemetry
        if observation.is_finished or telemetry.nonfinite is not None:
            return True
        return fatal_finding(telemetry, facts[observation.number], fatal) is not None

    with threadpool_limits(limits=1):
        cohort = Cohort(shape_of(configuration), prepared.data, capacity=len(rates), seed=prepared.spec.seed)
        ends = {end.number: end for end in train_to_end(cohort, configurations, is_over=is_over)}
    return [_trained(ends[number], facts[number]) for number in sorted(ends)]


def _trained(end: Observation, facts: TrialFacts) -> Trained:
    epochs = end.telemetry.epochs
    accuracy = epochs[-1].validation_accuracy if epochs else None
    return Trained(
        cause=judge(end.telemetry, facts).cause,
        is_stopped=not end.is_finished,
        accuracy=float("nan") if accuracy is None else accuracy,
        loss=epochs[-1].validation_loss if epochs else float("inf"),
    )


def switches(generator: np.random.Generator) -> Data:
    """Return two switches and a lamp that is on if they differ: a quarter of the examples is all zeros."""
    x = generator.integers(0, 2, (120, 2))
    return x.astype(float), x[:, 0] ^ x[:, 1]


def passengers(generator: np.random.Generator) -> Data:
    """Return six yes-or-no columns, and a class of which three fifths are the same, with noise."""
    x = (generator.random((240, 6)) < 0.45).astype(float)
    score = x @ [1.5, -1.2, -0.8, 0.3, -0.3, 0.2] + 0.5 * generator.standard_normal(240)
    return x, (score > np.quantile(score, 0.6)).astype(int)


def wave(generator: np.random.Generator) -> Data:
    """Return the height of a sine over more than a period."""
    t = generator.uniform(0, 8, (250, 1))
    return t, np.sin(t)


def echoes(generator: np.random.Generator) -> Data:
    """Return 208 echoes of 60 bands, a few of which differ a little between rocks and metal."""
    kind = generator.integers(0, 2, 208)
    x = generator.standard_normal((208, 60))
    x[:, :6] += 0.35 * kind[:, None]
    return x, kind


def qualities(generator: np.random.Generator) -> Data:
    """Return eleven measurements and a quality from 3 to 8, most of it noise."""
    x = generator.standard_normal((800, 11))
    y = 5.6 + 0.5 * x[:, 0] - 0.35 * x[:, 1] + 0.3 * x[:, 2] + 0.65 * generator.standard_normal(800)
    return x, np.array([f"q{value:.0f}" for value in np.clip(y.round(), 3, 8)])


def rare(generator: np.random.Generator) -> Data:
    """Return two classes, one of which has one example in twenty-five and can be distinguished."""
    y = (generator.random(1000) < 0.04).astype(int)
    return generator.standard_normal((1000, 8)) + 1.4 * y[:, None], y


NOT_ILL = frozenset({Cause.HEALTHY, Cause.INCONCLUSIVE, Cause.OVERFIT})


def causes(trained: Sequence[Trained]) -> Counter[Cause]:
    """Return how many trials have each cause."""
    return Counter(trial.cause for trial in trained)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_inputs_of_zeros_are_no_dead_units(seed: int) -> None:
    """With minibatches of one example the gradient of an example of zeros is 0, and all trials are healthy."""
    generator = np.random.default_rng(seed)
    prepared = study(switches(generator), seed=seed, hidden=(8,), batch_size=1, epochs=30)
    trained = train(prepared, list(10 ** generator.uniform(-2.5, -0.5, 8)))
    assert causes(trained) == {Cause.HEALTHY: 8}
    assert not any(trial.is_stopped for trial in trained)


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 3e-4), ("momentum", 1e-3)])
def test_single_examples_are_no_whole(optimizer: str, rate: float) -> None:
    """The losses and answers of single examples make no trial too slow or collapsed that learns."""
    generator = np.random.default_rng(2)
    prepared = study(
        passengers(generator), seed=2, hidden=(16, 8), batch_size=1, epochs=30, optimizer=optimizer
    )
    trained = train(prepared, [rate] * 6)
    assert causes(trained).keys() <= NOT_ILL
    assert min(trial.accuracy for trial in trained) > 0.7


def test_a_slow_start_is_no_straight_line() -> None:
    """Networks that leave a plateau late in a long trial are not stopped on it."""
    generator = np.random.default_rng(0)
    prepared = study(
        wave(generator),
        hidden=(64,),
        activation="tanh",
        output="tanh",
        initializer=Initializer(name="normal", scale=1.0),
        batch_size=200,
        epochs=1000,
        reduction="sum",
        task="regression",
    )
    trained = train(prepared, [1e-5] * 6)
    late = [trained[number] for number in (0, 5)]
    assert [(trial.cause, trial.is_stopped) for trial in late] == [(Cause.HEALTHY, False)] * 2
    assert max(trial.loss for trial in late) < 0.25


@pytest.mark.parametrize("seed", range(4))
def test_noise_learned_by_heart_is_no_wrong_validation(seed: int) -> None:
    """A few dozen validation examples near chance are those of a network that overfits, not another data set's."""
    generator = np.random.default_rng(seed)
    prepared = study(echoes(generator), seed=seed, scale="standard", hidden=(32,), batch_size=32, epochs=30)
    assert causes(train(prepared, [0.05] * 16)).keys() <= NOT_ILL


def test_shuffled_validation_is_still_found() -> None:
    """If training answers well and validation's labels are shuffled, the verdict names validation."""
    generator = np.random.default_rng(1)
    kind = generator.integers(0, 2, 600)
    x = generator.standard_normal((600, 20))
    x[:, :6] += 1.5 * kind[:, None]
    prepared = study((x, kind), scale="standard", hidden=(32,), batch_size=32, epochs=30)
    generator.shuffle(prepared.data.validation.targets)
    found = causes(train(prepared, [0.05] * 6))
    assert found == {Cause.VAL_MISALIGNED: 6}


def test_a_noisy_quality_is_not_misaligned() -> None:
    """Small minibatches and targets that are mostly noise: a slow trial, and no fault of validation."""
    prepared = study(
        qualities(np.random.default_rng(0)),
        scale="standard",
        hidden=(12, 8),
        batch_size=5,
        epochs=10,
        optimizer="adam",
    )
    assert causes(train(prepared, [3e-4] * 6)).keys() <= {*NOT_ILL, Cause.LR_TOO_LOW}


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_class_that_is_found_is_no_collapse(seed: int) -> None:
    """One answer in twenty-five is rare, as the class is."""
    prepared = study(
        rare(np.random.default_rng(seed)), seed=seed, hidden=(16,), batch_size=20, epochs=10, optimizer="adam"
    )
    assert causes(train(prepared, [1e-3, 3e-3, 1e-2] * 2)).keys() <= NOT_ILL


def first_finding(prepared: PreparedStudy) -> Finding:
    """Return the strongest finding on one configuration."""
    return diagnose_configuration(prepared).verdict.primary


def line(noise: float, unit: float) -> Data:
    """Return a line with noise."""
    generator = np.random.default_rng(7)
    x = generator.standard_normal((300, 1))
    return x, unit * (3 * x + noise * generator.standard_normal((300, 1)))


def test_noise_is_no_plateau() -> None:
    """A linear model whose loss is the noise of its data is done."""
    prepared = study(
        line(2.0, 1.0), task="regression", hidden=(), batch_size=16, epochs=30, learning_rate=0.05
    )
    assert first_finding(prepared).cause is Cause.HEALTHY


def bowl(generator: np.random.Generator) -> Data:
    """Return points in and out of a circle, about as many."""
    x = generator.random((500, 2))
    return x, (((x - 0.5) ** 2).sum(axis=1) < 0.16).astype(int)


def test_a_slow_optimum_gets_a_higher_rate() -> None:
    """Sigmoid layers that learn too slowly are healed with a higher rate; balanced classes are not blamed."""
    prepared = study(
        bowl(np.random.default_rng(5)),
        hidden=(20, 20),
        activation="sigmoid",
        initializer=Initializer(name="xavier"),
        epochs=100,
        batch_size=200,
        optimizer="adam",
        learning_rate=0.001,
    )
    healing = heal(prepared)
    assert "balance" not in healing.first.verdict.primary.remedy
    assert healing.is_healthy
    assert float(healing.settings["learning_rate"]) > 0.005


def test_a_remedy_that_is_set_is_not_proposed() -> None:
    """Narrow layers that die are widened, and nothing sends the learning rate up and down."""
    x = np.arange(-1.0, 6.0)[:, None]
    prepared = study(
        (x, 2 * x - 1),
        task="regression",
        hidden=(4, 2),
        initializer=Initializer(name="xavier"),
        epochs=200,
        batch_size=6,
        optimizer="adam",
        learning_rate=0.001,
        seed=11,
    )
    for seed in range(3):
        again = replace(prepared, spec=replace(prepared.spec, seed=seed))
        steps = heal(again).steps
        changes = [step.settings for step in steps]
        assert len({str(change) for change in changes}) == len(changes)
        rates = [float(change["learning_rate"]) for change in changes if change.keys() == {"learning_rate"}]
        assert rates in (sorted(rates), sorted(rates, reverse=True))


@pytest.mark.parametrize(
    ("hidden", "activation", "rate", "settings"),
    [
        ((64, 64), "relu", 3e-7, {}),
        ((32, 32, 32), "tanh", 3e-6, {}),
        ((64,), "tanh", 3e-8, {"initializer": Initializer(name="normal", scale=1.0), "reduction": "sum"}),
    ],
)
def test_a_slow_start_that_falls_far_is_not_stopped(
    hidden: tuple[int, ...], activation: str, rate: float, settings: dict[str, Any]
) -> None:
    """Networks that moved by less than a tenth at the pace of their first 50 steps lose much of a high loss."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 6, (60, 1))
    prepared = study(
        (x, 0.5 * np.sin(x[:, 0])),
        task="regression",
        hidden=hidden,
        activation=activation,
        optimizer="momentum",
        epochs=600,
        batch_size=60,
        **settings,
    )
    assert not any(trial.is_stopped for trial in train(prepared, [rate] * 6))
