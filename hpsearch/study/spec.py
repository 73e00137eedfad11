"""The specification of a study: frozen records, complete and checked once they exist.

`reader` makes them from TOML, `json_form` writes them for the database, every other stage only reads them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, final

from hpsearch.errors import HpsearchError, Problem, StudyFileError, UsageError
from hpsearch.study.metrics import AUTO_METRIC, METRICS, KeptEpoch, Metric, is_maximized
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause

KnownTask: TypeAlias = Literal["classification", "regression"]
Task: TypeAlias = Literal["auto"] | KnownTask
SealedUse: TypeAlias = Literal["test", "validation"]
HeaderUse: TypeAlias = Literal["auto", "yes", "no", "text"]
Scale: TypeAlias = Literal["unit", "standard", "none"]
TargetScale: TypeAlias = Literal["auto", "standard", "none"]
ColumnTypes: TypeAlias = Literal["auto", "numbers"]
ColumnRuleKind: TypeAlias = Literal["number", "category", "date", "drop"]
NumberTransform: TypeAlias = Literal["none", "log"]
CategoryEncoding: TypeAlias = Literal["one_hot", "target"]
FaultName: TypeAlias = Literal[
    "labels_shuffled", "validation_labels_shuffled", "constant_inputs", "integer_division", "byte_product"
]
OutputActivation: TypeAlias = Literal["relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "identity"]
Activation: TypeAlias = Literal[OutputActivation, "gelu", "silu"]
Loss: TypeAlias = Literal["auto", "cross_entropy", "binary_cross_entropy", "mse"]
Output: TypeAlias = Literal["auto", "softmax", OutputActivation]
OptimizerName: TypeAlias = Literal["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"]
DropoutPosition: TypeAlias = Literal["after_activation", "before_normalization"]
DropoutLayers: TypeAlias = Literal["all", "last"]
DropoutScaling: TypeAlias = Literal["training", "evaluation"]
Reduction: TypeAlias = Literal["mean", "sum"]
Precision: TypeAlias = Literal["float32", "float64"]
ClassWeight: TypeAlias = Literal["none", "balanced"]
Order: TypeAlias = Literal["once", "reshuffle"]
SamplerName: TypeAlias = Literal["tpe", "random", "qmc", "cmaes", "gp", "grid", "none"]
KnownRank: TypeAlias = Literal["none", "median", "percentile", "asha", "hyperband"]
RankName: TypeAlias = Literal["auto", "none", "median", "percentile", "asha", "hyperband"]
Direction: TypeAlias = Literal["minimize", "maximize"]
Choice: TypeAlias = ParameterValue | Sequence[int] | Mapping[str, float]
"""One value among choices: a list of widths and a table such as `{"normal": 0.01}` are choices too."""


DIAGNOSED_CAUSES: tuple[Cause, ...] = tuple(
    cause
    for cause in Cause
    if cause
    not in (
        Cause.HEALTHY,
        Cause.INCONCLUSIVE,
        Cause.OUTRANKED,
        Cause.WORKER_LOST,
        Cause.CODE_ERROR,
        Cause.TIMEOUT,
        Cause.OUT_OF_MEMORY,
        Cause.STOPPED,
        Cause.EARLY_STOPPED,
    )
)
"""The causes that diagnosis can find in a network, in the order of the catalogue."""

DEFAULT_FATAL: tuple[Cause, ...] = (
    Cause.LOG_ZERO,
    Cause.DIVERGED_LR,
    Cause.EXPLODING,
    Cause.DEAD_RELU_TOTAL,
    Cause.DEAD_RELU_PARTIAL,
    Cause.BORN_DEAD,
    Cause.NEG_PLATEAU,
    Cause.LR_TOO_LOW,
)
"""Verdicts that stop a trial by default, in the order of the catalogue."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Initializer:
    """Distribution of initial weights; biases start at 0.

    `name` is he, xavier, lecun, normal or uniform. `scale` is the standard deviation of `normal`, the bound of
    `uniform`, and None for the others, whose scale follows from the layer's size.
    """

    name: Literal["he", "xavier", "lecun", "normal", "uniform"] = "he"
    scale: float | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A deliberate mistake in the data, to test whether it is detected.

    `number` is the divisor of `integer_division`, the factor of `byte_product`, and None for the others.
    """

    name: FaultName
    number: int | None = None


def fault_in_words(fault: Fault) -> str:
    """Return a description of the effect of `fault` on the data."""
    match fault.name:
        case "labels_shuffled":
            return "the training part's targets are shuffled independently of its inputs"
        case "validation_labels_shuffled":
            return "the validation part's targets are shuffled independently of its inputs"
        case "constant_inputs":
            return "every example has the inputs of the first one"
        case "integer_division":
            return f"inputs are divided by {fault.number} as whole numbers, before they are scaled"
        case "byte_product":
            return (
                f"inputs are multiplied by {fault.number} as bytes, which wrap at 256, before they are scaled"
            )


RARE_SHARE: Final = 0.01
"""Share of the training part below which a category is a rare one by default."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnRule:
    """The use of one column of a table, if it is not the one that its cells suggest.

    `transform` is for numbers: "log" is arcsinh(x), which is nearly log(2 x) for large numbers, and also takes zero and
    negative ones. The others are for categories: one with fewer than `min_frequency` examples in the training part
    (their share, if it is below 1) is grouped with the other rare ones.
    """

    name: str
    kind: ColumnRuleKind
    transform: NumberTransform = "none"
    encoding: CategoryEncoding = "one_hot"
    min_frequency: float = RARE_SHARE


