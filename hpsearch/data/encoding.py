"""Encoding: columns of numbers, categories and dates as the finite numbers that a network takes.

It is fitted on the training part alone, by scikit-learn's transformers, and kept as plain numbers and texts, from which
the transformers are built again: a model's file needs no pickles.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

import numpy as np
import numpy.typing as npt

from hpsearch.study.schema import words
from hpsearch.study.spec import RARE_SHARE, CategoryEncoding, KnownTask, NumberTransform

if TYPE_CHECKING:
    from sklearn.compose import ColumnTransformer

Array: TypeAlias = npt.NDArray[Any]
InputKind: TypeAlias = Literal["number", "category", "date"]

_BLOCK_NUMBERS: Final = 1 << 22
"""Numbers of inputs that are encoded at one time."""

UNKNOWN: Final = -1.0
"""The code of a category that the training part does not have."""

_FOLDS: Final = 5
"""Parts of the training part for target encoding: each is encoded by the targets of the others."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class InputColumn:
    """One column of raw inputs, as the table has it: float64, NaN if a cell is empty.

    A category is a code, the place of its text in `categories`, which are sorted. A date is in seconds since the start
    of 1970, `has_times` if one is not at midnight, and `day_first` if its texts begin with the day. The other fields
    are those of `ColumnRule`.
    """

    name: str
    kind: InputKind = "number"
    categories: tuple[str, ...] = ()
    has_times: bool = False
    day_first: bool = False
    transform: NumberTransform = "none"
    encoding: CategoryEncoding = "one_hot"
    min_frequency: float = RARE_SHARE

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a date that are inputs."""
        return ("year", "month", "day", "weekday", *(("hour",) if self.has_times else ()))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FittedColumn:
    """A column with the numbers fitted on the training part; its `column` has the categories of that part only.

    `fill` replaces a missing number, after its transform, or the parts of a missing date. `has_missing` is whether the
    training part has missing ones: numbers and dates then have an indicator, and None is a category after the others.
    `rare` are the places of the categories that share one input. `values` (categories, V) are those of target encoding,
    and `mean` (V,) is for unknown categories; V is the number of classes if there are more than two, else 1.
    """

    column: InputColumn
    fill: tuple[float, ...] = ()
    has_missing: bool = False
    rare: tuple[int, ...] = ()
    values: tuple[tuple[float, ...], ...] = ()
    mean: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """The number of categories in the training part, with that of missing ones."""
        return len(self.column.categories) + self.has_missing

    @property
    def indicator(self) -> tuple[str, ...]:
        """The name of the input that is 1 if a number or date is missing; none if none was."""
        return (f"{self.column.name} missing",) if self.has_missing else ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the network's inputs for this column, without the indicator."""
        name = self.column.name
        if self.column.kind == "number":
            return (name,)
        if self.column.kind == "date":
            return tuple(f"{name} {part}" for part in self.column.parts)
        if self.column.encoding == "target":
            return (name,) if len(self.mean) == 1 else tuple(f"{name} {i}" for i in range(len(self.mean)))
        every = [*(f"{name}={text}" for text in self.column.categories), f"{name} missing"][: self.count]
        common = [each for i, each in enumerate(every) if i not in set(self.rare)]
        return (*common, *((f"{name}=rare",) if self.rare else ()))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """The fitted columns of a study, in the order of its raw inputs (N, R).

    Those of a table without header have no names of their own (`is_named` is False).
    """

    columns: tuple[FittedColumn, ...]
    is_named: bool = True

    @cached_property
    def features(self) -> tuple[str, ...]:
        """The names of the network's inputs, in the order in which `apply` returns them."""
        return tuple(name for block in _blocks(self.columns) for name in block.names)

    @cached_property
    def transformer(self) -> "ColumnTransformer":
        """A fitted scikit-learn transformer with the same result for rows of objects (N, R).

        Its columns are those of `columns`, in order: numbers as float, categories as text, dates as seconds since the
        start of 1970, and NaN for a missing one of each kind.
        """
        return _transformer(self.columns, is_text=True)

    @cached_property
    def _of_codes(self) -> "ColumnTransformer":
        return _transformer(self.columns, is_text=False)

    def apply(self, inputs: Array) -> npt.NDArray[np.float64]:
        """Return the encoded inputs (N, I) of raw inputs (N, R), whose codes are those of this encoding.

        A category that the training part does not have is encoded as the rare ones are, or as none if there are none.
        """
        encoded = np.empty((len(inputs), len(self.features)))
        step = max(1, _BLOCK_NUMBERS // max(1, encoded.shape[1]))
        for start in range(0, len(inputs), step):
            encoded[start : start + step] = self._of_codes.transform(inputs[start : start + step])
        return encoded

    def recoded(self, inputs: Array, columns: Sequence[InputColumn]) -> Array:
        """Return raw inputs (N, R), whose codes are those of `columns`, with the codes of this encoding."""
        recoded = np.where(np.isnan(inputs), np.nan, inputs)  # one NaN, whose bits count in fingerprints
        for place, (own, other) in enumerate(zip(self.columns, columns, strict=True)):
            if own.column.kind == "category":
                known = {text: code for code, text in enumerate(own.column.categories)}
                codes = np.array([*(known.get(text, UNKNOWN) for text in other.categories), np.nan])
                missing = np.isnan(inputs[:, place])
                recoded[:, place] = codes[np.where(missing, len(codes) - 1, inputs[:, place]).astype(np.intp)]
        return recoded

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object, of which `encoding_from_json` makes an equal encoding."""
        return asdict(self)

    def description(self) -> str:
        """Return a text that is equal for equal encodings, with 10 digits of every fitted number."""
        return "\n".join(f"{_rounded(asdict(column))}" for column in self.columns)


def _rounded(value: Any) -> Any:
    match value:
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case float():
            return f"{value + 0.0:.9e}"
        case _:
            return value


def encoding_from_json(raw: Any) -> Encoding:
    """Return the encoding of `Encoding.to_json`. Raises ValueError, TypeError or KeyError for anything else."""
    return Encoding(
        columns=tuple(_column_from_json(item) for item in raw["columns"]), is_named=raw["is_named"] is True
    )


def input_column_from_json(raw: Mapping[str, Any]) -> InputColumn:
    """Return the column of its JSON object. Raises ValueError, TypeError or KeyError for anything else."""
    given = {**raw, "name": _text(raw["name"]), "categories": tuple(map(_text, raw["categories"]))}
    column = InputColumn(**given)
    for word, kind in (
        (column.kind, InputKind),
        (column.encoding, CategoryEncoding),
        (column.transform, NumberTransform),
    ):
        if word not in words(kind):
            raise ValueError(f"column {column.name:.40} has the unknown word {word!r:.40}")
    return column


def _column_from_json(raw: Mapping[str, Any]) -> FittedColumn:
    column = input_column_from_json(raw["column"])
    fitted = FittedColumn(
        column=column,
        fill=_numbers(raw["fill"]),
        has_missing=bool(raw["has_missing"]),
        rare=tuple(int(place) for place in raw["rare"]),
        values=tuple(map(_numbers, raw["values"])),
        mean=_numbers(raw["mean"]),
    )
    _check(fitted)
    return fitted


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a name must be text, and is {value!r:.40}")  # noqa: TRY004 # as all damage
    return value


def _numbers(values: Any) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not np.isfinite(numbers).all():
        raise ValueError("a fitted number must be finite")
    return numbers


def _check(fitted: FittedColumn) -> None:
    """Raise ValueError if the parts of a fitted column do not fit together."""
    column = fitted.column
    fills = {"number": 1, "category": 0, "date": len(column.parts)}[column.kind]
    is_target = column.kind == "category" and column.encoding == "target"
    widths = {len(row) for row in fitted.values}
    if (
        len(fitted.fill) != fills
        or not all(0 <= place < fitted.count for place in fitted.rare)
        or len(fitted.values) != (fitted.count if is_target else 0)
        or (is_target and (widths - {len(fitted.mean)} or not fitted.mean))
        or (
            column.kind == "category"
            and (not fitted.count or len(set(column.categories)) < len(column.categories))
        )
    ):
        raise ValueError(f"the parts of column {column.name!r:.40} do not fit together")


def fit_encoding(
    columns: Sequence[InputColumn],
    inputs: Array,
    rows: npt.NDArray[np.int64],
    *,
    targets: Array,
    task: KnownTask,
) -> Encoding:
    """Return the encoding for the given rows of raw `inputs` (N, R); no other row has any influence.

    `targets` (N,) or (N, 1) are needed for target encoding only.
    """
    fitted = []
    for place, column in enumerate(columns):
        values = inputs[rows, place].reshape(-1, 1)
        match column.kind:
            case "number" | "date":
                fitted.append(_fitted_numbers(column, values))
            case "category" if column.encoding == "one_hot":
                fitted.append(_fitted_categories(column, values))
            case _:
                fitted.append(_fitted_targets(column, values, targets[rows].reshape(-1), task))
    return Encoding(columns=tuple(fitted))


def cross_fitted(codes: Array, *, targets: Array, task: KnownTask, seed: int) -> npt.NDArray[np.float64]:
    """Return the target encoding (n, V) of codes (n,) of the training part, each fifth by the targets of the others.

    Encoded by its own target, a rare category would give the target away (scikit-learn, "Target Encoder's Internal
    Cross fitting"). Of several classes, each is encoded against the others, as scikit-learn does.
    """
    from sklearn.model_selection import KFold  # noqa: PLC0415

    known = np.unique(targets) if task == "classification" else targets[:0]
    own = known if len(known) > 2 else known[1:]
    columns = [targets == label for label in own] if task == "classification" else [targets.reshape(-1)]
    folds = KFold(min(_FOLDS, len(codes)), shuffle=True, random_state=seed % 2**32)
    cells, encoder = codes.reshape(-1, 1), _target_encoder("regression")
    values = np.empty((len(codes), len(columns)))
    for others, rows in folds.split(cells):
        for place, column in enumerate(columns):
            fitted = encoder.fit(cells[others], column[others].astype(np.float64))
            values[rows, place] = fitted.transform(cells[rows])[:, 0]
    return values


def _fitted_numbers(column: InputColumn, values: Array) -> FittedColumn:
    missing = bool(np.isnan(values).any())
    steps = _number_steps(column)
    for step in steps[:-1]:
        values = step.fit_transform(values)
    fill = steps[-1].fit(values).statistics_
    return FittedColumn(column=column, fill=tuple(map(float, fill)), has_missing=missing)


def _fitted_categories(column: InputColumn, values: Array) -> FittedColumn:
    least = column.min_frequency
    encoder = _one_hot_encoder(least if least < 1 else round(least)).fit(values)
    own, has_missing = _own_categories(column, encoder)
    found = encoder.infrequent_categories_[0]
    codes = encoder.categories_[0].tolist()
    rare = () if found is None else tuple(i for i, code in enumerate(codes) if _is_among(code, found))
    return FittedColumn(column=own, has_missing=has_missing, rare=rare)


def _fitted_targets(column: InputColumn, values: Array, targets: Array, task: KnownTask) -> FittedColumn:
    encoder = _target_encoder(task).fit(values, targets)
    own, has_missing = _own_categories(column, encoder)
    return FittedColumn(
        column=own,
        has_missing=has_missing,
        values=tuple(map(tuple, np.column_stack(encoder.encodings_).tolist())),
        mean=tuple(np.atleast_1d(encoder.target_mean_).astype(np.float64).tolist()),
    )


def _own_categories(column: InputColumn, encoder: Any) -> tuple[InputColumn, bool]:
    """Return the column with the categories that an encoder found, and whether there are missing ones."""
    codes = encoder.categories_[0]
    present = codes[~np.isnan(codes)].astype(int)
    own = replace(column, categories=tuple(column.categories[code] for code in present))
    return own, len(present) < len(codes)


def _is_among(code: float, codes: Array) -> bool:
    return bool(np.isnan(codes).any() if np.isnan(code) else (codes == code).any())


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    """Neighbouring columns that one transformer takes: their places, and the names of its outputs."""

    columns: tuple[FittedColumn, ...]
    places: tuple[int, ...]
    names: tuple[str, ...]
    is_indicator: bool = False

    def transformer(self, rows: int) -> Any:
        """Return the transformer, not fitted, for that number of example rows."""
        first = self.columns[0]
        if self.is_indicator:
            return _indicator()
        if first.column.kind != "category":
            return _pipeline(_number_steps(first.column))
        if first.column.encoding == "target":
            return _target_encoder("regression" if len(first.mean) == 1 else "classification", cv=2)
        return _one_hot_encoder(rows + 1 if len(first.rare) == first.count else 2)

    def set_numbers(self, fitted: Any) -> None:
        """Set the fitted numbers of the transformer, in place."""
        first = self.columns[0]
        if self.is_indicator:
            return
        if first.column.kind != "category":
            fitted[-1].statistics_ = np.array([number for each in self.columns for number in each.fill])
        elif first.column.encoding == "target":
            fitted.encodings_ = [np.array(values) for values in zip(*first.values, strict=True)]
            fitted.target_mean_ = np.array(first.mean) if len(first.mean) > 1 else first.mean[0]


def _blocks(columns: Sequence[FittedColumn]) -> Iterator[_Block]:
    """Yield the blocks of the inputs in their order. Numbers with the same transform are one block, for speed."""

    def treatment(item: tuple[int, FittedColumn]) -> tuple[object, ...]:
        place, column = item
        return (column.column.transform,) if column.column.kind == "number" else ("", place)

    for _, group in groupby(enumerate(columns), treatment):
        places, fitted = zip(*group, strict=True)
        names = tuple(name for each in fitted for name in each.inputs)
        indicators = tuple(name for each in fitted for name in each.indicator)
        match fitted[0].column.kind:
            case "number":
                yield _Block(columns=fitted, places=places, names=(*names, *indicators))
            case "date" if indicators:
                yield _Block(columns=fitted, places=places, names=names)
                yield _Block(columns=fitted, places=places, names=indicators, is_indicator=True)
            case _:
                yield _Block(columns=fitted, places=places, names=names)


def _transformer(columns: Sequence[FittedColumn], *, is_text: bool) -> "ColumnTransformer":
    """Return the transformer of the fitted columns, for categories as text or as codes.

    It is fitted on a few example rows, from which its parts get the same categories, rare categories and indicators as
    from the training part; then the fitted numbers are set.
    """
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 - a second of imports, for tables only

    blocks = list(_blocks(columns))
    classes = max([2, *(len(column.mean) for column in columns)])
    rows = _example_rows(columns, least=2 * classes, is_text=is_text)
    parts = [(f"{i}", block.transformer(len(rows)), list(block.places)) for i, block in enumerate(blocks)]
    whole = ColumnTransformer(parts, sparse_threshold=0.0)
    whole.fit(rows, np.resize(np.arange(classes, dtype=np.float64), len(rows)))
    for block, (_, fitted, _) in zip(blocks, whole.transformers_, strict=False):
        block.set_numbers(fitted)
    return whole


def _example_rows(columns: Sequence[FittedColumn], *, least: int, is_text: bool) -> Array:
    """Return rows (M, R): each common category at least twice, each rare one once unless all are rare."""
    examples = [_example_cells(column, is_text=is_text) for column in columns]
    rows = np.empty((max(least, *map(len, examples)), len(columns)), object if is_text else np.float64)
    for place, cells in enumerate(examples):
        rows[:, place] = cells + [cells[0]] * (len(rows) - len(cells))
    return rows


def _example_cells(fitted: FittedColumn, *, is_text: bool) -> list[Any]:
    if fitted.column.kind != "category":
        return [0.0, np.nan] if fitted.has_missing else [0.0]
    categories = fitted.column.categories
    cells: list[Any] = [*categories] if is_text else [float(code) for code in range(len(categories))]
    cells += [np.nan] * fitted.has_missing
    common = [cell for i, cell in enumerate(cells) if i not in set(fitted.rare)]
    return [*common, *common, *(cells[i] for i in fitted.rare)]


def _pipeline(steps: Sequence[Any]) -> Any:
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415

    return make_pipeline(*steps)


def _number_steps(column: InputColumn) -> list[Any]:
    """Return the transformers of a number or date; the last one fills what is missing."""
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415

    is_number = column.kind == "number"
    fill = SimpleImputer(strategy="median", add_indicator=is_number, keep_empty_features=True)
    if not is_number:
        return [FunctionTransformer(date_parts, kw_args={"has_times": column.has_times}), fill]
    return [fill] if column.transform == "none" else [FunctionTransformer(log_magnitude), fill]


def _indicator() -> Any:
    from sklearn.impute import MissingIndicator  # noqa: PLC0415

    return MissingIndicator(features="missing-only", error_on_new=False)


def _one_hot_encoder(min_frequency: float) -> Any:
    from sklearn.preprocessing import OneHotEncoder  # noqa: PLC0415

    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=min_frequency, sparse_output=False
    )


def _target_encoder(task: KnownTask, **options: Any) -> Any:
    from sklearn.preprocessing import TargetEncoder  # noqa: PLC0415

    return TargetEncoder(target_type="continuous" if task == "regression" else "auto", **options)


def log_magnitude(numbers: Array) -> npt.NDArray[np.float64]:
    """Return arcsinh(x), which is nearly sign(x) log(2 |x|) for large numbers, and x for small ones."""
    return np.arcsinh(np.asarray(numbers, dtype=np.float64))


def date_parts(seconds: Array, *, has_times: bool) -> npt.NDArray[np.float64]:
    """Return year, month, day, weekday (Monday is 0) and, with times, the hour with its fraction (N, 4 or 5).

    `seconds` (N, 1) are since the start of 1970; the parts of NaN are NaN.
    """
    given = np.asarray(seconds, dtype=np.float64).reshape(-1)
    missing = np.isnan(given)
    moments = np.where(missing, 0, given).astype(np.int64).astype("datetime64[s]")
    days = moments.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    parts = [
        months.astype("datetime64[Y]").astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        (days.astype(np.int64) + 3) % 7,
        *([(moments - days).astype(np.int64) / 3600] if has_times else []),
    ]
    result = np.column_stack(parts).astype(np.float64)
    result[missing] = np.nan
    return result
