"""The table of all keys of a study file and their rules.

The keys are the fields of the records in `spec`, and the words of a choice are those of its `Literal`, so neither is
written twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final, get_args

from hpsearch.study import spec
from hpsearch.study.rules import (
    Causes,
    Faults,
    Flag,
    InitialWeights,
    Number,
    Rule,
    Text,
    WholeNumber,
    Widths,
    Word,
)
from hpsearch.study.spec import DataSpec, ModelSpec, PruningSpec, SamplerSpec, TrainingSpec

MOST_TRIALS: Final = 10_000_000
MOST_EPOCHS: Final = 1_000_000
MOST_SEED: Final = 2**63 - 1
MOST_EXAMPLES: Final = 1_000_000_000
MOST_CONFIGURATIONS: Final = 10_000

BUILTIN_SOURCES: Final = ("digits", "breast_cancer", "wine", "iris", "diabetes", "mnist")
"""Data sets that a study file names without a path."""

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".data", ".txt")
"""Endings of tables in text; each may be gzipped, as in `.csv.gz`."""

PATH_SUFFIXES: Final = (
    ".npz",
    *TEXT_SUFFIXES,
    *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES),
    ".parquet",
)
"""Endings that make a source a path, with or without a preceding folder."""


def words(kind: Any) -> tuple[str, ...]:
    """Return the words of a `Literal`, or of a union of them, in their written order."""
    return tuple(
        word for part in get_args(kind) for word in ((part,) if isinstance(part, str) else words(part))
    )


STUDY: Final[Mapping[str, Rule]] = {
    "name": Text(longest=200),
    "trials": WholeNumber(low=1, high=MOST_TRIALS),
    "seed": WholeNumber(low=0, high=MOST_SEED),
    "metric": Word(words=words(spec.Metric)),
}
"""Keys at the top of the file."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One table of a study file: its record, and the rule of each field."""

    kind: type[Any]
    rules: Mapping[str, Rule]


SECTIONS: Final[Mapping[str, Section]] = {
    "data": Section(
        kind=DataSpec,
        rules={
            "source": Text(longest=4096),
            "examples": WholeNumber(low=2, high=MOST_EXAMPLES),
            "sealed": Word(words=words(spec.SealedUse)),
            "validation_fraction": Number(low=0.0, high=1.0, above=True, below=True),
            "test_fraction": Number(low=0.0, high=1.0, below=True),
            "scale": Word(words=words(spec.Scale)),
            "stratify": Flag(),
            "task": Word(words=words(spec.Task)),
            "target": Text(longest=1000),
            "fault": Faults(),
        },
    ),
    "model": Section(
        kind=ModelSpec,
        rules={
            "hidden": Widths(),
            "activation": Word(words=words(spec.Activation)),
            "initializer": InitialWeights(),
            "batch_norm": Flag(),
            "batch_norm_affine": Flag(),
            "batch_norm_epsilon": Number(low=1e-12, high=1.0),
            "dropout": Number(low=0.0, high=1.0, below=True),
            "dropout_position": Word(words=words(spec.DropoutPosition)),
            "dropout_layers": Word(words=words(spec.DropoutLayers)),
            "dropout_scaling": Word(words=words(spec.DropoutScaling)),
            "skip_connections": Flag(),
            "loss": Word(words=words(spec.Loss)),
            "output": Word(words=words(spec.Output)),
        },
    ),
    "training": Section(
        kind=TrainingSpec,
        rules={
            "epochs": WholeNumber(low=1, high=MOST_EPOCHS),
            "batch_size": WholeNumber(low=1, high=10_000_000),
            "optimizer": Word(words=words(spec.OptimizerName)),
            "reduction": Word(words=words(spec.Reduction)),
            "learning_rate": Number(low=0.0, high=1e12, above=True),
            "weight_decay": Number(low=0.0, high=1e12),
            "momentum": Number(low=0.0, high=1.0, below=True),
            "precision": Word(words=words(spec.Precision)),
        },
    ),
    "sampler": Section(
        kind=SamplerSpec,
        rules={
            "name": Word(words=words(spec.SamplerName)),
            "startup_trials": WholeNumber(low=0, high=MOST_TRIALS),
            "points": WholeNumber(low=2, high=10_000),
        },
    ),
    "pruning": Section(
        kind=PruningSpec,
        rules={
            "diagnosis": Flag(),
            "fatal": Causes(),
            "audit": Number(low=0.0, high=1.0),
            "expected": Causes(),
            "rank": Word(words=words(spec.RankName)),
            "startup_trials": WholeNumber(low=0, high=MOST_TRIALS),
            "warmup_epochs": WholeNumber(low=0, high=MOST_EPOCHS),
            "percentile": Number(low=0.0, high=100.0, above=True),
            "reduction_factor": WholeNumber(low=2, high=1000),
        },
    ),
}
"""Keys of each table but [search], which `search_space` reads, and [[configurations]], which `exact_reader` does."""

SEEDS: Final = WholeNumber(low=1, high=MOST_TRIALS)
"""The number of trials of each exact configuration. It is no field of a study: it sets `trials`."""

TOP_LEVEL: Final = (
    *STUDY,
    "seeds",
    "data",
    "model",
    "training",
    "search",
    "configurations",
    "sampler",
    "pruning",
)
"""All keys at the top of the file."""

UNSEARCHED: Final[Mapping[str, str]] = {
    "model.loss": "values of different losses cannot be compared: make one study for each",
    "training.precision": "it sets how exactly to compute, not what to train: make one study for each",
}
"""Fields of [model] and [training] that cannot be searched, and why."""

SEARCHED: Final[Mapping[str, Rule]] = {
    name: rule
    for section in ("model", "training")
    for key, rule in SECTIONS[section].rules.items()
    if (name := f"{section}.{key}") not in UNSEARCHED
}
"""The rule of every field that can be searched, by its full dotted name."""

SET_EXACTLY: Final[Mapping[str, Rule]] = {**SEARCHED, "model.loss": SECTIONS["model"].rules["loss"]}
"""The rule of every field that an exact configuration can set, by its full dotted name."""
