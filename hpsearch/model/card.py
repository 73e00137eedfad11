"""The model card: a page in Markdown for readers who did not train the model (Mitchell et al. 2019, "Model cards")."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from hpsearch.analysis.formats import format_metric, format_result
from hpsearch.analysis.intervals import share_interval
from hpsearch.model.description import (
    provenance_facts,
    purpose_facts,
    results_facts,
    training_facts,
)
from hpsearch.model.trained_model import TrainedModel
from hpsearch.study.messages import format_count, toml_excerpt
from hpsearch.study.spec import Initializer

_USE = """\
```python
import hpsearch

model = hpsearch.load_model("model.npz")
model.predict(X)  # raw rows: {inputs}
```

On the command line: `hpsearch model predict model.npz new.csv --output predicted.csv`.
"""


def model_card(model: TrainedModel) -> str:
    """Return the card: what the model is, how good on what, how to use it, its limits, its settings and versions."""
    task = f"one of {len(model.classes)} classes" if model.classes else "numbers in the unit of the targets"
    sections = {
        "Purpose": _table(purpose_facts(model)),
        "Results": _table(results_facts(model)),
        "Use": [_USE.format(inputs=_input_words(model)).rstrip()],
        "Limits": [f"* {limit}" for limit in _limits(model)],
        "Training": _table(training_facts(model)),
        "Hyperparameters": _table(_settings(model)),
        "Data and versions": _table(provenance_facts(model)),
    }
    lines = [
        f"# Model of {_escaped(model.spec.name)}, trial {model.trial}",
        "",
        f"A multilayer perceptron that predicts {task} from {format_count(model.inputs, 'input')}.",
        _result_sentence(model),
    ]
    for title, content in sections.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join([*lines, ""])


def _input_words(model: TrainedModel) -> str:
    if model.preprocessing.features:
        return "a data frame with the columns of the study, in any order"
    return f"an array (N, {model.inputs}), unscaled, with the columns of the study in their order"


def _result_sentence(model: TrainedModel) -> str:
    metric, result = model.spec.metric, model.result
    words = f"Its {format_metric(metric)} is {format_result(model.value, metric)}"
    examples = format_count(result.validation_examples, "example")
    if metric != "validation_accuracy" or result.validation_accuracy is None:
        return f"{words}, measured on {examples}."
    hits = round(result.validation_accuracy * result.validation_examples)
    low, high = share_interval(hits, result.validation_examples)
    return (
        f"{words}, measured on {examples}: the 95 % interval is {format_result(low, metric)} to "
        f"{format_result(high, metric)}."
    )


def _limits(model: TrainedModel) -> Iterator[str]:
    metric = format_metric(model.spec.metric)
    yield (
        f"The {metric} was measured on examples that also chose this trial among {model.spec.trials:,}, so it is "
        "optimistic. `hpsearch study test` measures on a sealed test part."
    )
    if model.result.trained_on == "all":
        yield "The weights were trained on the validation part too: the results are those of a training without it."
    if not model.result.is_verified:
        yield "The training differs from the stored one, so the stored result is not that of these weights."
    yield "It was trained with one split and one seed. `hpsearch study confirm` measures how much seeds change."
    yield (
        "It was not tested on rows from another source, time or group than those of the study, on inputs outside their "
        "range, or on changed inputs. No part of the data was examined separately."
    )
    if model.has_probabilities:
        yield "Its probabilities are not calibrated."


def _settings(model: TrainedModel) -> Iterator[tuple[str, str]]:
    """Yield the key and value of every setting of the network and its training, as a study file writes it."""
    for section in ("model", "training"):
        spec = getattr(model.spec, section)
        for field in fields(spec):
            yield f"{section}.{field.name}", _setting(getattr(spec, field.name))


def _setting(value: Any) -> str:
    if isinstance(value, Initializer):
        return value.name if value.scale is None else f"{value.name} {value.scale:g}"
    return toml_excerpt(list(value) if isinstance(value, tuple) else value)


def _table(facts: Iterable[tuple[str, str]]) -> list[str]:
    rows = [f"| {_escaped(name)} | {_escaped(value)} |" for name, value in facts]
    return ["| property | value |", "| --- | --- |", *rows]


def _escaped(text: str) -> str:
    """Return text that is one cell of a table, without any markup of its own."""
    flat = " ".join(text.split())
    for mark in "\\`*_<>|[]":
        flat = flat.replace(mark, f"\\{mark}")
    return flat
