"""Verdicts: the causes that end or impair trials, findings with their evidence and remedy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, final


@final
class Cause(StrEnum):
    """Why a trial ended, or its problem. Stored by name: append only, never rename.

    The first block is the catalogue of diagnosis, the second lists external causes.
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
    TARGETS_UNSCALED = "targets_unscaled"
    DEAD_INPUT_COLUMN = "dead_input_column"
    VALIDATION_LEAK = "validation_leak"
    MISSING_CLASS = "missing_class"
    STALE_GRADIENTS = "stale_gradients"
    UNTRAINED_LAYERS = "untrained_layers"
    HEALTHY = "healthy"
    INCONCLUSIVE = "inconclusive"

    OUTRANKED = "outranked"
    WORKER_LOST = "worker_lost"
    CODE_ERROR = "code_error"
    STOPPED = "stopped"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"
    EARLY_STOPPED = "early_stopped"


def known_cause(name: object) -> Cause:
    """Return the cause of that name; `INCONCLUSIVE` for one that only a newer version has."""
    return _CAUSES.get(name, Cause.INCONCLUSIVE)


_CAUSES: Mapping[object, Cause] = {cause.value: cause for cause in Cause}


class _Deferred:
    """A frozen record that may be loaded when one of its fields is first used: `_load` returns it."""

    __slots__ = ("_load",)

    if not TYPE_CHECKING:  # a type checker should report fields that do not exist

        def __getattr__(self, name: str) -> Any:
            """Load the record: its fields have no values yet."""
            names = [each.name for each in fields(self)]
            if name not in names:
                raise AttributeError(f"{type(self).__name__} has no attribute {name}")
            load = self._load
            if load is not None:  # otherwise another thread has just set the fields
                loaded = load()
                for each in names:
                    object.__setattr__(self, each, getattr(loaded, each))
                object.__setattr__(self, "_load", None)  # frees the stored text
            return object.__getattribute__(self, name)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding(_Deferred):
    """One finding of diagnosis in a trial.

    `confidence` is in 0..1; `first_step` is the optimizer step (0 is the first) at which it began; `evidence` maps the
    name of a statistic to its value; `remedy` is one sentence; `suggested` maps dotted names of study keys to values
    that should fix the trial.
    """

    cause: Cause
    confidence: float
    first_step: int
    evidence: Mapping[str, float]
    remedy: str
    suggested: Mapping[str, float | int | str | bool] = field(default_factory=dict)  # `trials.ParameterValue`

    @classmethod
    def deferred(cls, load: Callable[[], "Finding"]) -> "Finding":
        """Return the finding that `load` returns, which is called when a field is first used and must not fail."""
        finding = object.__new__(cls)
        object.__setattr__(finding, "_load", load)
        return finding


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The meaning of a trial's telemetry: findings, strongest first, at least one."""

    findings: tuple[Finding, ...]

    @property
    def primary(self) -> Finding:
        """The strongest finding."""
        return self.findings[0]

    @property
    def cause(self) -> Cause:
        """The strongest finding's cause."""
        return self.primary.cause


DIAGNOSED: Final = "diagnosed_"
"""Start of the name of the evidence with the cause that diagnosis found in a trial that ended from outside."""


def diagnosed_cause(finding: Finding) -> Cause | None:
    """Return the cause that diagnosis found in a trial that was stopped by its rank or early; None if it found none."""
    names = (name.removeprefix(DIAGNOSED) for name in finding.evidence if name.startswith(DIAGNOSED))
    return next((known_cause(name) for name in names), None)


FOLD: Final = "fold"
"""The evidence with the fold, from 1, in which the cause was found."""

AUDITED_AT: Final = "audited_at"
"""The evidence with the step at which an audited trial would have been stopped."""
