"""Records that the stages hand to each other, and the words that all of them share."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeAlias, final

ParameterValue: TypeAlias = float | int | str | bool
"""What a searched parameter can be. A list (such as the widths of layers) travels as its JSON text."""


@final
class TrialState(StrEnum):
    """Where a trial stands. `COMPLETE`, `PRUNED` and `FAILED` are final."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """True when the trial will not change any more."""
        return self in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED)


@final
class Cause(StrEnum):
    """Why a trial ended, or what is wrong with it. Stored by name: append only, never rename.

    The first block is the catalogue of diagnosis, the second what ends a trial from outside. The name `timeout` is
    reserved for trials that take too long, which nothing ends yet.
    """

    NONFINITE_INPUT = "nonfinite_input"
    LOG_ZERO = "log_zero"
    FLOAT_UNDERFLOW = "float_underflow"
    DIVERGED_LR = "diverged_lr"
    EXPLODING = "exploding"
    DEAD_RELU_TOTAL = "dead_relu_total"
    DEAD_RELU_PARTIAL = "dead_relu_partial"
    BORN_DEAD = "born_dead"
    SYMMETRIC_INIT = "symmetric_init"
    SATURATED = "saturated"
    NEG_PLATEAU = "neg_plateau"
    VANISHING_GRAD = "vanishing_grad"
    EXPLODING_GRAD = "exploding_grad"
    LR_TOO_LOW = "lr_too_low"
    LR_TOO_HIGH = "lr_too_high"
    INPUT_UNSCALED = "input_unscaled"
    INPUT_DEGENERATE = "input_degenerate"
    LABELS_UNRELATED = "labels_unrelated"
    VAL_MISALIGNED = "val_misaligned"
    COLLAPSED_OUTPUT = "collapsed_output"
    WRONG_LOSS_PAIR = "wrong_loss_pair"
    OUTPUT_RANGE = "output_range"
    WD_DOMINATES = "wd_dominates"
    TRAIN_EVAL_SHIFT = "train_eval_shift"
    OVERFIT = "overfit"
    PLATEAU = "plateau"
    GRAD_REDUCTION_SUM = "grad_reduction_sum"
    HEALTHY = "healthy"
    INCONCLUSIVE = "inconclusive"

    OUTRANKED = "outranked"
    WORKER_LOST = "worker_lost"
    CODE_ERROR = "code_error"
    STOPPED = "stopped"


def known_cause(name: object) -> Cause:
    """Return the cause of that name. One that only a newer version has is inconclusive to this one."""
    return _CAUSES.get(name, Cause.INCONCLUSIVE)


_CAUSES: Mapping[object, Cause] = {cause.value: cause for cause in Cause}


@final
class Fate(StrEnum):
    """How a trial ended, or stands, in the words of the report."""

    COMPLETE = "complete"
    OUTRANKED = "pruned by rank"
    DIVERGED = "diverged"
    DYING = "dying"
    TOO_SLOW = "too slow"
    OTHER = "other verdict"
    CRASHED = "crashed"
    LOST = "lost"
    RUNNING = "running"
    WAITING = "waiting"


_FATE_OF_CAUSE = {
    Cause.OUTRANKED: Fate.OUTRANKED,
    Cause.LOG_ZERO: Fate.DIVERGED,
    Cause.DIVERGED_LR: Fate.DIVERGED,
    Cause.EXPLODING: Fate.DIVERGED,
    Cause.EXPLODING_GRAD: Fate.DIVERGED,
    Cause.DEAD_RELU_TOTAL: Fate.DYING,
    Cause.DEAD_RELU_PARTIAL: Fate.DYING,
    Cause.BORN_DEAD: Fate.DYING,
    Cause.NEG_PLATEAU: Fate.DYING,
    Cause.LR_TOO_LOW: Fate.TOO_SLOW,
    Cause.WORKER_LOST: Fate.LOST,
}
_FAILED_FATES: Mapping[Cause | None, Fate] = {Cause.WORKER_LOST: Fate.LOST, Cause.STOPPED: Fate.OTHER}


def fate_of(state: TrialState, cause: Cause | None) -> Fate:
    """Say in the report's words how a trial in `state` with the verdict `cause` stands."""
    match state:
        case TrialState.WAITING:
            return Fate.WAITING
        case TrialState.RUNNING:
            return Fate.RUNNING
        case TrialState.COMPLETE:
            return Fate.COMPLETE
        case TrialState.FAILED:
            return _FAILED_FATES.get(cause, Fate.CRASHED)
        case TrialState.PRUNED:
            # A trial that some other Optuna client pruned carries no verdict of ours.
            return Fate.OUTRANKED if cause is None else _FATE_OF_CAUSE.get(cause, Fate.OTHER)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that diagnosis found in a trial.

    `confidence` is in 0..1; `first_step` is the optimizer step (0 is the first) at which it began;
    `evidence` maps the name of a statistic to its value; `remedy` is one sentence; `suggested` maps
    dotted names of study keys to values that should heal the trial.
    """

    cause: Cause
    confidence: float
    first_step: int
    evidence: Mapping[str, float]
    remedy: str
    suggested: Mapping[str, ParameterValue] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a trial's telemetry means: findings, strongest first, at least one."""

    findings: tuple[Finding, ...]

    @property
    def primary(self) -> Finding:
        """The strongest finding."""
        return self.findings[0]

    @property
    def cause(self) -> Cause:
        """The strongest finding's cause."""
        return self.primary.cause


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """What diagnosis knows of a study's data: numbers over the training part, scaled as the network sees it.

    `class_shares` are the shares of the classes, in 0..1, and empty in regression. `input_largest` is the largest
    magnitude among the inputs, `input_mean_square` the mean of their squares, `input_nonzero_share` the share of
    numbers that are not 0; `input_is_binary` is True when every one is 0 or 1, `input_is_constant` when there are
    several examples, all with the same inputs. `target_low` and `target_high` bound the targets (0 and 1 in
    classification); `target_variance` is the mean over outputs of the targets' variances.
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

    @property
    def is_classification(self) -> bool:
        """True where targets are classes."""
        return bool(self.class_shares)

    @property
    def majority_share(self) -> float:
        """The accuracy of always answering with the most frequent class; 0 in regression."""
        return max(self.class_shares, default=0.0)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSample:
    """What one dense layer of one trial looked like on one minibatch.

    Shares are in 0..1. `dead_share` is the share of units whose activation was not positive for any example of the
    minibatch; `silent_share` that of units which have not been positive in the last 1,000 examples looked at (rule
    of three: they fire for less than 0.3 % of examples, at 95 %). `saturated_share` is the share of (unit, example)
    pairs on a flat part of the activation: |z| > 5 for sigmoid, |z| > 2.5 for tanh, z < -5 for ELU and SELU; 0 for
    the others. Norms are Euclidean, over the layer's weight matrix: `gradient_norm` is that of the data loss alone,
    without weight decay, and exactly 0.0 when every element is zero; `update_norm` is that of the step's change.
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
    """One look inside one trial, taken on the minibatch of one step. NaN stands for what was not measured.

    `step` counts optimizer steps from 0. `loss` is the minibatch mean of the data loss. `logit_max` is
    the largest magnitude among the outputs before the output activation. `predicted_decrease` is
    -(gradient . change of the parameters), the fall of the loss that the step promises to first order;
    it is an average over examples even where gradients are summed. `layers` are all dense layers, input
    side first; the last is the output layer, whose `dead_share` is 0.

    `accuracy` is the share of right answers in the minibatch, `top_share` the share of the answer that was given
    most often (classification only). `output_range` is the largest distance, over outputs, between two examples'
    outputs before the output activation: exactly 0 for a constant network. `gradient_cosine` is the cosine between
    this sample's gradient of the output layer's weights and the sample's before, on another minibatch.
    `coherence` is that gradient's m-coherence (Chatterjee and Zielinski 2020), |sum g_b|^2 / sum |g_b|^2 over the
    minibatch's examples: 1 where they are orthogonal, B where they are equal.

    Some samples are probes: `actual_decrease` is then by how much the step lowered the loss of its own minibatch,
    and `evaluation_loss` the loss of that minibatch after the step in evaluation mode (only where that differs: with
    batch normalization or dropout).
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

    @property
    def hidden(self) -> tuple[LayerSample, ...]:
        """The hidden layers, input side first."""
        return self.layers[:-1]

    @property
    def dead_share(self) -> float:
        """The largest share of silent units in a hidden layer; 0 without hidden layers."""
        return max((layer.dead_share for layer in self.hidden), default=0.0)

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
        """Rho, the actual over the predicted decrease; NaN where the sample is no probe or nothing was promised.

        On a quadratic it is 1 - lr kappa / 2, kappa being the curvature along the step: 1 says that the step is far
        too small, 0.5 that it is the best along its line, 0 that it overshot to equal height, below 0 that it made
        things worse. It is (1 - alpha) / 2 in the terms of Cockpit (Schneider et al. 2021, section 3.1).
        """
        if not self.predicted_decrease > 0:
            return math.nan
        return self.actual_decrease / self.predicted_decrease


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NonFinite:
    """The first non-finite number of a trial: the step, and the first array that held one.

    Arrays are searched in the order of the computation: `weights` (written by the step before),
    `activations`, `logits`, `loss`.
    """

    step: int
    array: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One finished epoch of one trial.

    `epoch` counts from 0. `training_loss` is the mean over the epoch's examples, each measured in its minibatch;
    `validation_accuracy` is None in regression. Losses are data losses, without weight decay.
    """

    epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Telemetry:
    """Everything that was measured inside one trial so far, oldest first."""

    steps: int
    samples: Sequence[Sample]
    epochs: Sequence[Epoch]
    nonfinite: NonFinite | None


