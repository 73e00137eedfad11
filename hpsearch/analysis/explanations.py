"""Explanations of verdicts and fates: what each means, how it is found, and what to do.

The texts name settings in backquotes. The table in studies/README.md has the same meanings and remedies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias, final

from hpsearch.errors import UsageError
from hpsearch.study.messages import nearest
from hpsearch.study.spec import DEFAULT_FATAL
from hpsearch.trials import Fate, TrialState, fate_of
from hpsearch.verdicts import Cause


@final
class Stops(StrEnum):
    """Whether a verdict stops a trial before its last epoch."""

    BY_DEFAULT = "yes, if its evidence is strong enough"
    IF_FATAL = "only if `pruning.fatal` lists it and its evidence is strong enough"
    NEVER = "no"
    EXTERNAL = "yes; diagnosis does not decide it"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One verdict: its meaning, how it is detected, whether it stops a trial, and the first remedy."""

    cause: Cause
    meaning: str
    detection: str
    remedy: str
    stops: Stops = Stops.NEVER

    @property
    def fate(self) -> Fate:
        """How a trial with this verdict ends by default."""
        is_stopped = self.stops in (Stops.BY_DEFAULT, Stops.EXTERNAL)
        return (self.fate_if_stopped if is_stopped else None) or Fate.COMPLETE

    @property
    def fate_if_stopped(self) -> Fate | None:
        """How a trial ends if this verdict ends it; None if it never does."""
        if self.stops is Stops.NEVER:
            return None
        return fate_of(_EXTERNAL.get(self.cause, TrialState.PRUNED), self.cause)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FateExplanation:
    """One fate: its meaning, and the explanations of the verdicts that lead to it."""

    fate: Fate
    meaning: str
    verdicts: Sequence[Explanation]


Explained: TypeAlias = Explanation | FateExplanation

_EXTERNAL: Final[Mapping[Cause, TrialState]] = {
    Cause.OUTRANKED: TrialState.PRUNED,
    Cause.WORKER_LOST: TrialState.FAILED,
    Cause.CODE_ERROR: TrialState.FAILED,
    Cause.STOPPED: TrialState.FAILED,
    Cause.TIMEOUT: TrialState.FAILED,
    Cause.OUT_OF_MEMORY: TrialState.FAILED,
    Cause.EARLY_STOPPED: TrialState.COMPLETE,
}
"""The causes that diagnosis does not find -> the state of their trials."""

_WIDE: Final = (
    "If minibatches have fewer than 64 examples, losses, outputs and units are measured on 256 training examples "
    "instead."
)

_EXPLAINS: Final = (
    "It is the verdict only of a trial that has another serious problem, or whose loss after 200 steps is above 80 % "
    "of the first one or of that of guessing."
)

