"""Whether a remedy heals: the run is trained again with the suggested values, and held against its base."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from hpsearch.data import scaling
from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.study.spec import Configuration, DataSpec, Scale, StudySpec, configure
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.workflows.healing import Healing
from hpsearch.workflows.healing import heal as heal_study
from tests.benchmarks.diagnosis.bases import Base, base_called
from tests.benchmarks.diagnosis.data_sets import with_parts
from tests.benchmarks.diagnosis.injections import data_of
from tests.benchmarks.diagnosis.labels import Chance, chance_answer, gain, gain_of
from tests.benchmarks.diagnosis.runs import Run
from tests.benchmarks.diagnosis.training import Recipe, train

Suggestion: TypeAlias = Callable[[Run], Mapping[str, ParameterValue]]
"""What to change in a run: dotted names such as `training.learning_rate` or `data.scale` and their values, or {}."""

SCALE: Final = "data.scale"
HEALED: Final = 0.9
"""A run is healed if it gains at least this share of what its base gains over chance in validation."""


def recipe_of_run(run: Run, suggested: Mapping[str, ParameterValue] | None = None) -> Recipe:
    """Return how `run` was trained, to the last bit, with `suggested` values in place of its own.

    Raises ValueError for a name that is not a field of `[model]` or `[training]`, nor `data.scale`.
    """
    base = base_called(run.base)
    changes = dict(suggested or {})
    data = data_of(base, run.injection, run.severity)
    if SCALE in changes:
        data = _rescaled(data, str(changes.pop(SCALE)), base)
    return Recipe(
        data=data,
        configuration=_changed(run.facts.configuration, changes),
        study_seed=base.seed,
        number=run.seed,
    )


def heal(runs: Sequence[Run], suggestion: Suggestion, *, corpus: Sequence[Run]) -> float:
    """Return the share of `runs` that the suggested values heal; NaN without runs. Those without values stay ill."""
    healed = healed_of(runs, suggestion, corpus=corpus)
    return float(np.mean(healed)) if healed else float("nan")


def healed_of(runs: Sequence[Run], suggestion: Suggestion, *, corpus: Sequence[Run]) -> list[bool]:
    """Say of each of `runs` whether the suggested values heal it, as its base's runs in `corpus` show what health is.

    Raises KeyError for a run whose base has no healthy runs of its own in `corpus`.

    Healed is what ends with finite losses and HEALED of the base's mean gain: in accuracy, or in regression in the
    share of the variance explained.
    """
    names = {run.base for run in runs}
    healthy = base_gains([run for run in corpus if run.base in names])
    order = sorted(range(len(runs)), key=lambda i: (runs[i].base, runs[i].injection, runs[i].severity))
    healed = [False] * len(runs)
    shared: dict[tuple[str, str, float, ParameterValue], PreparedData] = {}
    recipes: dict[int, Recipe] = {}
    for i in order:
        if suggested := suggestion(runs[i]):
            recipe = recipe_of_run(runs[i], suggested)
            key = (runs[i].base, runs[i].injection, runs[i].severity, suggested.get(SCALE, ""))
            recipes[i] = replace(recipe, data=shared.setdefault(key, recipe.data))
    for i, outcome in zip(recipes, train(list(recipes.values())), strict=True):
        healed[i] = gain(outcome, chance_answer(base_called(runs[i].base))) >= HEALED * healthy[runs[i].base]
    return healed


def healing_of(run: Run, *, most: int) -> Healing:
    """Return what becomes of a run's configuration and data if remedies are tried one after another."""
    base = base_called(run.base)
    data = data_of(base, run.injection, run.severity)
    own = run.facts.configuration
    spec = StudySpec(
        name="heal",
        seed=base.seed,
        data=DataSpec(source="digits", scale="none" if run.facts.scale is None else run.facts.scale),
        search=(),
        model=own.model,
        training=own.training,
        metric="validation_accuracy" if data.task == "classification" else "validation_loss",
    )

    def prepare(spec: StudySpec) -> PreparedStudy:
        scaled = _rescaled(data, spec.data.scale, base)
        return PreparedStudy(
            spec=spec,
            data=_with_standard_targets(scaled) if spec.data.target_scale == "standard" else scaled,
        )

    return heal_study(PreparedStudy(spec=spec, data=data), most=most, prepare=prepare)


def healing_gain(healing: Healing, run: Run) -> float:
    """Return what the healed run gains over chance in validation, -1 if it did not reach its end.

    Chance in regression is the variance of the targets as they were scaled.
    """
    last = healing.last
    if last.last is None or last.steps < last.steps_planned:
        return -1.0
    targets = healing.study.data.validation.targets
    if healing.study.data.task == "regression":
        variance = float(targets.astype(np.float64).var(axis=0).mean())
        return gain_of(last.last, Chance(answer=variance, is_loss=True))
    return gain_of(last.last, chance_answer(base_called(run.base)))


def _changed(configuration: Configuration, changes: Mapping[str, ParameterValue]) -> Configuration:
    study = StudySpec(
        name="heal",
        data=DataSpec(source="digits"),
        model=configuration.model,
        training=configuration.training,
    )
    return configure(study, changes)


def _rescaled(data: PreparedData, scale: str, base: Base) -> PreparedData:
    """Return data with its inputs, as they are, scaled anew; those of an image share one scale."""
    kind: Scale = "unit" if scale == "unit" else "standard" if scale == "standard" else "none"
    inputs = data.training.inputs
    is_image = base.data in ("digits", "mnist")
    fitted = scaling.fit(inputs, np.arange(len(inputs)), kind=kind, is_image=is_image)

    def scaled(part: DataPart) -> DataPart:
        rows = np.arange(len(part.inputs))
        return DataPart(
            inputs=scaling.apply(fitted, part.inputs, rows, precision="float32"), targets=part.targets
        )

    return with_parts(data, training=scaled(data.training), validation=scaled(data.validation))


def _with_standard_targets(data: PreparedData) -> PreparedData:
    """Return data whose targets have mean 0 and variance 1 in the training part; classes as they are."""
    targets = data.training.targets
    if data.task == "classification":
        return data
    mean, deviation = targets.mean(axis=0), targets.std(axis=0)

    def scaled(part: DataPart) -> DataPart:
        return DataPart(inputs=part.inputs, targets=(part.targets - mean) / deviation)

    return with_parts(data, training=scaled(data.training), validation=scaled(data.validation))


def base_gains(corpus: Sequence[Run]) -> dict[str, float]:
    """Return the mean gain of each base's own healthy runs."""
    gains: dict[str, list[float]] = {}
    for run in corpus:
        if run.injection == "none" and run.labels == (Cause.HEALTHY,):
            value = gain_of(run.telemetry.epochs[-1], chance_answer(base_called(run.base)))
            gains.setdefault(run.base, []).append(value)
    return {base: float(np.mean(values)) for base, values in gains.items()}
