"""Keyword arguments of the Python interface, typed for editors: the keys of a study file's tables."""

import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypedDict

from hpsearch.data.arrays import ArrayData, ArrayValues
from hpsearch.study.metrics import KeptEpoch
from hpsearch.study.spec import (
    Activation,
    Choices,
    ClassWeight,
    ColumnTypes,
    DropoutLayers,
    DropoutPosition,
    DropoutScaling,
    HeaderUse,
    Loss,
    OptimizerName,
    Order,
    Output,
    Precision,
    Range,
    RankName,
    Reduction,
    SamplerName,
    Scale,
    SealedUse,
    TargetScale,
    Task,
)
from hpsearch.trials import ParameterValue

InitialWeights: TypeAlias = str | Mapping[str, float]
"""`"he"`, `"xavier"`, `"lecun"`, or `{"normal": 0.01}`, `{"uniform": 0.1}`."""

Value: TypeAlias = ParameterValue | Sequence[int] | Mapping[str, float]
"""A value of a key: a number, a text, a flag, a list of widths, or an initializer with its scale."""

SearchSpace: TypeAlias = Mapping[str, Range | Choices]
"""The search space of a study: `{"learning_rate": Range(1e-5, 1, log=True), "model.hidden": Choices([[32], [64]])}`."""


class DataOptions(TypedDict, total=False):
    """The keys of the table `[data]`. The source may also be arrays `(X, y)`, or a data frame."""

    source: str | os.PathLike[str] | ArrayData
    examples: int
    sealed: SealedUse
    validation_fraction: float
    test_fraction: float
    scale: Scale
    target_scale: TargetScale
    stratify: bool
    task: Task
    target: str
    header: HeaderUse
    drop: Sequence[str]
    types: ColumnTypes
    columns: Mapping[str, str | Mapping[str, str | float]]
    group: str | ArrayValues
    time: str | ArrayValues
    folds: int
    fault: str | Mapping[str, int]


class ModelOptions(TypedDict, total=False):
    """The keys of the table `[model]`."""

    hidden: Sequence[int]
    activation: Activation
    initializer: InitialWeights
    batch_norm: bool
    batch_norm_affine: bool
    batch_norm_epsilon: float
    dropout: float
    dropout_position: DropoutPosition
    dropout_layers: DropoutLayers
    dropout_scaling: DropoutScaling
    skip_connections: bool
    loss: Loss
    output: Output


class TrainingOptions(TypedDict, total=False):
    """The keys of the table `[training]`."""

    epochs: int
    batch_size: int
    optimizer: OptimizerName
    reduction: Reduction
    learning_rate: float
    weight_decay: float
    momentum: float
    precision: Precision
    class_weight: ClassWeight
    keep: KeptEpoch
    order: Order


class SamplerOptions(TypedDict, total=False):
    """The keys of the table `[sampler]`."""

    name: SamplerName
    startup_trials: int
    points: int


class PruningOptions(TypedDict, total=False):
    """The keys of the table `[pruning]`."""

    diagnosis: bool
    fatal: Sequence[str]
    audit: float
    expected: Sequence[str]
    rank: RankName
    startup_trials: int
    warmup_epochs: int
    percentile: float
    reduction_factor: int


class LimitOptions(TypedDict, total=False):
    """The keys of the table `[limits]`."""

    trial_seconds: float
    trial_memory_mb: int
    trial_epochs_without_improvement: int


class NetworkOptions(ModelOptions, TrainingOptions, total=False):
    """The keys of `[model]` and `[training]`, each by its own name."""