_TEXTS: Final[Mapping[Cause, tuple[str, str, str]]] = {
    Cause.NONFINITE_INPUT: (
        "an input is NaN or infinite",
        (
            "Before the first step. The readers of hpsearch refuse such data, so this guards other sources. "
            + _EXPLAINS
        ),
        "fill or drop those inputs",
    ),
    Cause.LOG_ZERO: (
        "the loss took the logarithm of 0, because it follows an output that does not fit it",
        (
            "The loss is the first number that is not finite, while weights and outputs still are, and "
            "`model.output` is not the activation that belongs to `model.loss`."
        ),
        'the output that fits the loss: `model.output = "auto"`',
    ),
    Cause.FLOAT_UNDERFLOW: (
        "gradients are too small for float32, but not 0",
        (
            "In five measured steps in a row, the smallest gradient of a layer, times a learning rate below "
            "1, is below 1.2e-38, the smallest float32 with all its digits."
        ),
        '`training.precision = "float64"`',
    ),
    Cause.DIVERGED_LR: (
        "weights, outputs or the loss are no longer finite, or the loss grew a thousandfold",
        (
            "A number becomes NaN or infinite after the first step, or the loss is above 1,000 times the "
            "first one (and above 1,000) in two measured steps in a row. Networks with LeakyReLU or batch "
            "normalization, and adaptive optimizers, can recover from such a loss: they get the verdict after "
            "ten measured steps and the end of an epoch, and are not stopped. " + _WIDE
        ),
        "a lower learning rate",
    ),
    Cause.EXPLODING: (
        "the outputs, or the weights with the loss, grow towards divergence; or the first pass overflows",
        (
            "In two measured steps in a row, the largest output of a classifier is above 100,000, or the "
            "weights have grown tenfold and the loss is above 30 times the first one and that of guessing. "
            "Networks with LeakyReLU or batch normalization, and adaptive optimizers, are exempt, because "
            "they can recover. A first pass that is not finite counts for all; and, without a stop, two "
            "epochs in a row whose losses are both above twice the first one and that of guessing. " + _WIDE
        ),
        "a lower learning rate; at the first pass smaller inputs and initial weights",
    ),
    Cause.DEAD_RELU_TOTAL: (
        "the units of a ReLU layer and their gradients became silent",
        (
            "In ten measured steps in a row, and for 1,000 examples or all, at least 85 % of a layer's units "
            "fire for no example of the minibatch, and in the last three 98 %; or the first layer's gradient is "
            "exactly 0 in three measured steps in a row, each of 100 examples or more. The first step was normal, "
            "and the loss is above half of the first one or of that of guessing. " + _WIDE
        ),
        "a lower learning rate; wider layers if one has fewer than 8 units",
    ),
    Cause.DEAD_RELU_PARTIAL: (
        (
            "at least 85 % of a ReLU layer is silent and the rest learns little, or a quarter is and the rest "
            "learns nothing"
        ),
        (
            "In twenty measured steps in a row, over 50 steps or more and for 2,000 examples or all, at least "
            "85 % of a layer's units fire for no example, the loss is above 90 % of the first one or of that "
            "of guessing, and validation is not above chance. Or, which stops no trial: 25 % of the units, and "
            "10 % more than at the first step, have not fired for 1,000 examples or in ten measured steps, "
            "and the loss is above 95 % of the first one or of that of guessing. If most steps lower the loss "
            "by less than 80 % of what they promise, 35 % of the units and a loss above 50 % are enough, or "
            "85 % and a loss above 30 %. " + _WIDE
        ),
        "a lower learning rate; wider layers if one has fewer than 8 units",
    ),
    Cause.BORN_DEAD: (
        "a ReLU, ELU, SELU, GELU or SiLU layer is silent from the first step",
        (
            "As `dead_relu_total`, but at the very first step at least 85 % of a layer is silent, or the "
            "first layer's gradient is 0. " + _WIDE
        ),
        (
            '`model.initializer = "he"`, or batch normalization if that is set; wider layers if one has fewer '
            "than 8 units"
        ),
    ),
    Cause.SYMMETRIC_INIT: (
        "all initial weights are 0 or nearly 0, and units that start equal stay equal",
        (
            "Before the first step: the scale of `model.initializer` is at most 1e-6, and there is a hidden "
            "layer. " + _EXPLAINS
        ),
        'random weights: `model.initializer = "he"` or `"xavier"`',
    ),
    Cause.SATURATED: (
        "most of a sigmoid or tanh layer is in the flat part of the activation, and little is learned",
        (
            "In three measured steps in a row, more than half of a layer's activations have an input beyond 5 "
            "(sigmoid) or 2.5 (tanh), and the loss is above 60 % of the first one or of that of guessing "
            "(above 20 % if 90 % of the activations are so, above 10 % if they are so from the first step, at a "
            "loss of 20 times that of guessing). " + _WIDE
        ),
        (
            'a lower learning rate; if so from the first step, `model.initializer = "xavier"` or another '
            "activation"
        ),
    ),
    Cause.NEG_PLATEAU: (
        "an ELU, SELU, GELU or SiLU layer is far on its negative side, so its gradient vanishes",
        (
            "In ten measured steps in a row, and for 1,000 examples or all, at least 85 % of a layer's units "
            "are positive for no example of the minibatch. The first step was normal, and the loss is above "
            "half of the first one or of that of guessing. " + _WIDE
        ),
        "a lower learning rate; wider layers if one has fewer than 8 units",
    ),
    Cause.VANISHING_GRAD: (
        "the signal or its gradient vanishes in a deep network from the first step",
        (
            "With two hidden layers or more: at the first step the first layer's gradient is below a "
            "thousandth of the last one's, or the outputs of any two examples differ by less than 0.001, and "
            "after 15 steps the loss is above 95 % of the first one or of that of guessing (70 % if the "
            "gradient was below a millionth). Or the gradient is below 3 %, after 200 steps the outputs "
            "differ by less than 0.25, the loss is near that of guessing, and at least half of each layer's "
            "units fire. " + _WIDE
        ),
        (
            'random weights with `model.initializer = "he"` and `model.activation = "relu"`; if both are set, '
            "batch normalization, then fewer and wider layers"
        ),
    ),
    Cause.EXPLODING_GRAD: (
        "the signal or its gradient explodes in a deep network in the first step",
        (
            "With two hidden layers or more: at the first step the first layer's gradient is above 70 times "
            "the last one's, or the loss is above 20 times that of guessing (for numbers: 20 times the "
            "largest target's square). The loss is still above half of the first one or of that of guessing, "
            "and no sigmoid or tanh layer is saturated from the first step. " + _WIDE
        ),
        (
            'random weights with `model.initializer = "he"` and `model.activation = "relu"`; if both are set, '
            "batch normalization, then fewer and wider layers"
        ),
    ),
    Cause.LR_TOO_LOW: (
        (
            "the steps are too small to matter within the trial, or the loss still falls in a straight line "
            "at the end"
        ),
        (
            "After 25 steps, or half of the trial if that is shorter: at the present pace all steps together "
            "lower the loss by less than a tenth, or move each layer by less than a tenth of its weights. The "
            "loss has not fallen by a tenth so far and is not clearly below that of guessing, and at least "
            "half of each layer's units fire. Or, which stops no trial, in its last tenth: longer steps would "
            "have lowered the loss faster, it still falls in a straight line (or all steps together moved no "
            "layer by a quarter of its weights), and it is above half of the first one or of that of "
            "guessing. " + _WIDE
        ),
        "a higher learning rate",
    ),
    Cause.LR_TOO_HIGH: (
        "the steps overshoot: the loss stays high and jumps",
        (
            "After 150 steps and four epochs: at least half of the measured steps are 1.5 times as long as "
            "the best ones or longer, the training loss rose in at least a third of the epochs, and it is "
            "above an eighth of the first one or of that of guessing. Or after eight epochs: the losses jump "
            "up and down, validation's by a quarter and training's by a tenth of what was learned, and stay "
            "above a quarter of that of guessing."
        ),
        "a lower learning rate",
    ),
    Cause.INPUT_UNSCALED: (
        "the inputs are large: a root mean square above 5",
        ("Before the first step, from the training part after `data.scale`. " + _EXPLAINS),
        '`data.scale = "standard"`',
    ),
    Cause.INPUT_DEGENERATE: (
        (
            "nearly all inputs are 0, as after an integer division of pictures, or all examples have the same "
            "inputs"
        ),
        (
            "Before the first step: all inputs are 0, or they are 0 and 1 with less than 2 % ones, or no "
            "input differs between examples. " + _EXPLAINS
        ),
        "floating-point division; check how the inputs are read",
    ),
    Cause.LABELS_UNRELATED: (
        "the steps are sound, but one minibatch does not help the next, as if labels were shuffled",
        (
            "After 200 steps: in the steps 75 to 300 the loss is near that of guessing "
            "although each step lowers the loss of its own minibatch, and the output layer's gradients have "
            "no common direction, neither from minibatch to minibatch nor from example to example. Validation "
            "is at chance, or much better than training, as if only the training labels were shuffled, and in "
            "no epoch were both losses below 85 % of that of guessing. " + _WIDE
        ),
        "examples and labels that belong together",
    ),
    Cause.VAL_MISALIGNED: (
        "validation stays at chance while training learns what its examples share",
        (
            "In no epoch is validation better than guessing, while training accuracy is 30 points above the "
            "share of the most frequent class (for numbers: training explains 30 % of the variance). Training "
            "learns more than single examples: its gradients agree from minibatch to minibatch, or both "
            "losses were far apart as soon as it learned. There are enough validation examples to rule out "
            "bad luck."
        ),
        "validation examples and labels that belong together",
    ),
    Cause.COLLAPSED_OUTPUT: (
        "the network predicts nearly always the same, although its units are active",
        (
            "After 200 steps: in five measured steps in a row, and for 500 examples or "
            "all, at least 95 % of the predictions are one class (more if other classes are rare), no more of "
            "them are right than the share of the most frequent class, and at least half of each layer's "
            "units fire. The loss is above half of the first one or of that of guessing, and validation is "
            "not above chance. If one class has 90 % of the examples, the loss does not matter. " + _WIDE
        ),
        "balanced classes; if they are balanced, another learning rate",
    ),
    Cause.WRONG_LOSS_PAIR: (
        "classes are learned by squared error, or the loss does not fit the output",
        (
            "Before the first step, from `model.loss` and `model.output`. It is the verdict even of a trial "
            "that does well."
        ),
        '`model.loss = "cross_entropy"`, `model.output = "auto"`',
    ),
    Cause.OUTPUT_RANGE: (
        "some targets are outside the range of the output activation",
        (
            'Before the first step, for numbers: for example a negative target with `model.output = "relu"`. '
            "It is the verdict even of a trial that does well."
        ),
        (
            '`model.output = "identity"`, or `data.target_scale = "none"` if it can produce the targets as '
            "they are"
        ),
    ),
    Cause.WD_DOMINATES: (
        "weight decay outweighs the data: it shrinks the weights to nothing, or makes them oscillate",
        (
            "The weights are below a third of the initial ones (a fifth if the loss has fallen by a tenth); "
            "or at the first step weight decay pulls twice as hard as the data, and the output layer's step "
            "is longer than its weights. The loss is above a fifth of the first one or of that of guessing."
        ),
        "a tenth of the weight decay, or less",
    ),
    Cause.TRAIN_EVAL_SHIFT: (
        (
            "the loss of the same minibatch is half as high again in evaluation mode, because of batch "
            "normalization"
        ),
        (
            "After 50 steps, in two measurements in a row; or in validation, at the end of a trial of one or two "
            "epochs."
        ),
        "no dropout that precedes batch normalization, and larger minibatches",
    ),
    Cause.OVERFIT: (
        "validation got worse for three epochs while training still improved",
        (
            "After the best epoch, the validation loss is 15 % above its best in three epochs in a row (and "
            "above it by 5 % of the loss of guessing, and by twice its usual change from epoch to epoch), "
            "while the training loss fell by 5 %. Unless the study minimizes a loss, the validation accuracy "
            "has fallen too, by more than one standard error and at least four examples; otherwise this is a "
            "note next to another verdict."
        ),
        "fewer epochs",
    ),
    Cause.PLATEAU: (
        "the loss is flat at a high level, and a layer is very narrow",
        (
            "After eight epochs: the training loss changed by less than 8 % from four "
            "epochs to the next four, and is above a fifth of that of guessing; the validation loss is less "
            "than twice as high. The narrowest hidden layer has fewer units than 3 or than half the classes."
        ),
        "wider layers",
    ),
    Cause.GRAD_REDUCTION_SUM: (
        "gradients are summed over the minibatch, which multiplies the learning rate by its size",
        (
            'Before the first step: `training.reduction` is "sum", and a minibatch has several examples. It '
            "is the verdict only of a trial that has another serious problem, since it is a choice."
        ),
        '`training.reduction = "mean"`, with a learning rate that keeps the steps',
    ),
    Cause.TARGETS_UNSCALED: (
        (
            "the targets of a regression are in the thousands or below a thousandth, far from the outputs of "
            "a new network"
        ),
        (
            "Before the first step, for numbers: the root mean square of the targets is above 1,000 or below "
            "0.001. " + _EXPLAINS
        ),
        '`data.target_scale = "standard"`, which is the default',
    ),
    Cause.DEAD_INPUT_COLUMN: (
        "outliers squeeze a column of inputs to nearly one number, or a column is constant",
        (
            "Before the first step, for tables, from the training part after `data.scale`: nine of ten "
            "numbers of a column differ by less than a thousandth of the columns' usual deviation, or all are "
            "equal. It is a note next to another verdict, and never the verdict itself."
        ),
        "clipped outliers; columns that vary",
    ),
    Cause.VALIDATION_LEAK: (
        "examples of the validation part are in the training part too, so validation is too good",
        (
            "Before the first step: at least three validation examples, and 1 % of them, have the inputs of a training "
            "example. Data with few different inputs are left out: less than 40 % of the training inputs differ, "
            "or chance explains a quarter of the equal pairs, by the pairs that agree in all columns but one. It is a "
            "note next to another verdict, and never the verdict itself."
        ),
        "data without copies; copies in one part",
    ),
    Cause.MISSING_CLASS: (
        "a class has no example in the training part, or none in the validation part",
        (
            "Before the first step, in classification. It is a note next to another verdict, and never the verdict "
            "itself."
        ),
        "`data.stratify = true`, or more examples of the class",
    ),
    Cause.STALE_GRADIENTS: (
        "gradients of earlier steps are added to those of each step",
        (
            "In a training loop of your own, watched in PyTorch. Before each backward pass of five measured steps, "
            "the gradients of the step before were still there."
        ),
        "`optimizer.zero_grad()` in every step",
    ),
    Cause.UNTRAINED_LAYERS: (
        "layers of a network that does not learn have never changed",
        (
            "In a training loop of your own, watched in PyTorch. The weights of a layer are the same after 200 steps, "
            "and the loss is above 80 % of the first one or of that of guessing."
        ),
        "an optimizer that has all parameters, and gradients that reach them",
    ),
    Cause.HEALTHY: (
        "no fault was found",
        (
            "The training loss is at least a tenth below the first one and below that of guessing, and no "
            "other verdict applies."
        ),
        "",
    ),
    Cause.INCONCLUSIVE: (
        "there is too little evidence",
        "No other verdict applies, and the training loss has not fallen by a tenth yet.",
        "more steps",
    ),
    Cause.OUTRANKED: (
        "other trials were better after as many epochs",
        (
            "One of Optuna's pruners, `pruning.rank`, compares the trials after each epoch. If diagnosis "
            "found a fault in the trial until then, its evidence and remedy are kept: `hpsearch trial show` "
            "prints them."
        ),
        (
            'that of the fault that diagnosis found, if any; `pruning.rank = "none"` trains all trials to the '
            "end"
        ),
    ),
    Cause.WORKER_LOST: (
        "worker after worker was lost while it trained this trial",
        "Three workers died with the trial, or its lease ran out ten times.",
        "find what ends the workers, such as a lack of memory, or leave this configuration out",
    ),
    Cause.CODE_ERROR: (
        "the trial's own code failed, or its parameters do not fit the study",
        (
            "The training function raised an exception, or its process ended by itself: `hpsearch trial show` prints "
            "the traceback and the last output. In a study without a training function, another program has set "
            "parameters that do not fit the search space."
        ),
        (
            "correct the function; for parameters of another program, enqueue values of the search space: "
            "`hpsearch trial enqueue`"
        ),
    ),
    Cause.STOPPED: (
        "a user gave the trial up",
        (
            "`hpsearch trial fail` ended it. In the ledger, `stopped` also counts the epochs of attempts "
            "whose worker was stopped; those trials were trained again."
        ),
        "`hpsearch trial retry` trains its parameters as a new trial",
    ),
    Cause.TIMEOUT: (
        "the training function took longer than `limits.trial_seconds`",
        "A worker asks the function to end when its time is over, and kills its process 5 s later.",
        "raise the limit, or search smaller models",
    ),
    Cause.OUT_OF_MEMORY: (
        "the training function took more memory than its limit or the machine allows",
        (
            "Its processes took more than `limits.trial_memory_mb`, or it raised MemoryError or its framework's own "
            "error of that kind."
        ),
        "raise the limit, or search smaller models and minibatches",
    ),
    Cause.EARLY_STOPPED: (
        "the trial has not improved for `limits.trial_epochs_without_improvement` epochs",
        (
            "Its best value is that many epochs old. It is complete with that value. If diagnosis found a fault in the "
            "trial until then, its evidence and remedy are kept: `hpsearch trial show` prints them."
        ),
        "that of the fault that diagnosis found, if any; a larger limit trains longer",
    ),
}
"""Cause -> its meaning, its detection and its first remedy."""

