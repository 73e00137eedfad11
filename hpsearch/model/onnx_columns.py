"""The encoding of columns in a graph of ONNX, as `data.encoding` computes it.

Every column is an input (N, 1) of the graph by its name: numbers as float64, categories as text, dates as float64
seconds since the start of 1970. A missing number or date is NaN, and a missing category is an empty text.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from hpsearch.data.dataset import Array
from hpsearch.data.encoding import Encoding, FittedColumn
from hpsearch.model.onnx_graph import ML_DOMAIN, Graph, Name, element_type, tensor_info

_DAY_S: Final = 86_400
_EPOCH_DAYS: Final = 719_468
"""Days from 1 March of year 0, in which the calendar is computed, to 1 January 1970."""

_UNKNOWN: Final = "unknown category"
"""A text in samples that no category has, extended until that is true."""


def column_inputs(encoding: Encoding) -> list[Any]:
    """Return the declarations of the graph's inputs."""
    return [
        tensor_info(each.column.name, np.str_ if each.column.kind == "category" else np.float64, ["N", 1])
        for each in encoding.columns
    ]


def encoded(graph: Graph, encoding: Encoding) -> Name:
    """Add the encoding of all columns, and return the encoded inputs (N, I) as float64."""
    places: dict[str, deque[int]] = defaultdict(deque)
    for place, name in enumerate(encoding.features):
        places[name].append(place)
    pieces: dict[int, Name] = {}
    for column in encoding.columns:
        for names, tensor in _pieces(graph, column):
            pieces[min([places[name].popleft() for name in names])] = tensor
    return graph.add("Concat", *(pieces[place] for place in sorted(pieces)), axis=1)


def _pieces(graph: Graph, fitted: FittedColumn) -> list[tuple[tuple[str, ...], Name]]:
    """Return the names of neighbouring inputs of the network, and their tensor (N, inputs), of one column."""
    x = fitted.column.name
    if fitted.column.kind == "category":
        return [(fitted.inputs, _category(graph, fitted))]
    missing = graph.add("IsNaN", x)
    values = _date(graph, fitted, missing) if fitted.column.kind == "date" else _number(graph, fitted)
    filled = graph.add("Where", missing, graph.constant(np.array([fitted.fill])), values)
    pieces = [(fitted.inputs, filled)]
    if fitted.indicator:
        pieces.append((fitted.indicator, graph.add("Cast", missing, to=element_type(np.float64))))
    return pieces


def _number(graph: Graph, fitted: FittedColumn) -> Name:
    """Return a number, or arcsinh x = sign(x) log(|x| + sqrt(x^2 + 1)): the operator Asinh has no float64."""
    x = fitted.column.name
    if fitted.column.transform == "none":
        return x
    one = graph.constant(np.array(1.0))
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", x, x), one))
    magnitude = graph.add("Log", graph.add("Add", graph.add("Abs", x), root))
    return graph.add("Mul", graph.add("Sign", x), magnitude)


def _category(graph: Graph, fitted: FittedColumn) -> Name:
    """Return the row of a table (categories + 1, V) for each text; the last row is for unknown ones."""
    texts = [*fitted.column.categories, *([""] if fitted.has_missing else [])]
    place = graph.add(
        "LabelEncoder",
        graph.add("Reshape", fitted.column.name, graph.constant(np.array([-1]))),
        domain=ML_DOMAIN,
        keys_strings=texts,
        values_int64s=list(range(len(texts))),
        default_int64=len(texts),
    )
    return graph.add("Gather", graph.constant(_table(fitted)), place)


def _table(fitted: FittedColumn) -> Array:
    """Return the inputs of the network (categories + 1, V) for each category, and for unknown ones in the last row."""
    if fitted.column.encoding == "target":
        return np.array([*fitted.values, fitted.mean])
    table = np.zeros((fitted.count + 1, len(fitted.inputs)))
    common = [place for place in range(fitted.count) if place not in set(fitted.rare)]
    table[common, range(len(common))] = 1
    if fitted.rare:
        table[[*fitted.rare, fitted.count], -1] = 1
    return table