Series: TypeAlias = Mapping[str, Sequence[float]]
"""The per-epoch series of a trial: name -> one number per finished epoch, NaN where there is none.

Names: `training_loss`, `validation_loss`, `validation_accuracy` (classification only), and of the epoch's
last sample `dead_share` (largest of the hidden layers), `gradient_norm`, `weight_norm` (over all layers),
`logit_max` and `output_range`; trials of older versions lack the last. All series of a trial are equally long.
"""


FIXED = "fixed_params"
"""The system attribute in which Optuna keeps what an enqueued trial asks for."""

OTHERS: Final = "another Optuna client"
"""The owner of a trial that no worker of ours trained."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One trial as the database knows it.

    `params` has flat dotted names. `value` is the study's metric (the last one reported for a pruned
    trial) and None where there is none; `curve` maps epochs (from 0) to the metric after them, NaN and
    infinity included. `epochs` counts the epochs that the trial began, `steps` its optimizer steps.
    Times are aware and in UTC. `system_attributes` is what Optuna's samplers and pruners keep with a trial,
    JSON values that only they understand. `values` are those of all objectives, if a study of another Optuna
    client has several; `value` is then the first.
    """

    number: int
    state: TrialState
    params: Mapping[str, ParameterValue]
    value: float | None = None
    curve: Mapping[int, float] = field(default_factory=dict)
    finding: Finding | None = None
    epochs: int = 0
    steps: int = 0
    worker: str | None = None
    attempts: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    system_attributes: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[float, ...] = ()

    @property
    def owner(self) -> str | None:
        """Who trains the trial, or did: a worker's name, or `OTHERS`; None if it has not begun."""
        if self.worker is not None:
            return self.worker
        has_begun = self.started is not None or self.verdict is not Cause.STOPPED
        return OTHERS if self.state is not TrialState.WAITING and has_begun else None

    @property
    def verdict(self) -> Cause | None:
        """The cause that the trial's verdict names, or None where there is no verdict yet."""
        return None if self.finding is None else self.finding.cause

    @property
    def fate(self) -> Fate:
        """How the trial ended, or stands."""
        return fate_of(self.state, self.verdict)

    @property
    def is_ranked(self) -> bool:
        """True when the trial can be the best: complete, with a finite value, within Optuna's constraints if any."""
        has_value = self.value is not None and math.isfinite(self.value)
        return self.state is TrialState.COMPLETE and has_value and not self.is_infeasible

    @property
    def is_foreign(self) -> bool:
        """True when the trial has ended, and another Optuna client told how: no worker of ours, and no verdict."""
        return self.state.is_final and self.finding is None and self.worker is None

    @property
    def constraints(self) -> tuple[float, ...]:
        """What Optuna keeps of the trial's constraints: one above 0 is violated."""
        found = self.system_attributes.get("constraints")
        return tuple(c for c in found if isinstance(c, int | float)) if isinstance(found, list) else ()

    @property
    def is_infeasible(self) -> bool:
        """True when the trial violates a constraint of its study."""
        return any(constraint > 0 for constraint in self.constraints)


def best_trials(trials: Sequence[Trial], *, maximize: bool, count: int) -> list[Trial]:
    """Return the `count` best ranked trials, best first; of equals the one with the lower number."""
    ranked = [(trial.value, trial) for trial in trials if trial.is_ranked and trial.value is not None]
    ranked.sort(key=lambda pair: (-pair[0] if maximize else pair[0], pair[1].number))
    return [trial for _, trial in ranked[:count]]


def ledger_key(state: TrialState, cause: Cause | None) -> str:
    """Return the key under which the ledger has the epochs of a trial in `state` with the verdict `cause`."""
    if state in (TrialState.PRUNED, TrialState.FAILED):
        return (cause or Cause.OUTRANKED).value
    return state.value


def ledger_of(entries: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return where every epoch that was begun went: key -> epochs, largest first, without empty entries.

    Each entry is a key with epochs: of a trial by `ledger_key`, of an attempt that came to nothing its `cause`.
    """
    epochs: dict[str, int] = {}
    for key, count in entries:
        epochs[key] = epochs.get(key, 0) + count
    return dict(sorted(((k, n) for k, n in epochs.items() if n), key=lambda item: (-item[1], item[0])))