_IF_FATAL: Final = frozenset(
    {
        Cause.FLOAT_UNDERFLOW,
        Cause.SATURATED,
        Cause.VANISHING_GRAD,
        Cause.EXPLODING_GRAD,
        Cause.VAL_MISALIGNED,
        Cause.WD_DOMINATES,
    }
)
"""The causes that diagnosis finds during training with the confidence that stops a trial, besides the default ones."""

_FATES: Final[Mapping[Fate, str]] = {
    Fate.COMPLETE: "the trial was trained for all its epochs; such trials are ranked",
    Fate.EARLY_STOPPED: "the trial was ended with its best value, because it did not improve any more; it is ranked",
    Fate.OUTRANKED: "the trial was stopped because others were better after as many epochs",
    Fate.DIVERGED: "the trial was stopped because its numbers grew without bound or were no longer finite",
    Fate.DYING: "the trial was stopped because hidden units fell silent, and with them their gradients",
    Fate.TOO_SLOW: "the trial was stopped because its steps were too small to matter",
    Fate.OTHER: "the trial was stopped for a verdict that `pruning.fatal` lists in addition, or given up by a user",
    Fate.CRASHED: "the trial failed with an error",
    Fate.LOST: "the trial failed because worker after worker was lost with it",
    Fate.RUNNING: "the trial is in training",
    Fate.WAITING: "the trial waits for a worker",
}


