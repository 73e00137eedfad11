"""Telemetry: the measurements inside a trial during training, its series by epoch, and facts about its data."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, final


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """Facts about a study's data for diagnosis: numbers over the training part, scaled as the network sees it.

    `class_shares` are the shares of the classes, in 0..1, and empty in regression. `input_largest` is the largest
    magnitude among the inputs, `input_mean_square` the mean of their squares, `input_nonzero_share` the share of
    numbers that are not 0; `input_is_binary` is True if every one is 0 or 1, `input_is_constant` if there are several
    examples, all with the same inputs. `target_low` and `target_high` bound the targets (0 and 1 in classification);
    `target_variance` is the mean over outputs of the targets' variances, and `target_mean` the mean over outputs of
    the magnitudes of their means.

    `validation_shares` are the shares of the classes in the validation part; empty if they are unknown. `squeezed` and
    `constant` are the places of columns of inputs, from 0: those in which nine of ten numbers differ by less than a
    thousandth of the columns' usual deviation, and those with one number only. Images have none. `features` and
    `classes` are the names of the columns and of the classes, or empty.

    `leaked` is the number of validation examples that the training part has too, and `contradicted` the number of those
    whose inputs it has with other targets only; both are 0 if so few different inputs exist that chance explains them.
    `leaked_places` and `leaked_twins` are the places in the source, from 0, of a few of the leaked ones and of their
    equals in the training part; empty if they are unknown.
    """

    examples: int
    validation_examples: int
    class_shares: tuple[float, ...]
    input_largest: float
    input_mean_square: float
    input_nonzero_share: float
    input_is_binary: bool
    target_low: float
    target_high: float
    target_variance: float
    input_is_constant: bool = False
    target_mean: float = 0.0
    validation_shares: tuple[float, ...] = ()
    squeezed: tuple[int, ...] = ()
    constant: tuple[int, ...] = ()
    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    leaked: int = 0
    contradicted: int = 0
    leaked_places: tuple[int, ...] = ()
    leaked_twins: tuple[int, ...] = ()

    @property
    def is_classification(self) -> bool:
        """True if targets are classes."""
        return bool(self.class_shares)

    @property
    def majority_share(self) -> float:
        """The accuracy of a constant answer, the most frequent class; 0 in regression."""
        return max(self.class_shares, default=0.0)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSample:
    """Statistics of one dense layer of one trial at one step.

    Shares are in 0..1. `dead_share` is the share of units whose activation was not positive for any of the sample's
    examples; `silent_share` that of units that were not positive in the last 1,000 sampled examples (rule of three:
    they fire for less than 0.3 % of examples, at 95 %). `saturated_share` is the share of (unit, example) pairs on a
    flat part of the activation: |z| > 5 for sigmoid, |z| > 2.5 for tanh, z < -5 for ELU and SELU; 0 for the others.
    Norms are Euclidean, over the layer's weight matrix: `gradient_norm` is that of the data loss alone, without weight
    decay, and exactly 0.0 if every element is zero; `update_norm` is that of the step's change.
    """

    dead_share: float
    gradient_norm: float
    weight_norm: float
    silent_share: float = 0.0
    saturated_share: float = 0.0
    update_norm: float = math.nan


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One sample of one trial, taken at one step. NaN marks a missing measurement.

    `step` counts optimizer steps from 0. Two numbers of examples are the size of a sample. `batch_examples` is
    the size of the step's minibatch, from which gradients, and the numbers derived from them, are taken. `examples` is
    the number for `loss`, `accuracy`, `top_share`, `logit_max`, `output_range` and the layers' shares of units: a
    minibatch that is too small for them is replaced by a fixed random part of the training examples, in evaluation
    mode. 0 means unknown.

    `loss` is the mean of the data loss, and `batch_loss` that of the minibatch alone; NaN if it is the same.
    `logit_max` is the largest magnitude among the outputs before the output activation. `predicted_decrease` is
    -(gradient . change of the parameters), the first-order estimate of the fall of the loss; it is an average over
    examples even if gradients are summed. `layers` are all dense layers, input side first; the last is the output
    layer, whose `dead_share` is 0. In a training loop of the user's there may be none.

    `accuracy` is the share of right answers, `top_share` the share of the most frequent answer
    (classification only). `output_range` is the largest distance, over outputs, between two examples' outputs before
    the output activation: exactly 0 for a constant network. `gradient_cosine` is the cosine between this sample's
    gradient of the output layer's weights and the previous sample's, on another minibatch. `coherence` is that
    gradient's m-coherence (Chatterjee and Zielinski 2020), |sum g_b|^2 / sum |g_b|^2 over the minibatch's examples: 1
    if they are orthogonal, B if they are equal.

    Some samples are probes: `actual_decrease` is then the fall of the loss of the step's own minibatch, and
    `evaluation_loss` the loss of that minibatch after the step in evaluation mode (only if it differs: with batch
    normalization or dropout).
    """

    step: int
    loss: float
    logit_max: float
    predicted_decrease: float
    layers: tuple[LayerSample, ...]
    accuracy: float = math.nan
    top_share: float = math.nan
    output_range: float = math.nan
    gradient_cosine: float = math.nan
    coherence: float = math.nan
    actual_decrease: float = math.nan
    evaluation_loss: float = math.nan
    batch_loss: float = math.nan
    examples: int = 0
    batch_examples: int = 0

    @property
    def minibatch_loss(self) -> float:
        """The mean of the data loss over the step's own minibatch, to which probes refer."""
        return self.loss if math.isnan(self.batch_loss) else self.batch_loss

    @property
    def hidden(self) -> tuple[LayerSample, ...]:
        """The hidden layers, input side first."""
        return self.layers[:-1]

    @property
    def dead_share(self) -> float:
        """The largest known share of silent units in a hidden layer; 0 without hidden layers, NaN if none is known."""
        shares = [layer.dead_share for layer in self.hidden]
        return max((share for share in shares if not math.isnan(share)), default=math.nan if shares else 0.0)

    @property
    def weight_norm(self) -> float:
        """The Euclidean norm of all weight matrices together."""
        return math.hypot(*(layer.weight_norm for layer in self.layers))

    @property
    def gradient_norm(self) -> float:
        """The Euclidean norm of the gradients of all weight matrices together."""
        return math.hypot(*(layer.gradient_norm for layer in self.layers))

    @property
    def gain(self) -> float:
        """Rho, the actual over the predicted decrease; NaN if the sample is no probe or predicts no decrease.

        On a quadratic it is 1 - lr kappa / 2, where kappa is the curvature along the step: at 1 the step is far too
        small, at 0.5 it is the best along its line, at 0 it overshot to equal height, and below 0 it raised the loss.
        It is (1 - alpha) / 2 in the terms of Cockpit (Schneider et al. 2021, section 3.1).
        """
        if not self.predicted_decrease > 0:
            return math.nan
        return self.actual_decrease / self.predicted_decrease


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NonFinite:
    """The first non-finite number of a trial: the step, and the first array with one.

    Arrays are searched in the order of the computation: `weights` (written by the previous step), `activations`,
    `logits`, `loss`.
    """

    step: int
    array: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One finished epoch of one trial.

    `epoch` counts from 0. `training_loss` is the mean over the epoch's examples, each measured in its minibatch;
    `validation_accuracy` is None in regression. Losses are data losses, without weight decay; in regression they are of
    the scaled targets, and the training loss is weighted if the study weights classes. `scores` are other metrics on
    validation by their names (`study.metrics`): RMSE, MAE and R2 in regression, and the study's own. In a training loop
    of the user's, validation that was not reported is NaN and None.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float | None
    scores: Mapping[str, float] = field(default_factory=dict)

    def value(self, metric: str) -> float | None:
        """Return the metric after this epoch, which may be NaN; None if it was not measured."""
        match metric:
            case "validation_loss":
                return self.validation_loss
            case "validation_accuracy":
                return self.validation_accuracy
            case _:
                return self.scores.get(metric)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A training loop of the user's, as far as a monitor sees it.

    `data` are estimates from the minibatches that were measured; NaN, 0 and () are unknown. `loss` is the loss whose
    formula gives the loop's numbers, in the words of study files, or "auto". `activation` is that of all hidden layers
    in the same words, "identity" if it is unknown or they differ. `hidden` are their widths. `is_chain` is True for a
    chain of dense and convolutional layers, in which gradients of layers compare. `normalizes` is True if it has batch
    normalization or another kind. `steps_planned` are the steps of the whole training, a guess unless the user gave it.

    `softmax` is a mistake that the loss proves: it applies a softmax "twice", or "over_examples"; "" if there is none.
    `stale_since` is the step since which gradients of earlier steps are added to each step's, None if they are not.
    `untrained` are the names of layers whose weights have never changed.
    """

    data: DataFacts
    loss: str = "auto"
    hidden: tuple[int, ...] = ()
    activation: str = "identity"
    is_chain: bool = False
    normalizes: bool = False
    dropout: float = 0.0
    optimizer: str = "sgd"
    learning_rate: float = math.nan
    momentum: float = 0.0
    weight_decay: float = 0.0
    precision: str = "float32"
    batch_size: int = 1
    steps_planned: int = 1
    steps_per_epoch: int = 1
    softmax: str = ""
    stale_since: int | None = None
    untrained: tuple[str, ...] = ()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """All measurements inside one trial so far, oldest first. `program` is None for the built-in network."""

    steps: int
    samples: Sequence[Sample]
    epochs: Sequence[Epoch]
    nonfinite: NonFinite | None
    program: Program | None = None


Series: TypeAlias = Mapping[str, Sequence[float]]
"""The per-epoch series of a trial: name -> one number per finished epoch, NaN if there is none.

