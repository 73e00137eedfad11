"""The plan of a study, described before anything runs."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from hpsearch.errors import Problem, StudyFileError
from hpsearch.study.configurations import exact_configurations
from hpsearch.study.messages import format_count, toml_excerpt
from hpsearch.study.spec import (
    LEARNING_SAMPLERS,
    BudgetSpec,
    Choices,
    Dimension,
    ExactConfiguration,
    KnownRank,
    ModelSpec,
    PruningSpec,
    Range,
    RankName,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
    configure,
)
from hpsearch.trials import ParameterValue

_SHAPE: Final = frozenset({"model.hidden", "model.batch_norm", "model.batch_norm_affine"})
"""Searched names that change the number of a network's parameters."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A count that depends on the trial: from `least` to `most`, both reached."""

    least: int
    most: int

    @property
    def is_fixed(self) -> bool:
        """True if every trial has the same count."""
        return self.least == self.most

    def __str__(self) -> str:
        return str(self.least) if self.is_fixed else f"{self.least} to {self.most}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The plan of a study.

    `epochs` is the number a trial trains unless it is stopped; `parameters` counts weights, biases and the learned
    numbers of batch normalization, of one network; `search` has one line of text per dimension, none if there are
    `configurations`, which have a line each; `sampler` and `pruning` are in words.
    """

    name: str
    trials: int
    inputs: int
    outputs: int
    epochs: Span
    steps_per_epoch: Span
    parameters: Span
    search: tuple[str, ...]
    sampler: str
    pruning: str
    configurations: tuple[str, ...] = ()


def plan(spec: StudySpec, *, training_examples: int | Sequence[int], inputs: int, outputs: int) -> Plan:
    """Return the plan of `spec` for that many examples of `inputs` numbers with `outputs` targets.

    Several numbers of examples are those of folds, all of which an epoch passes.

    Raises StudyFileError if a minibatch would be larger than the training part.
    """
    sizes = (training_examples,) if isinstance(training_examples, int) else training_examples
    check_fits(spec, min(sizes))
    batches = _span(spec, "training.batch_size", fixed=spec.training.batch_size)
    return Plan(
        name=spec.name,
        trials=spec.trials,
        inputs=inputs,
        outputs=outputs,
        epochs=epoch_span(spec),
        steps_per_epoch=Span(
            least=sum(math.ceil(size / batches.most) for size in sizes),
            most=sum(math.ceil(size / batches.least) for size in sizes),
        ),
        parameters=_parameters(spec, inputs=inputs, outputs=outputs),
        search=()
        if spec.configurations
        else tuple(dimension_in_words(dimension) for dimension in spec.search),
        configurations=tuple(_exact_in_words(exact) for exact in spec.configurations),
        sampler=sampler_in_words(spec.sampler),
        pruning=pruning_in_words(spec),
    )


def epoch_span(spec: StudySpec) -> Span:
    """Return the possible numbers of epochs of a trial of `spec`, fixed or searched."""
    return _span(spec, "training.epochs", fixed=spec.training.epochs)


SEARCH_RANKS: Final[tuple[RankName, ...]] = ("median", "asha")
"""The pruners that `pruning.rank = "auto"` becomes in a search, by its budget."""

RANKS_WITH_FACTOR: Final[tuple[RankName, ...]] = ("asha", "hyperband")
"""The pruners that have a reduction factor."""

ASHA_TRIALS: Final = 100
"""The smallest budget, in trials, for which `pruning.rank = "auto"` is asha.

With 100 trials asha trained 22 % fewer epochs than the median pruner, and its best results were as good. With 12 and 20
trials they were 0.8 and 0.3 points poorer, and in real searches with 50 trials 0.4 (`tests/benchmarks/README.md`).
"""

FIRST_RUNG: Final = 32
"""The age of asha's first rung, which "auto" chooses, is the number of epochs divided by this, at least 1.