def _date(graph: Graph, fitted: FittedColumn, missing: Name) -> Name:
    """Return the parts of a date (N, parts) as float64.

    The calendar begins in March, so that the leap day ends a year: Hinnant, "chrono-Compatible Low-Level Date
    Algorithms", civil_from_days. All numbers are positive from year 0 on, so that whole divisions round down.
    """

    def whole(operation: str, x: Name, other: Name | int) -> Name:
        constant = graph.constant(np.array(other)) if isinstance(other, int) else other
        return graph.add(operation, x, constant)

    def rest(x: Name, divisor: int) -> Name:
        return whole("Sub", x, whole("Mul", whole("Div", x, divisor), divisor))

    known = graph.add("Where", missing, graph.constant(np.array(0.0)), fitted.column.name)
    seconds = whole("Add", graph.add("Cast", known, to=element_type(np.int64)), _EPOCH_DAYS * _DAY_S)
    days = whole("Div", seconds, _DAY_S)
    of_era = rest(days, 146_097)  # 400 years
    leaps = whole("Sub", whole("Div", of_era, 36_524), whole("Div", of_era, 1_460))
    leaps = whole("Sub", leaps, whole("Div", of_era, 146_096))
    years = whole("Div", whole("Add", of_era, leaps), 365)
    before = whole(
        "Add", whole("Mul", years, 365), whole("Sub", whole("Div", years, 4), whole("Div", years, 100))
    )
    of_year = whole("Sub", of_era, before)
    months = whole("Div", whole("Add", whole("Mul", of_year, 5), 2), 153)  # since March
    is_next = whole("Div", months, 10)
    era_years = whole("Mul", whole("Div", days, 146_097), 400)
    first = whole("Div", whole("Add", whole("Mul", months, 153), 2), 5)
    parts = {
        "year": whole("Add", whole("Add", years, era_years), is_next),
        "month": whole("Sub", whole("Add", months, 3), whole("Mul", is_next, 12)),
        "day": whole("Add", whole("Sub", of_year, first), 1),
        "weekday": rest(whole("Add", days, 2), 7),
    }
    numbers = [graph.add("Cast", part, to=element_type(np.float64)) for part in parts.values()]
    if fitted.column.has_times:
        time_s = graph.add("Cast", rest(seconds, _DAY_S), to=element_type(np.float64))
        numbers.append(graph.add("Div", time_s, graph.constant(np.array(3600.0))))
    return graph.add("Concat", *numbers, axis=1)


def column_feeds(encoding: Encoding, raw: Array) -> Mapping[str, Array]:
    """Return the inputs of the graph for raw inputs (N, R), whose codes are those of the encoding."""
    feeds: dict[str, Array] = {}
    for place, fitted in enumerate(encoding.columns):
        cells: Array = raw[:, [place]]
        if fitted.column.kind == "category":
            texts = np.array([*fitted.column.categories, _unknown(fitted), ""], object)
            codes = np.where(np.isnan(cells), len(texts) - 1, np.where(cells < 0, len(texts) - 2, cells))
            cells = texts[codes.astype(np.int64)]
        feeds[fitted.column.name] = cells
    return feeds


def _unknown(fitted: FittedColumn) -> str:
    text = _UNKNOWN
    while text in fitted.column.categories:
        text += "?"
    return text


def column_sample(encoding: Encoding, rows: int, centers: Array, spreads: Array) -> Array:
    """Return raw inputs (rows, R), always the same: a fifth is missing, and a part of the categories is unknown.

    `centers` and `spreads` (I,) are of the network's inputs.
    """
    stream = np.random.default_rng(0)
    raw = np.empty((rows, len(encoding.columns)))
    for place, fitted in enumerate(encoding.columns):
        match fitted.column.kind:
            case "category":
                raw[:, place] = stream.integers(-1, len(fitted.column.categories), rows)
            case "date":
                raw[:, place] = stream.integers(0, 2**31, rows)
            case _:
                own = encoding.features.index(fitted.column.name)
                raw[:, place] = centers[own] + spreads[own] * stream.normal(size=rows)
    raw[stream.random(raw.shape) < 0.2] = np.nan
    return raw