def column_keys(rule: ColumnRule) -> dict[str, str | float]:
    """Return the keys of a rule in a study file: its kind, and those of the others that have no default value."""
    default = ColumnRule(name=rule.name, kind=rule.kind)
    others = ("transform", "encoding", "min_frequency")
    changed = {key: getattr(rule, key) for key in others if getattr(rule, key) != getattr(default, key)}
    return {"kind": rule.kind, **changed}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DataSpec:
    """The data of a study. `target` names the column of a table; None is its last one.

    `examples` is how many examples the study takes of its source, drawn at random by its seed; None is all of them.
    `sealed` is the role of the source's own separate part (MNIST's t10k files): the sealed test set, or the validation
    part, which makes `validation_fraction` irrelevant. `header` is whether the first line of a table in text names its
    columns: "text" is only if they are text, as studies of before this key read them. `drop` names the columns of a
    table that are not read. Unless it is empty, columns without a name that number the rows are dropped too. With
    `types` "numbers" every column must be complete numbers, as studies of before this key read them; "auto" finds out
    the kind of each column, except for those of `columns`. `target_scale` "standard" trains a regression on targets
    with mean 0 and standard deviation 1 in the training part, and "auto" does unless the network has an output
    activation of its own (`with_target_scale`); predictions and metrics are in the user's unit in any case.

    `group` names the column whose equal values stay in one part, `time` the column by which later parts have later
    rows; neither is an input. With `folds` K > 0, each trial is trained K times, each time with another part to
    validate on, which makes `validation_fraction` irrelevant.
    """

    source: str
    examples: int | None = None
    sealed: SealedUse = "test"
    validation_fraction: float = 0.2
    test_fraction: float = 0.0
    scale: Scale = "unit"
    target_scale: TargetScale = "auto"
    stratify: bool = False
    task: Task = "auto"
    target: str | None = None
    header: HeaderUse = "auto"
    drop: tuple[str, ...] | None = None
    types: ColumnTypes = "auto"
    columns: tuple[ColumnRule, ...] | None = None
    group: str | None = None
    time: str | None = None
    folds: int = 0
    fault: Fault | None = None

    @property
    def split_column(self) -> str | None:
        """The column that decides about the split, if there is one."""
        return self.time if self.group is None else self.group


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """The network. `loss` "auto" is cross-entropy for classes and squared error for numbers.

    With `skip_connections` each hidden layer that is as wide as the preceding hidden layer adds its inputs to its
    activations; the first has none. `dropout_layers` are the hidden layers that have dropout. `dropout_scaling` sets
    the compensation: in training the kept units are divided by 1 - dropout ("inverted"), or in evaluation all units are
    multiplied by it. `batch_norm_epsilon` is added to the variance, in the square of the outputs' unit.
    """

    hidden: tuple[int, ...] = (64,)
    activation: Activation = "relu"
    initializer: Initializer = Initializer()
    batch_norm: bool = False
    batch_norm_affine: bool = True
    batch_norm_epsilon: float = 1e-5
    dropout: float = 0.0
    dropout_position: DropoutPosition = "after_activation"
    dropout_layers: DropoutLayers = "all"
    dropout_scaling: DropoutScaling = "training"
    skip_connections: bool = False
    loss: Loss = "auto"
    output: Output = "auto"

    @property
    def skips(self) -> tuple[bool, ...]:
        """Whether a skip leads around each hidden layer, input side first.

        Never around the first, even if there are as many inputs as units: the network must not depend on that
        coincidence.
        """
        return tuple(
            self.skip_connections and layer > 0 and self.hidden[layer - 1] == width
            for layer, width in enumerate(self.hidden)
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSpec:
    """The training of one trial. `momentum` is used by momentum and nesterov.

    `class_weight` "balanced" multiplies each example's training loss by n / (C n_c), for its class c of C with n_c of
    the n training examples. `keep` is the epoch whose weights and value count: the last, or the best one on validation.
    `order` "once" shuffles the examples once for all epochs, "reshuffle" anew for each.
    """

    epochs: int = 20
    batch_size: int = 100
    optimizer: OptimizerName = "sgd"
    reduction: Reduction = "mean"
    learning_rate: float = 0.1
    weight_decay: float = 0.0
    momentum: float = 0.9
    precision: Precision = "float32"
    class_weight: ClassWeight = "none"
    keep: KeptEpoch = "last"
    order: Order = "reshuffle"


Conditions: TypeAlias = tuple[tuple[str, tuple[ParameterValue, ...]], ...]
"""The names on which a dimension depends, each with the values for which it applies. All of them must hold."""

When: TypeAlias = Mapping[str, Choice | Sequence[Choice]] | Conditions
"""Conditions as a program writes them: `{"optimizer": "sgd"}`, or `{"optimizer": ["sgd", "nesterov"]}`."""


@final
@dataclass(frozen=True, slots=True, init=False)
class Range:
    """A searched number in [low, high]. `step` is the distance of neighbours, None for any value.

    With `when`, only trials with those values of other parameters have it. In the search of `hpsearch.create_study` it
    has no `name`, and its field decides whether it is an `integer`:

    >>> search = {"learning_rate": hpsearch.Range(1e-5, 1.0, log=True), "training.batch_size": hpsearch.Range(16, 128)}
    >>> search |= {"training.optimizer": hpsearch.Choices(["adam", "momentum"])}
    >>> search |= {"momentum": hpsearch.Range(0.5, 0.99, when={"training.optimizer": "momentum"})}
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool
    step: float | None
    integer: bool
    name: str
    when: Conditions

    def __init__(  # noqa: PLR0913 # a range has these
        self,
        low: float,
        high: float,
        *,
        log: bool = False,
        step: float | None = None,
        integer: bool = False,
        name: str = "",
        when: When = (),
    ) -> None:
        values = {"low": low, "high": high, "log": log, "step": step, "integer": integer, "name": name}
        for key, value in {**values, "when": conditions_of(when)}.items():
            object.__setattr__(self, key, value)


@final
@dataclass(frozen=True, slots=True, init=False)
class Choices:
    """A searched value out of a list. A list or table among them (widths of layers) is stored as its JSON text.

    With `when`, only trials with those values of other parameters have it.

    >>> hpsearch.Choices(["relu", "tanh"]).choices
    ('relu', 'tanh')
    >>> hpsearch.Choices([[32], [64, 64]]).choices
    ('[32]', '[64, 64]')

    None is a choice too, for a training function: `Choices([None, 5, 10])`.
    """

    choices: tuple[ParameterValue, ...]
    name: str
    when: Conditions

    def __init__(self, choices: Iterable[Choice], *, name: str = "", when: When = ()) -> None:
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise UsageError(f"Choices: must be a list of values (got {choices!r}): write Choices([...])")
        object.__setattr__(self, "choices", tuple(map(_parameter, choices)))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "when", conditions_of(when))


def conditions_of(when: When) -> Conditions:
    """Return conditions in the form that a study stores: a single value as a list, lists and tables as JSON text."""
    if isinstance(when, tuple):
        return when
    if not isinstance(when, Mapping):
        raise UsageError(
            f'when: must map names to values (got {when!r}): write when={{"optimizer": "sgd"}}, for example'
        )
    listed = ((name, one if isinstance(one, list | tuple) else [one]) for name, one in when.items())
    return tuple((name, tuple(map(_parameter, values))) for name, values in listed)


def _parameter(value: Choice) -> ParameterValue:
    return value if isinstance(value, str | int | float | None) else _json_text(value)


def _json_text(value: Sequence[int] | Mapping[str, float]) -> str:
    try:
        return json.dumps(dict(value) if isinstance(value, Mapping) else list(value))
    except TypeError:
        raise UsageError(
            f"Choices: must be numbers, texts, lists of numbers or tables (got {value!r}): leave it out"
        ) from None


Dimension: TypeAlias = Range | Choices


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ExactConfiguration:
    """One of the configurations that a study trains instead of a search.

    `params` are the names (flat, dotted) and values that it sets, in the order of the study file; the study fixes the
    rest. `name` is unique in its study.
    """

    name: str
    params: tuple[tuple[str, ParameterValue], ...] = ()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SamplerSpec:
    """The source of new configurations: one of Optuna's samplers.

    `startup_trials` is the number of random trials of a learning sampler at the start; `points` is the number of values
    that `grid` takes from each range. Studies of exact configurations have `none`, others never.
    """

    name: SamplerName = "tpe"
    startup_trials: int = 10
    points: int = 10


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PruningSpec:
    """The conditions that stop a trial early.

    `diagnosis` stops trials whose verdict is fatal; those of a training function only if it is "act". `rank` is one of
    Optuna's pruners; "auto" is resolved by `plan.with_rank`. `startup_trials` must have finished and a trial must be
    `warmup_epochs` old for median and percentile to stop it; that is also the age of asha's first rung. `percentile` is
    the share in percent that percentile keeps; `reduction_factor` is asha's and hyperband's.

    `fatal` are the causes whose verdict stops a trial, and `expected` those that the study has on purpose, which never
    count as problems; both in the order of `DIAGNOSED_CAUSES`. `audit` is the share (0..1) of the trials that diagnosis
    would stop which run on, to measure the rate of wrong stops.
    """

    diagnosis: bool | Literal["act"] = True
    fatal: tuple[Cause, ...] = DEFAULT_FATAL
    audit: float = 0.0
    expected: tuple[Cause, ...] = ()
    rank: RankName = "auto"
    startup_trials: int = 5
    warmup_epochs: int = 1
    percentile: float = 25.0
    reduction_factor: int = 2

    @property
    def fatal_causes(self) -> frozenset[Cause]:
        """The causes that are fatal and not expected."""
        return frozenset(self.fatal) - frozenset(self.expected)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NotifySpec:
    """Where notifications go: URLs of apprise.

    They may contain passwords, so they are no part of the stored specification: see `storage.schema`.
    """

    urls: tuple[str, ...] = field(default=(), repr=False)


DEFAULT_SEARCH: tuple[Dimension, ...] = (
    Range(name="learning_rate", low=1e-6, high=1.0, log=True),
    Range(name="weight_decay", low=1e-8, high=1e-1, log=True),
)
"""The default search of a study without `[search]`."""

SHORT_NAMES: Mapping[str, str] = {
    "learning_rate": "training.learning_rate",
    "weight_decay": "training.weight_decay",
    "momentum": "training.momentum",
}
"""Parameters that may be searched without their prefix. They keep their short name everywhere."""

_SHORT_OF: Mapping[str, str] = {full: short for short, full in SHORT_NAMES.items()}


def full_name(name: str) -> str:
    """Return the dotted name that a name means: `training.learning_rate` for `learning_rate`."""
    return SHORT_NAMES.get(name, name)


def short_name(full: str) -> str:
    """Return the name in trials: `learning_rate` for `training.learning_rate`."""
    return _SHORT_OF.get(full, full)


LEARNING_SAMPLERS = frozenset({"tpe", "cmaes", "gp"})
"""Samplers whose next configuration depends on results. All others depend on (seed, number) alone."""

HISTORY_SAMPLERS = LEARNING_SAMPLERS | {"grid"}
"""Samplers that need other trials: their results, or, for a grid, the numbers of those with given parameters."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetSpec:
    """The limits that end a study before its budget of trials is spent; None is no limit.

    `hours` is the time in which at least one trial of the study trains, `epochs` the number of epochs over all trials
    and attempts, `until` a value of the metric that a complete trial reaches, and `patience` the number of finished
    trials in a row that are no better than the best before them.
    """

    hours: float | None = None
    epochs: int | None = None
    until: float | None = None
    patience: int | None = None

    def __bool__(self) -> bool:
        """Return True if there is a limit."""
        return self != BudgetSpec()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The limits of one trial; None is no limit. The first two are for training functions only.

    `trial_seconds` is its time in seconds, `trial_memory_mb` the resident memory of its processes in MiB.
    `trial_epochs_without_improvement` is the number of epochs in a row that are no better than its best one.
    """

    trial_seconds: float | None = None
    trial_memory_mb: int | None = None
    trial_epochs_without_improvement: int | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveSpec:
    """A training function of the user's, which trains the trials of a study in place of the built-in network.

    `function` is `package.module:name`; `python_path` are absolute folders in which workers also look for the package.
    `direction` is that of the number which the function returns.
    """

    function: str
    python_path: tuple[str, ...] = ()
    direction: Direction = "minimize"

    @property
    def is_importable(self) -> bool:
        """True if a worker can import the function; one of a script or a notebook exists in its own process only."""
        module, _, name = self.function.partition(":")
        return module != "__main__" and "<" not in name


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StudySpec:
    """A whole study. Two studies are the same if these records are equal, `trials`, `budget` and `notify` aside.

    A study with `configurations` trains exactly these, repeatedly until its budget is spent; `search` then spans their
    values (`configurations.spanned_dimensions`).

    A study with an `objective` trains a function of the user's: `data`, `model` and `training` are then meaningless,
    its search may have any names, and `metric` is the name of its value.
    """

    name: str
    data: DataSpec
    trials: int = 100
    seed: int = 0
    metric: Metric = "auto"
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    search: tuple[Dimension, ...] = DEFAULT_SEARCH
    sampler: SamplerSpec = SamplerSpec()
    pruning: PruningSpec = PruningSpec()
    configurations: tuple[ExactConfiguration, ...] = ()
    objective: ObjectiveSpec | None = None
    budget: BudgetSpec = BudgetSpec()
    limits: Limits = Limits()
    notify: NotifySpec = NotifySpec()

    @property
    def maximize(self) -> bool:
        """True if a higher metric is better."""
        if self.objective is not None:
            return self.objective.direction == "maximize"
        return is_maximized(self.metric)


NO_DATA = DataSpec(source="none")
"""The data of a study with an objective, whose function reads its own."""


def with_target_scale(spec: StudySpec) -> StudySpec:
    """Return `spec` with a known scale of its targets: as they are if some output activation was chosen for them.

    A bounded activation such as tanh cannot reach standardized targets.
    """
    if spec.data.target_scale != "auto":
        return spec
    outputs: set[object] = {spec.model.output}
    for dimension in spec.search:
        if dimension.name == "model.output" and isinstance(dimension, Choices):
            outputs.update(dimension.choices)
    for exact in spec.configurations:
        outputs.update(value for name, value in exact.params if name == "model.output")
    scale: TargetScale = "standard" if outputs <= {"auto", "identity"} else "none"
    return replace(spec, data=replace(spec.data, target_scale=scale))


def resolve(spec: StudySpec, *, task: KnownTask) -> StudySpec:
    """Return `spec` with "auto" resolved for `task`, the task of its data, in `data`, `metric` and the loss.

    `model.output` may stay "auto": it is the loss's own. Raises StudyFileError, about the study, if metric, loss,
    output or class weights do not fit the task.
    """
    problems = [
        problem
        for model, training in _variants(spec)
        for problem in task_problems(task=task, metric=spec.metric, model=model, training=training)
    ]
    if problems:
        raise StudyFileError(spec.name, list(dict.fromkeys(problems)))
    own_loss: Loss = "cross_entropy" if task == "classification" else "mse"
    return replace(
        spec,
        data=replace(spec.data, task=task),
        metric=AUTO_METRIC[task] if spec.metric == "auto" else spec.metric,
        model=replace(spec.model, loss=own_loss) if spec.model.loss == "auto" else spec.model,
    )


_OF_THE_TASK = ("model.loss", "model.output", "training.class_weight")
"""Fields whose values may not fit the task."""


def _variants(spec: StudySpec) -> Iterator[tuple[ModelSpec, TrainingSpec]]:
    """Yield network and training with every value of `_OF_THE_TASK` in the study."""
    yield spec.model, spec.training
    settings = [(name, value) for exact in spec.configurations for name, value in exact.params]
    settings += [(each.name, v) for each in spec.search if isinstance(each, Choices) for v in each.choices]
    for name, value in settings:
        if name in _OF_THE_TASK:
            chosen = configure(spec, {name: value})
            yield chosen.model, chosen.training


def task_problems(
    *, task: Task, metric: Metric, model: ModelSpec, training: TrainingSpec = TrainingSpec()
) -> list[Problem]:
    """Return the reasons why metric, loss, output and class weights do not fit `task`, as far as it is known."""
    known = METRICS.get(metric)
    problems = []
    if known is not None and known.task not in (None, task) and task != "auto":
        fitting = [name for name, one in METRICS.items() if one.task in (None, task)]
        rule = f"must be one of {', '.join(fitting)} in {task}"
        problems.append(_task_problem("metric", rule, metric, other=known.task))
    if task == "regression" and model.loss in ("cross_entropy", "binary_cross_entropy"):
        problems.append(_task_problem("model.loss", "must be mse in regression", model.loss))
    if task == "regression" and training.class_weight != "none":
        rule = "must be none in regression, which has no classes"
        problems.append(_task_problem("training.class_weight", rule, training.class_weight))
    if known is not None and known.needs_probabilities and not _are_probabilities(model):
        output = f'model.output = "{model.output}"'
        got = f'model.loss = "{model.loss}"' if model.output == "auto" else output
        message = (
            f'{metric} must have outputs that are probabilities (got {got}): set model.loss = "cross_entropy" and '
            'model.output = "auto", or rank by balanced_accuracy'
        )
        problems.append(Problem(where="metric", message=message))
    return problems


def _task_problem(where: str, rule: str, got: str, *, other: str | None = "classification") -> Problem:
    return Problem(where=where, message=f'{rule} (got "{got}"): change it, or set data.task = "{other}"')


def _are_probabilities(model: ModelSpec) -> bool:
    """Return True if each output is the probability of its class."""
    return model.output in ("softmax", "sigmoid") or (model.output == "auto" and model.loss != "mse")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The configuration of one trial: the study's model and training with the trial's parameters inserted."""

    model: ModelSpec
    training: TrainingSpec


def check_trains_network(spec: StudySpec) -> None:
    """Raise HpsearchError if the study has an objective, for uses that need the built-in network."""
    if spec.objective is not None:
        raise HpsearchError(
            f'study "{spec.name}": must train the built-in network for this (got the function '
            f"{spec.objective.function}, which has its own data and model): hpsearch cannot diagnose, replay, test "
            "or export its trials"
        )


def configure(spec: StudySpec, params: Mapping[str, ParameterValue]) -> Configuration:
    """Return the configuration of a trial of `spec` with `params` (flat dotted names).

    Raises ValueError for a name that is not a field of `[model]` or `[training]`, and HpsearchError if the study trains
    no network.
    """
    check_trains_network(spec)
    changes: dict[str, dict[str, Any]] = {"model": {}, "training": {}}
    for name, value in params.items():
        section, _, key = full_name(name).partition(".")
        if section not in changes or not key:
            raise ValueError(f"{name}: not a field of [model] or [training] (got {value!r})")
        changes[section][key] = _field_value(key, value)
    return Configuration(
        model=replace(spec.model, **changes["model"]), training=replace(spec.training, **changes["training"])
    )


def _field_value(key: str, value: ParameterValue) -> Any:
    if key == "hidden":
        return tuple(json.loads(str(value)))
    if key == "initializer":
        return _initializer(str(value))
    return value


def _initializer(text: str) -> Initializer:
    """Read `he`, or `{"normal": 0.01}` as the database stores a choice of a search."""
    if not text.startswith("{"):
        return Initializer(name=text)  # type: ignore[arg-type]
    ((name, scale),) = json.loads(text).items()
    return Initializer(name=name, scale=float(scale))