Names: `training_loss`, `validation_loss`, `validation_accuracy` (classification only), the other `Epoch.scores`, and
of the epoch's last sample `dead_share` (largest of the hidden layers), `gradient_norm`, `weight_norm` (over all
layers), `logit_max` and `output_range`; trials of older versions lack the last, and scores. All series of a trial are
equally long.
"""


_OF_A_SAMPLE: Mapping[str, Callable[[Sample], float]] = {
    "dead_share": lambda sample: sample.dead_share,
    "gradient_norm": lambda sample: sample.gradient_norm,
    "weight_norm": lambda sample: sample.weight_norm,
    "logit_max": lambda sample: sample.logit_max,
    "output_range": lambda sample: sample.output_range,
}
"""Series that show the last sample of each epoch."""


def series_of(telemetry: Telemetry, *, steps_per_epoch: int) -> Series:
    """Return the `Series` of the finished epochs of `telemetry`."""
    epochs = telemetry.epochs
    looks = [_last_sample(telemetry.samples, (epoch.epoch + 1) * steps_per_epoch) for epoch in epochs]
    series: dict[str, Sequence[float]] = {
        "training_loss": [epoch.training_loss for epoch in epochs],
        "validation_loss": [epoch.validation_loss for epoch in epochs],
    }
    for name, measure in _OF_A_SAMPLE.items():
        series[name] = [math.nan if look is None else measure(look) for look in looks]
    if any(epoch.validation_accuracy is not None for epoch in epochs):
        series["validation_accuracy"] = [
            math.nan if epoch.validation_accuracy is None else epoch.validation_accuracy for epoch in epochs
        ]
    for name in epochs[0].scores if epochs else ():
        series[name] = [epoch.scores.get(name, math.nan) for epoch in epochs]
    return series


def _last_sample(samples: Sequence[Sample], before_step: int) -> Sample | None:
    """Return the newest sample taken before that step, or None."""
    return next((sample for sample in reversed(samples) if sample.step < before_step), None)
