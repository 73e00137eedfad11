"""Descriptions of a model: facts for tables, and a JSON object."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from hpsearch.analysis.formats import format_metric, format_parameter, format_result, format_time, loss_unit
from hpsearch.analysis.json_objects import moment_text, with_reasons
from hpsearch.data.encoding import FittedColumn
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.messages import format_count, format_number
from hpsearch.study.spec import fault_in_words

_MOST_NAMES: Final = 12
"""Names of classes and columns that people are shown; JSON has all."""

_SCALES: Final = {
    "unit": "inputs from 0 to 1",
    "standard": "inputs with mean 0 and standard deviation 1",
    "none": "inputs as they are",
}


def model_facts(model: TrainedModel) -> list[tuple[str, str]]:
    """Return (property, value) for people."""
    return [*purpose_facts(model), *training_facts(model), *results_facts(model), *provenance_facts(model)]


def purpose_facts(model: TrainedModel) -> Iterator[tuple[str, str]]:
    """Yield the facts on the model's predictions and its network."""
    yield "study", model.spec.name
    yield "trial", str(model.trial)
    yield "task", model.task
    if model.classes:
        yield "classes", _shortened(model.classes)
    features = model.preprocessing.features
    yield "inputs", f"{model.inputs:,}" + (f": {_shortened(features)}" if features else "")
    if model.preprocessing.encoding is not None:
        yield "columns", _shortened([_column_words(each) for each in model.preprocessing.encoding.columns])
    yield "preprocessing", preprocessing_words(model)
    yield "network", network_words(model)


def _column_words(fitted: FittedColumn) -> str:
    """Return a column that predictions need, such as `city (category)`."""
    return f"{fitted.column.name} ({fitted.column.kind})"


def training_facts(model: TrainedModel) -> Iterator[tuple[str, str]]:
    """Yield the facts on its training, and the searched values."""
    training, result = model.spec.training, model.result
    yield (
        "training",
        (
            f"{format_count(result.epochs, 'epoch')}, {format_count(result.steps, 'step')} of {training.optimizer} "
            f"with {training.batch_size:,} examples, {training.precision}"
        ),
    )
    yield "trained on", trained_on_words(model)
    for name, value in model.params.items():
        yield (
            name,
            format_number(value, digits=6) if isinstance(value, float) else format_parameter(value),
        )


def results_facts(model: TrainedModel) -> Iterator[tuple[str, str]]:
    """Yield its metrics."""
    result = model.result
    for name in ("training_loss", "validation_loss", "validation_accuracy"):
        value = getattr(result, name)
        if value is not None:
            yield format_metric(name), format_result(value, name)
    for name, value in result.scores.items():
        yield format_metric(name), format_result(value, name)
    if unit := loss_unit(model.spec):
        yield "unit", unit
    yield "verified", verified_words(model)


def provenance_facts(model: TrainedModel) -> Iterator[tuple[str, str]]:
    """Yield its data, and when and with which versions it was made."""
    result = model.result
    examples = f"{result.training_examples:,} to train on and {result.validation_examples:,} to validate"
    if model.spec.data.folds:
        examples = (
            f"{result.training_examples:,}, {result.validation_examples:,} of them to validate in folds"
        )
    yield "data", model.origin
    yield "examples", examples
    yield "fingerprint", model.fingerprint
    yield "made", f"{format_time(model.created)} with {versions_words(model)}"


def preprocessing_words(model: TrainedModel) -> str:
    """Return the preprocessing, such as `inputs from 0 to 1, as in the training part`."""
    kind, fault = model.preprocessing.scaling.kind, model.preprocessing.fault
    words = _SCALES[kind] + ("" if kind == "none" else ", as in the training part")
    if model.target_scaling.kind == "standard":
        words += "; outputs in the unit of the targets"
    return words if fault is None else f"{fault_in_words(fault)}; {words}"


def network_words(model: TrainedModel) -> str:
    """Return the architecture: `64-64-10, relu, softmax, batch normalization, 4,810 parameters`."""
    spec = model.spec.model
    widths = "-".join(map(str, (model.inputs, *spec.hidden, model.outputs)))
    parts = [widths, *([spec.activation] if spec.hidden else []), model.output]
    if spec.batch_norm and spec.hidden:
        parts.append("batch normalization")
    if spec.dropout and spec.hidden:
        parts.append(f"dropout {format_parameter(spec.dropout)}")
    if any(spec.skips):
        parts.append("skip connections")
    return ", ".join([*parts, f"{model.network.parameters:,} parameters"])


def verified_words(model: TrainedModel) -> str:
    """Return whether the training gave the stored results again."""
    if model.result.is_verified:
        return "bit-identical to the stored trial"
    stored = format_result(model.result.stored_value, model.spec.metric)
    return f"no: the training differs from the stored trial, whose {format_metric(model.spec.metric)} is {stored}"


def trained_on_words(model: TrainedModel) -> str:
    """Return the examples that the weights come from."""
    result, folds = model.result, model.spec.data.folds
    if folds:
        examples = format_count(result.training_examples, "example")
        return f"all {examples} but those of the test part; the results are means over {folds} folds of them"
    if result.trained_on == "training":
        return f"the training part, {format_count(result.training_examples, 'example')}"
    examples = format_count(result.training_examples + result.validation_examples, "example")
    return f"training and validation part, {examples}; the results are of a training on the first alone"


def versions_words(model: TrainedModel) -> str:
    """Return `hpsearch 0.2.0, numpy 2.1.0, python 3.12.1`."""
    return ", ".join(f"{name} {version}" for name, version in model.versions.items())


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def model_object(model: TrainedModel) -> dict[str, Any]:
    """Return a model as a JSON object, without its weights."""
    spec, result = model.spec, model.result
    return {
        "study": spec.name,
        "trial": model.trial,
        "task": model.task,
        "classes": list(model.classes),
        "inputs": model.inputs,
        "features": list(model.preprocessing.features),
        "columns": list(model.preprocessing.raw_features),
        "outputs": model.outputs,
        "scale": model.preprocessing.scaling.kind,
        "target_scale": model.target_scaling.kind,
        "hidden": list(spec.model.hidden),
        "activation": spec.model.activation,
        "output": model.output,
        "parameters": model.network.parameters,
        "precision": spec.training.precision,
        "params": dict(model.params),
        "metric": spec.metric,
        **_number("value", model.value),
        **_number("stored_value", result.stored_value),
        "verified": result.is_verified,
        "trained_on": result.trained_on,
        "epochs": result.epochs,
        "steps": result.steps,
        **_number("training_loss", result.training_loss),
        **_number("validation_loss", result.validation_loss),
        **_number("validation_accuracy", result.validation_accuracy),
        "scores": with_reasons(result.scores),
        "training_examples": result.training_examples,
        "validation_examples": result.validation_examples,
        "origin": model.origin,
        "fingerprint": model.fingerprint,
        "versions": dict(model.versions),
        "created": moment_text(model.created),
    }


def _number(name: str, value: float | None) -> dict[str, Any]:
    """Return a number that may be missing, with the reason if it is not finite."""
    return {name: None} if value is None else with_reasons({name: value})
