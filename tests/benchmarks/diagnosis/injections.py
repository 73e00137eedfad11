"""What is done to healthy bases: one thing at a time, from harmless to grave."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias, final

import numpy as np

from hpsearch.data.dataset import Array
from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.study.spec import Configuration, Initializer, Loss, OptimizerName, Output
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.bases import MOST_STEPS, Base, within_steps
from tests.benchmarks.diagnosis.data_sets import prepared, with_parts

Severities: TypeAlias = Callable[[Base], Sequence[float]]
Configure: TypeAlias = Callable[[Base, Configuration, float], Configuration]
Distort: TypeAlias = Callable[[Base, PreparedData, float], PreparedData]

LOSS_PAIRS: Final[Sequence[tuple[Loss, Output]]] = (
    ("mse", "softmax"),
    ("mse", "sigmoid"),
    ("cross_entropy", "sigmoid"),
    ("cross_entropy", "relu"),
    ("cross_entropy", "tanh"),
    ("binary_cross_entropy", "softmax"),
    ("binary_cross_entropy", "relu"),
    ("mse", "relu"),
)
"""Losses and outputs that do not belong together; the severity of `loss_pair` is an index into them."""

OUTPUTS: Final[Sequence[Output]] = ("sigmoid", "tanh", "relu")
"""Outputs that cannot give every number; the severity of `output_bounds` is an index into them."""

LINEAR: Final = frozenset({"sgd", "momentum", "nesterov"})
"""Optimizers whose steps are linear in the gradient."""

USUAL_RATES: Final[Sequence[tuple[OptimizerName, float]]] = (
    ("sgd", 0.05),
    ("momentum", 0.01),
    ("nesterov", 0.01),
    ("adagrad", 0.03),
    ("rmsprop", 0.003),
    ("adam", 0.003),
    ("adamw", 0.003),
)
"""Optimizers with a usual learning rate of each; the severity of `other_optimizer` is an index into them."""

FRESH: Final = 7919
"""Second word of the seed of everything that injections draw."""


def _same_configuration(base: Base, configuration: Configuration, severity: float) -> Configuration:
    return configuration


def _same_data(base: Base, data: PreparedData, severity: float) -> PreparedData:
    return data


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Injection:
    """One intervention. `severities` are those that a base is given, none if the base cannot have it.

    `cause` is what the intervention is, HEALTHY if it should do no harm. `definite` are severities at which the
    cause is there by definition, so that a run which learns all the same is no example of health. A base is given
    `most_severities` of the severities, and each of them to `draws` runs.
    """

    name: str
    cause: Cause
    severities: Severities
    configure: Configure = _same_configuration
    distort: Distort = _same_data
    definite: Sequence[float] = ()
    draws: int = 2
    most_severities: int = 2

    @property
    def distorts(self) -> bool:
        """Return True if the data is changed."""
        return self.distort is not _same_data


def _training(configuration: Configuration, **changes: float | str) -> Configuration:
    return replace(configuration, training=replace(configuration.training, **changes))  # type: ignore[arg-type]


def _model(configuration: Configuration, **changes: object) -> Configuration:
    return replace(configuration, model=replace(configuration.model, **changes))  # type: ignore[arg-type]


def _part(part: DataPart, *, inputs: Array | None = None, targets: Array | None = None) -> DataPart:
    return DataPart(
        inputs=part.inputs if inputs is None else np.ascontiguousarray(inputs, np.float32),
        targets=part.targets if targets is None else targets,
    )


def _on_inputs(data: PreparedData, change: Callable[[Array], Array]) -> PreparedData:
    return with_parts(
        data,
        training=_part(data.training, inputs=change(data.training.inputs)),
        validation=_part(data.validation, inputs=change(data.validation.inputs)),
    )


def _shuffled(targets: Array, share: float, base: Base) -> Array:
    """Return targets of which that share has changed places."""
    generator = np.random.default_rng([base.seed, FRESH])
    moved = np.flatnonzero(generator.random(len(targets)) < share)
    mixed = targets.copy()
    mixed[moved] = targets[generator.permutation(moved)]
    return mixed


def scaled_rate(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Multiply the learning rate by the severity."""
    return _training(configuration, learning_rate=configuration.training.learning_rate * severity)


def _weight_decay(base: Base, configuration: Configuration, severity: float) -> Configuration:
    return _training(configuration, weight_decay=severity)


def _normal_weights(base: Base, configuration: Configuration, severity: float) -> Configuration:
    return _model(configuration, initializer=Initializer(name="normal", scale=severity))