So at most five halvings precede the last rung. If trials of 100 epochs are halved after their first one, too many slow
ones are lost: fewer searches reach the best known result (72 % in place of 82 %, `tests/benchmarks/README.md`).
"""


def known_rank(spec: StudySpec) -> KnownRank:
    """Return the pruner of a study: `pruning.rank`, with "auto" resolved.

    It is then "none" for exact configurations, "asha" for budgets of `ASHA_TRIALS` or more, and "median" for smaller
    ones. It is also "median" for training functions, which may report at any interval, and for a study that sets
    `startup_trials`, which asha ignores.
    """
    rank = spec.pruning.rank
    if rank != "auto":
        return rank
    if spec.configurations:
        return "none"
    is_median = spec.objective is not None or spec.pruning.startup_trials != PruningSpec().startup_trials
    return "asha" if spec.trials >= ASHA_TRIALS and not is_median else "median"


def with_rank(spec: StudySpec) -> StudySpec:
    """Return `spec` with `pruning.rank` "auto" resolved, as a new study is stored; asha gets its first rung."""
    pruning = replace(spec.pruning, rank=known_rank(spec))
    if spec.pruning.rank == "auto" and pruning.rank == "asha" and has_usual_warmup(pruning):
        pruning = replace(pruning, warmup_epochs=max(1, epoch_span(spec).most // FIRST_RUNG))
    return replace(spec, pruning=pruning)


def has_usual_warmup(pruning: PruningSpec) -> bool:
    """Return True if `warmup_epochs` is not set, so that "auto" may choose it."""
    return pruning.warmup_epochs == PruningSpec().warmup_epochs


def check_fits(spec: StudySpec, training_examples: int) -> None:
    """Raise StudyFileError if a minibatch of `spec` is larger than the training part.

    A fixed batch size counts only if none is searched.
    """
    rule = f"must be at most the {training_examples} training examples"
    problems = [
        Problem(where=where, message=f"{rule} (got {size}): lower it")
        for where, size in _batch_sizes(spec).items()
        if size > training_examples
    ]
    if problems:
        raise StudyFileError(spec.name, problems)


_LEAST_STEPS: Final = 4
"""Steps of an epoch that the default batch size leaves at least: one step of the whole part learns little."""


def with_fitting_batches(spec: StudySpec, training_examples: int) -> tuple[StudySpec, tuple[str, ...]]:
    """Return `spec` with batch sizes of at most the training part, and a sentence for each that was lowered.

    A larger one becomes the whole training part, as in scikit-learn's `MLPClassifier`; the default of 100 becomes the
    largest power of two that leaves four steps in an epoch. Exact configurations, and a searched range whose lower
    bound is too large, are unchanged: `check_fits` refuses them.
    """
    found = _dimension(spec, "training.batch_size")
    if found is not None and not spec.configurations:
        fitted = _fitted(found, training_examples)
        if fitted == found:
            return spec, ()
        search = tuple(fitted if dimension is found else dimension for dimension in spec.search)
        return replace(spec, search=search), (
            (
                f"search.training.batch_size: must be at most the {training_examples:,} training examples"
                f" (got {dimension_in_words(found)}): the search uses {dimension_in_words(fitted)}"
            ),
        )
    size = spec.training.batch_size
    if size <= training_examples:
        return spec, ()
    is_default = size == TrainingSpec().batch_size
    fits = _default_batch_size(training_examples) if is_default else training_examples
    return replace(spec, training=replace(spec.training, batch_size=fits)), (
        (
            f"training.batch_size: must be at most the {training_examples:,} training examples"
            f" (got {size:,}{', the default' if is_default else ''}): {fits:,} is used"
        ),
    )


def _default_batch_size(training_examples: int) -> int:
    """Return the largest power of two that leaves `_LEAST_STEPS` steps in an epoch, and at least 2."""
    return max(2, 1 << (max(1, training_examples // _LEAST_STEPS).bit_length() - 1))


def _fitted(dimension: Dimension, most: int) -> Dimension:
    """Return the searched batch sizes with `most` in place of larger ones; unchanged if a range has no smaller one."""
    match dimension:
        case Choices(choices=choices):
            return replace(dimension, choices=tuple(dict.fromkeys(min(int(size), most) for size in choices)))
        case Range(low=low, high=high, step=step) if low < most < high:
            return replace(dimension, high=float(most) if step is None else low + (most - low) // step * step)
        case _:
            return dimension


def parameter_count(model: ModelSpec, *, inputs: int, outputs: int) -> int:
    """Return the number of learned numbers of a network: weights, biases, gamma and beta."""
    widths = (inputs, *model.hidden, outputs)
    dense = sum(before * width + width for before, width in itertools.pairwise(widths))
    return dense + (2 * sum(model.hidden) if model.batch_norm and model.batch_norm_affine else 0)


def _batch_sizes(spec: StudySpec) -> dict[str, int]:
    """Return the largest batch sizes by the key path that sets them."""
    if spec.configurations:
        return {
            "training.batch_size"
            if size == spec.training.batch_size
            else f"configurations[{i}].training.batch_size": size
            for i, size in enumerate(exact.training.batch_size for exact in exact_configurations(spec))
        }
    match _dimension(spec, "training.batch_size"):
        case None:
            return {"training.batch_size": spec.training.batch_size}
        case Range(name=name, high=high):
            return {f"search.{name}.high": int(high)}
        case Choices(name=name, choices=choices):
            return {f"search.{name}.choices[{i}]": int(size) for i, size in enumerate(choices)}


def _span(spec: StudySpec, name: str, *, fixed: int) -> Span:
    match _dimension(spec, name):
        case None:
            return Span(least=fixed, most=fixed)
        case Range(low=low, high=high):
            return Span(least=int(low), most=int(high))
        case Choices(choices=choices):
            return Span(least=min(map(int, choices)), most=max(map(int, choices)))


def _parameters(spec: StudySpec, *, inputs: int, outputs: int) -> Span:
    counts = [parameter_count(model, inputs=inputs, outputs=outputs) for model in _shapes(spec)]
    return Span(least=min(counts), most=max(counts))


def _shapes(spec: StudySpec) -> Iterator[ModelSpec]:
    """Yield a model of every shape that a trial of `spec` can have."""
    if spec.configurations:
        yield from (exact.model for exact in exact_configurations(spec))
        return
    shapes = {d.name: d.choices for d in spec.search if isinstance(d, Choices) and d.name in _SHAPE}
    for shape in itertools.product(*shapes.values()):
        yield configure(spec, dict(zip(shapes, shape, strict=True))).model


def _dimension(spec: StudySpec, name: str) -> Dimension | None:
    return next((dimension for dimension in spec.search if dimension.name == name), None)


def dimension_in_words(dimension: Dimension) -> str:
    """Return `learning_rate: 1e-06 to 1, logarithmic`, or `model.activation: one of relu, tanh`.

    A condition follows: `momentum: 0.5 to 0.99, if training.optimizer is momentum or nesterov`.
    """
    when = " and ".join(f"{name} is {' or '.join(map(_plain, values))}" for name, values in dimension.when)
    return f"{_values_in_words(dimension)}, if {when}" if when else _values_in_words(dimension)


def _values_in_words(dimension: Dimension) -> str:
    match dimension:
        case Choices(name=name, choices=choices):
            return f"{name}: one of {', '.join(map(_plain, choices))}"
        case Range(name=name, integer=integer):
            low, high = (_number(bound, integer=integer) for bound in (dimension.low, dimension.high))
            step = None if dimension.step is None else _number(dimension.step, integer=integer)
            spacing = ", logarithmic" if dimension.log else "" if step is None else f", in steps of {step}"
            return f"{name}: {low} to {high}{spacing}"


def _exact_in_words(exact: ExactConfiguration) -> str:
    sets = ", ".join(f"{name} {_plain(value)}" for name, value in exact.params)
    return exact.name if exact.name == sets or not sets else f"{exact.name}: {sets}"


def _number(number: float, *, integer: bool) -> str:
    return str(int(number)) if integer else f"{number:g}"


def _plain(value: ParameterValue) -> str:
    return value if isinstance(value, str) else toml_excerpt(value)


def limits_in_words(budget: BudgetSpec) -> str:
    """Return `2.5 hours, 1,000 epochs, until 0.98, 50 trials without improvement`; empty if there is no limit."""
    words = [
        "" if budget.hours is None else f"{budget.hours:g} hours",
        "" if budget.epochs is None else format_count(budget.epochs, "epoch"),
        "" if budget.until is None else f"until {budget.until:g}",
        "" if budget.patience is None else f"{format_count(budget.patience, 'trial')} without improvement",
    ]
    return ", ".join(filter(None, words))


def sampler_in_words(sampler: SamplerSpec) -> str:
    """Return `tpe, after 10 random trials`."""
    if sampler.name == "none":
        return "none: the configurations in turn, each trial with a seed of its own"
    if sampler.name in LEARNING_SAMPLERS:
        return f"{sampler.name}, after {format_count(sampler.startup_trials, 'random trial')}"
    return f"grid, {sampler.points} values of each range" if sampler.name == "grid" else sampler.name


def pruning_in_words(spec: StudySpec) -> str:
    """Return the conditions that stop a trial early, `none` if there are none."""
    pruning = with_rank(spec).pruning
    after = f"after {format_count(pruning.startup_trials, 'trial')} and {format_count(pruning.warmup_epochs, 'epoch')}"
    rank = {
        "none": "",
        "median": f"median {after}",
        "percentile": f"best {pruning.percentile:g} percent {after}",
        "asha": f"asha with reduction factor {pruning.reduction_factor}{_first_rung_in_words(pruning)}",
        "hyperband": f"hyperband with reduction factor {pruning.reduction_factor}",
    }[known_rank(spec)]
    expected = f"expected, so never fatal: {', '.join(pruning.expected)}" if pruning.expected else ""
    return "; ".join(filter(None, [_diagnosis_in_words(pruning), rank, expected])) or "none"


def _first_rung_in_words(pruning: PruningSpec) -> str:
    return f" from {pruning.warmup_epochs:,} epochs on" if pruning.warmup_epochs > 1 else ""


def _diagnosis_in_words(pruning: PruningSpec) -> str:
    fatal = [cause for cause in pruning.fatal if cause in pruning.fatal_causes]
    if not pruning.diagnosis or not fatal:
        return ""
    audited = f", {100 * pruning.audit:g} percent of them audited" if pruning.audit else ""
    return f"fatal verdicts ({', '.join(fatal)}){audited}"