def _stops(cause: Cause) -> Stops:
    if cause in _EXTERNAL:
        return Stops.EXTERNAL
    if cause in DEFAULT_FATAL:
        return Stops.BY_DEFAULT
    return Stops.IF_FATAL if cause in _IF_FATAL else Stops.NEVER


EXPLANATIONS: Final[Mapping[Cause, Explanation]] = {
    cause: Explanation(cause=cause, meaning=meaning, detection=detection, remedy=remedy, stops=_stops(cause))
    for cause, (meaning, detection, remedy) in _TEXTS.items()
}
"""Every verdict with its explanation, in the order of the catalogue."""


def explain_fate(fate: Fate) -> FateExplanation:
    """Return the explanation of a fate. A fate of stopped trials has the verdicts that stop them."""
    verdicts = [
        one
        for one in EXPLANATIONS.values()
        if fate in ((one.fate,) if fate is Fate.COMPLETE else (one.fate_if_stopped,))
    ]
    return FateExplanation(fate=fate, meaning=_FATES[fate], verdicts=verdicts)


def _fates_of(state: TrialState) -> set[Fate]:
    return {fate_of(state, cause) for cause in Cause if _EXTERNAL.get(cause, TrialState.PRUNED) is state}


def explain(name: str) -> Explained:
    """Return the explanation of the verdict or fate of that name; blanks, hyphens and underscores are equal.

    Raises UsageError, with the nearest name, if there is none.
    """
    plain = "_".join(name.lower().replace("-", "_").split())
    for cause, explanation in EXPLANATIONS.items():
        if plain == cause.value:
            return explanation
    fates = {fate.value.replace(" ", "_"): fate for fate in Fate}
    if plain in fates:
        return explain_fate(fates[plain])
    near = nearest(plain, [*EXPLANATIONS, *fates])
    shown = fates[near].value if near in fates else near
    remedy = f'did you mean "{shown}"?' if shown else "`hpsearch explain` lists them"
    if plain in (TrialState.PRUNED, TrialState.FAILED):
        of_state = [fate for fate in _FATES if fate in _fates_of(TrialState(plain))]
        remedy = f"that is Optuna's state, and the fates in it are {', '.join(of_state)}"
    raise UsageError(f'VERDICT: must be a verdict or a fate (got "{name}"): {remedy}')