def _scaled_weights(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Draw weights `severity` times as large as Xavier's in the widest square layer."""
    width = max(base.hidden)
    return _normal_weights(base, configuration, float(severity / np.sqrt(width)))


def _dropout(base: Base, configuration: Configuration, severity: float) -> Configuration:
    return _model(configuration, dropout=severity)


def _summed(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Sum gradients, at `severity` times the learning rate."""
    return scaled_rate(base, _training(configuration, reduction="sum"), severity)


def _loss_pair(base: Base, configuration: Configuration, severity: float) -> Configuration:
    loss, output = LOSS_PAIRS[int(severity)]
    return _model(configuration, loss=loss, output=output)


def _bounded_output(base: Base, configuration: Configuration, severity: float) -> Configuration:
    return _model(configuration, output=OUTPUTS[int(severity)])


def _narrow(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Leave one hidden layer of `severity` units, or a linear model at 0."""
    return _model(configuration, hidden=(int(severity),) if severity else ())


def _narrow_and_deep(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Make `severity` layers of two units (Lu et al. 2019: such ReLU networks are born dead)."""
    return _model(configuration, hidden=(2,) * int(severity))


def _small_batches(base: Base, configuration: Configuration, severity: float) -> Configuration:
    changed = _training(configuration, batch_size=int(severity))
    return within_steps(changed, len(base.examples.training.inputs), base.steps)


def _small_steps(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Train with minibatches of `severity` examples, and a learning rate that is smaller by as much at most."""
    training = configuration.training
    share = min(1.0, severity / training.batch_size)
    rate = training.learning_rate * (share if training.optimizer in LINEAR else math.sqrt(share))
    changed = _training(configuration, batch_size=int(severity), learning_rate=float(f"{rate:.3g}"))
    return within_steps(changed, len(base.examples.training.inputs), MOST_STEPS)


def _other_optimizer(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Train with another optimizer at a usual learning rate of it."""
    name, rate = USUAL_RATES[int(severity)]
    return _training(configuration, optimizer=name, learning_rate=rate)


def _longer(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Train on `severity` examples for as many steps as before."""
    count = int(severity)
    changed = _training(configuration, batch_size=min(configuration.training.batch_size, count))
    return within_steps(changed, count, max(base.steps, 1000))


def _multiplied(base: Base, data: PreparedData, severity: float) -> PreparedData:
    return _on_inputs(data, lambda x: x * np.float32(severity))


def _raw(base: Base, data: PreparedData, severity: float) -> PreparedData:
    return prepared(base.data, "none", base.seed)


def _whole_numbers(base: Base, data: PreparedData, severity: float) -> PreparedData:
    """Divide inputs of 0..1 by `severity` and drop what is behind the point."""
    unit = prepared(base.data, "unit", base.seed)
    return _on_inputs(unit, lambda x: np.clip(np.floor(x / np.float32(severity)), 0, 1))


def _mixed_labels(base: Base, data: PreparedData, severity: float) -> PreparedData:
    training = _part(data.training, targets=_shuffled(data.training.targets, severity, base))
    return with_parts(data, training=training, validation=data.validation)


def _mixed_validation(base: Base, data: PreparedData, severity: float) -> PreparedData:
    validation = _part(data.validation, targets=_shuffled(data.validation.targets, severity, base))
    return with_parts(data, training=data.training, validation=validation)


def _raw_targets(base: Base, data: PreparedData, severity: float) -> PreparedData:
    """Multiply the targets, and put their mean at half of that: prices and populations look so."""
    factor = np.float32(severity)
    training, validation = (
        _part(fold, targets=factor * fold.targets + factor / 2) for fold in (data.training, data.validation)
    )
    return with_parts(data, training=training, validation=validation)


def _few(base: Base, data: PreparedData, severity: float) -> PreparedData:
    kept = slice(int(severity))
    training = _part(data.training, inputs=data.training.inputs[kept], targets=data.training.targets[kept])
    return with_parts(data, training=training, validation=data.validation)


def _rare_classes(base: Base, data: PreparedData, severity: float) -> PreparedData:
    """Keep one of `severity` training examples of every class but the most frequent."""
    targets = data.training.targets
    top = int(np.bincount(targets).argmax())
    generator = np.random.default_rng([base.seed, FRESH])
    kept = (targets == top) | (generator.random(len(targets)) < 1 / severity)
    for label in np.unique(targets):
        kept[np.flatnonzero(targets == label)[:1]] = True
    training = _part(data.training, inputs=data.training.inputs[kept], targets=targets[kept])
    return with_parts(data, training=training, validation=data.validation)


def _fewer_steps(base: Base, configuration: Configuration, severity: float) -> Configuration:
    """Train as many steps on the examples that `_rare_classes` leaves."""
    count = len(_rare_classes(base, base.examples, severity).training.inputs)
    size = min(configuration.training.batch_size, count)
    return within_steps(_training(configuration, batch_size=size), count, base.steps)


def _always(*severities: float) -> Severities:
    return lambda _: severities


def _never(base: Base) -> Sequence[float]:
    return ()


def _where(condition: Callable[[Base], bool], *severities: float) -> Severities:
    return lambda base: severities if condition(base) else ()


def _is_deep(base: Base) -> bool:
    return len(base.hidden) >= 4 and not base.batch_norm


def _is_relu(base: Base) -> bool:
    return base.activation == "relu"


def _is_image(base: Base) -> bool:
    return base.data in ("digits", "mnist")


def _counts(base: Base, *counts: int) -> Sequence[float]:
    return [count for count in counts if count <= len(base.examples.training.inputs) / 2]


def _batches(base: Base, *sizes: int) -> Sequence[float]:
    return [size for size in sizes if len(base.examples.training.inputs) <= size * MOST_STEPS]


INJECTIONS: Final[Sequence[Injection]] = (
    Injection(name="none", cause=Cause.HEALTHY, severities=_always(0.0), draws=18),
    Injection(
        name="weight_decay",
        cause=Cause.WD_DOMINATES,
        severities=_always(1e-4, 1e-3, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
        configure=_weight_decay,
    ),
    Injection(
        name="normal_weights",
        cause=Cause.SYMMETRIC_INIT,
        severities=_always(0.0, 1e-12, 1e-9),
        configure=_normal_weights,
        definite=(0.0,),
    ),
    Injection(
        name="small_weights",
        cause=Cause.VANISHING_GRAD,
        severities=_where(_is_deep, 0.3, 0.1, 0.03, 0.01, 0.003),
        configure=_scaled_weights,
    ),
    Injection(
        name="large_weights",
        cause=Cause.EXPLODING_GRAD,
        severities=lambda base: (
            (2.0, 4.0, 8.0, 16.0, 32.0)
            if len(base.hidden) >= 3 and base.activation in ("relu", "selu", "elu", "leaky_relu", "tanh")
            else ()
        ),
        configure=_scaled_weights,
        most_severities=3,
    ),
    Injection(
        name="saturating_weights",
        cause=Cause.SATURATED,
        severities=_where(
            lambda base: base.activation in ("sigmoid", "tanh") and not base.batch_norm,
            2.0,
            5.0,
            10.0,
            30.0,
            100.0,
        ),
        configure=_scaled_weights,
    ),
    Injection(
        name="multiplied_inputs",
        cause=Cause.INPUT_UNSCALED,
        severities=_always(2.0, 8.0, 16.0, 64.0, 255.0),
        distort=_multiplied,
        draws=3,
        most_severities=1,
    ),
    Injection(
        name="raw_inputs",
        cause=Cause.INPUT_UNSCALED,
        severities=_where(
            lambda base: base.data in ("wine", "breast_cancer", "diabetes", "diabetes_scaled"), 1.0
        ),
        distort=_raw,
        draws=4,
    ),
    Injection(
        name="whole_inputs",
        cause=Cause.INPUT_DEGENERATE,
        severities=lambda base: (0.4, 0.8, 1.0, 1.004) if _is_image(base) else (1.0, 1.004),
        distort=_whole_numbers,
        draws=3,
        most_severities=1,
    ),
    Injection(
        name="labels_shuffled",
        cause=Cause.LABELS_UNRELATED,
        severities=_always(0.3, 0.5, 0.9, 0.95, 1.0),
        distort=_mixed_labels,
        draws=3,
        most_severities=1,
    ),
    Injection(
        name="validation_shuffled",
        cause=Cause.VAL_MISALIGNED,
        severities=_always(0.9, 1.0),
        distort=_mixed_validation,
        draws=3,
        most_severities=1,
    ),
    Injection(
        name="rare_classes",
        cause=Cause.COLLAPSED_OUTPUT,
        severities=_where(lambda base: base.is_classification, 3.0, 10.0, 100.0, 300.0, 1000.0),
        configure=_fewer_steps,
        distort=_rare_classes,
        draws=3,
    ),
    Injection(
        name="loss_pair",
        cause=Cause.WRONG_LOSS_PAIR,
        severities=lambda base: tuple(map(float, range(len(LOSS_PAIRS)))) if base.is_classification else (),
        configure=_loss_pair,
        definite=range(len(LOSS_PAIRS)),
    ),
    Injection(
        name="output_bounds",
        cause=Cause.OUTPUT_RANGE,
        severities=_where(lambda base: not base.is_classification, 0.0, 1.0, 2.0),
        configure=_bounded_output,
        definite=range(len(OUTPUTS)),
        draws=3,
    ),
    Injection(
        name="dropout",
        cause=Cause.TRAIN_EVAL_SHIFT,
        severities=_where(lambda base: base.batch_norm, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9),
        configure=_dropout,
        most_severities=3,
    ),
    Injection(
        name="small_batches",
        cause=Cause.TRAIN_EVAL_SHIFT,
        severities=lambda base: _batches(base, 2, 3, 4, 8) if base.batch_norm else (),
        configure=_small_batches,
    ),
    Injection(
        name="raw_targets",
        cause=Cause.TARGETS_UNSCALED,
        severities=_where(lambda base: not base.is_classification, 2e3, 1e4, 1e5, 1e6),
        distort=_raw_targets,
    ),
    Injection(
        name="small_steps",
        cause=Cause.HEALTHY,
        severities=lambda base: [size for size in (1, 2, 4, 8, 16) if size < base.batch_size],
        configure=_small_steps,
        draws=4,
    ),
    Injection(
        name="other_optimizer",
        cause=Cause.HEALTHY,
        severities=_always(*map(float, range(len(USUAL_RATES)))),
        configure=_other_optimizer,
        draws=4,
    ),
    Injection(
        name="mild_dropout",
        cause=Cause.HEALTHY,
        severities=_where(lambda base: not base.batch_norm and max(base.hidden) >= 32, 0.1, 0.3),
        configure=_dropout,
        draws=1,
    ),
    Injection(
        name="few_examples",
        cause=Cause.OVERFIT,
        severities=lambda base: _counts(base, 40, 80, 150, 300),
        configure=_longer,
        distort=_few,
    ),
    Injection(
        name="narrow",
        cause=Cause.PLATEAU,
        severities=_always(0.0, 1.0, 2.0, 3.0),
        configure=_narrow,
    ),
    Injection(
        name="narrow_and_deep",
        cause=Cause.BORN_DEAD,
        severities=_where(lambda base: _is_relu(base) and not base.batch_norm, 10.0, 20.0),
        configure=_narrow_and_deep,
    ),
    Injection(
        name="summed_gradients",
        cause=Cause.GRAD_REDUCTION_SUM,
        severities=lambda base: (1.0,) if base.optimizer in ("sgd", "momentum") else (),
        configure=_summed,
        definite=(1.0,),
        draws=3,
    ),
    Injection(
        name="learning_rate", cause=Cause.LR_TOO_LOW, severities=_never, configure=scaled_rate, draws=1
    ),
)
"""Every intervention. The severities of `learning_rate` are factors, and follow from what a base bears."""

BY_NAME: Final[Mapping[str, Injection]] = {injection.name: injection for injection in INJECTIONS}

DOUBLE: Final = "+"
"""Stands between the names of a double fault; the second one has its severity from SECOND_SEVERITY."""

SECOND_SEVERITY: Final[Mapping[str, float]] = {
    "validation_shuffled": 1.0,
    "labels_shuffled": 1.0,
    "multiplied_inputs": 64.0,
    "loss_pair": 0.0,
    "output_bounds": 0.0,
    "normal_weights": 0.0,
    "weight_decay": 0.3,
    "rare_classes": 100.0,
}


def parts_of(name: str, severity: float) -> Sequence[tuple[Injection, float]]:
    """Return the injections of a name with their severities, one or two."""
    first, *rest = name.split(DOUBLE)
    return [(BY_NAME[first], severity), *((BY_NAME[other], SECOND_SEVERITY[other]) for other in rest)]


def configuration_of(base: Base, name: str, severity: float, *, learning_rate: float) -> Configuration:
    """Return the base's configuration with the injection `name`."""
    configuration = base.configuration(learning_rate)
    for injection, strength in parts_of(name, severity):
        configuration = injection.configure(base, configuration, strength)
    return configuration


def data_of(base: Base, name: str, severity: float) -> PreparedData:
    """Return the base's data with the injection `name`."""
    data = base.examples
    for injection, strength in parts_of(name, severity):
        data = injection.distort(base, data, strength)
    return data
