"""The kind of each column of a table, found from its cells, and its use in a study."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias, final

import numpy as np

from hpsearch.data.dates import date_number, day_first_of, has_time
from hpsearch.data.encoding import Array, InputColumn
from hpsearch.data.numerals import has_decimal_comma, is_local_number, is_missing, is_number, plain
from hpsearch.study.messages import key_path, remedy_for, toml_excerpt
from hpsearch.study.spec import RARE_SHARE, ColumnRule

ColumnKind: TypeAlias = Literal[
    "empty",
    "constant",
    "identifier",
    "yes/no",
    "whole number",
    "number",
    "other notation",
    "date",
    "category",
    "text",
]

MOST_TEXTS: Final = 100_000
"""Different texts of a column that are kept in memory, unless they are dates or the study names the column."""

_MOST_CATEGORIES: Final = 1000
_FEW_CATEGORIES: Final = 20
_FEWEST_PER_CATEGORY: Final = 5
"""A column of text is a category if it has at most 20 different texts, or at most 1000 that have 5 rows on average."""

_MOST_WORDS: Final = 3
"""Words on average up to which different texts are names or codes, such as "Smith, Mr. John"."""

_JUDGED_TEXTS: Final = 1000

_MEASURE: Final = re.compile(r"[+-]?\d+(?:[.,]\d+)*\s*(?P<unit>[^\W\d_]{1,5}[²³]?|°C|°F)")
"""A number and its unit."""

RARE_CELLS: Final = 0.05
"""Share of cells up to which they are mistakes in a column of another kind."""

_FEW_MARKS: Final = 3
"""Different texts that may be marks for missing values among many different numbers."""

FEWEST_IDENTIFIERS: Final = 20
"""Rows of a table from which on a column of numbers may be an identifier."""

IDENTIFIER: Final = re.compile(
    r"(?:.*[\W_])?(?:id|ids|uid|uuid|guid|idx|index|row|nr|no|key|serial)|.*[a-z](?:Id|ID)", re.IGNORECASE
)
"""Names of columns that number or name the rows."""

FLAGS: Final = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"0", "1"})


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnUse:
    """A column of a table, its kind, and its use in a study in words."""

    name: str
    kind: ColumnKind
    use: str


@final
@dataclass(kw_only=True, slots=True)
class Texts:
    """The different texts of a column, in the order in which they were found, each with its first line.

    A cell's code is the place of its text, and NaN if it is missing. `is_full` is whether later texts have no code:
    there are more than MOST_TEXTS, and `is_needed` is False.
    """

    is_needed: bool = False
    values: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    is_full: bool = False
    codes: dict[str, float] = field(default_factory=dict)

    def coded(self, cells: Sequence[str], lines: Sequence[int]) -> list[float]:
        """Return the codes of some cells, adding their texts in place."""
        codes = self.codes
        try:
            return [codes[cell] for cell in cells]
        except KeyError:
            return [self._code(cell, line) for cell, line in zip(cells, lines, strict=True)]

    def _code(self, cell: str, line: int) -> float:
        if (found := self.codes.get(cell)) is not None:
            return found
        text = cell.strip()
        code = np.nan if is_empty_cell(text) else self.codes.get(text)
        if code is None:
            if self._has_enough():
                return 0.0
            code = float(len(self.values))
            self.values.append(text)
            self.lines.append(line)
            self.codes[text] = code
        self.codes[cell] = code
        return code

    def _has_enough(self) -> bool:
        if len(self.values) == MOST_TEXTS and not self.is_needed:
            self.is_full = any(date_number(text) is None for text in self.values[:100])
            self.is_needed = not self.is_full
        return self.is_full


def is_empty_cell(text: str) -> bool:
    """Return True for the text of a cell without a value."""
    return is_missing(text) or text.lower() == "none"


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decision:
    """The use of a column in a study: `column` describes the input, or is None.

    `values` (N,) replace those that were read. `problem` is "place, column: rule (got value): remedy", `note` a
    sentence about a decision that a user should check.
    """

    kind: ColumnKind
    use: str
    column: InputColumn | None = None
    values: Array | None = None
    problem: str | None = None
    note: str | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnPlace:
    """The name of a column for people, and the unit of its lines: `line` or `row`. Without a header it has a number.

    `has_decimal_comma` is whether numbers of the table may have one.
    """

    name: str
    is_named: bool
    unit: str
    has_decimal_comma: bool = False

    @property
    def shown(self) -> str:
        """The column for messages."""
        return f'column "{self.name}"' if self.is_named else f"column {self.name}"

    @property
    def input_name(self) -> str:
        """The name of the input."""
        return self.name if self.is_named else f"column {self.name}"

    def remedy(self, kind: str, verb: str) -> str:
        """Return how to use the column as `kind`, which `verb` describes; nothing without a header."""
        return (
            f": {key_path(self.name)} = {toml_excerpt(kind)} under [data.columns] {verb}"
            if self.is_named
            else ""
        )

    def left_out(self, kind: ColumnKind, reason: str, *, keep: str) -> Decision:
        """Return the decision to leave the column out for a reason, with a note."""
        note = f"data.columns: {self.shown} {reason}, so it is no input{self.remedy(keep, 'keeps it')}"
        return Decision(kind=kind, use=f"left out: {reason}", note=note)

    def problem(self, kind: ColumnKind, line: int, rule: str, remedy: str) -> Decision:
        """Return the decision that the column cannot be used."""
        return Decision(
            kind=kind, use=f"problem: {remedy}", problem=f"{self.unit} {line}, {self.shown}: {rule}: {remedy}"
        )


def decide_number(
    place: ColumnPlace, values: Array, rule: ColumnRule | None, *, keeps_constants: bool = False
) -> Decision:
    """Return the use of a column of numbers (N,), NaN if one is missing."""
    present = values[~np.isnan(values)]
    missing = len(values) - len(present)
    if not len(present):
        return place.left_out("empty", "is empty", keep="number") if rule is None else _all_missing(place)
    low, is_whole = present[0], bool((present == np.floor(present)).all())
    is_constant = not missing and len(values) > 1 and bool((present == low).all())
    if rule is None and is_constant and not keeps_constants:
        return place.left_out("constant", f"has the same number in all {len(values):,} rows", keep="number")
    if rule is None and not missing and counts_rows(place.name, values):
        return place.left_out(
            "identifier", f"counts the rows, from {values[0]:.0f} to {values[-1]:.0f}", keep="number"
        )
    is_flag = is_whole and bool(((present == 0) | (present == 1)).all())
    kind: ColumnKind = "yes/no" if is_flag else "whole number" if is_whole else "number"
    kind = "constant" if is_constant else kind
    transform = rule.transform if rule is not None else "none"
    use = "input" + (", its logarithm" if transform == "log" else "")
    if missing:
        use += f", {missing:,} missing: the median, and an indicator"
    return Decision(kind=kind, use=use, column=InputColumn(name=place.input_name, transform=transform))


def _all_missing(place: ColumnPlace) -> Decision:
    return place.problem("empty", 1, "must have a value (got none)", "leave it out")


def counts_rows(name: str, values: Array) -> bool:
    """Return True for numbers that grow by 1 from row to row, in a column that is called like an identifier."""
    if len(values) < FEWEST_IDENTIFIERS or not is_identifier_name(name):
        return False
    return bool(np.all(np.diff(values) == 1)) and bool(values[0] == np.floor(values[0]))


def is_identifier_name(name: str) -> bool:
    """Return True for names such as `id`, `PassengerId`, `row` and `order_no`."""
    return IDENTIFIER.fullmatch(name) is not None


def decide_texts(  # noqa: PLR0911 - one for each kind
    place: ColumnPlace, codes: Array, texts: Texts, rule: ColumnRule | None
) -> Decision:
    """Return the use of a column of text: `codes` (N,) are those of `texts`."""
    present = codes[~np.isnan(codes)].astype(np.intp)
    if not len(present):
        return place.left_out("empty", "is empty", keep="category") if rule is None else _all_missing(place)
    counts = np.bincount(present, minlength=len(texts.values))
    kind = _text_kind(texts, counts)
    if rule is not None and rule.kind == "category":
        return _category(place, codes, texts, rule, kind if kind == "yes/no" else "category")
    if rule is not None and rule.kind == "date":
        return _date(place, codes, texts, counts)
    if (problem := _notation_problem(place, texts, counts)) is not None:
        return problem
    if kind in ("identifier", "text") and (problem := _unit_problem(place, texts)) is not None:
        return problem
    missing = len(codes) - len(present)
    match kind:
        case "date":
            return _date(place, codes, texts, counts)
        case "constant" if not missing:
            reason = f"has the same text in all {len(codes):,} rows"
            return place.left_out(kind, reason, keep="category")
        case "constant" | "yes/no" | "category":
            return _category(place, codes, texts, rule, "category" if kind == "constant" else kind)
        case "identifier":
            reason = f"has a different text in every one of {len(present):,} rows"
            return place.left_out(kind, reason, keep="category")
        case _:
            distinct = "more than " * texts.is_full + f"{len(texts.values):,}"
            reason = f"is free text, with {distinct} different texts in {len(present):,} rows"
            return place.left_out("text", reason, keep="category")


def _text_kind(texts: Texts, counts: Array) -> ColumnKind:
    """Return the kind of a column that is not only numbers, from its texts and their counts."""
    distinct, present = len(texts.values), int(counts.sum())
    if texts.is_full:
        return "text"
    if all(
        date_number(text) is not None or date_number(text, day_first=True) is not None
        for text in texts.values
    ):
        return "date"
    few = max(_FEW_CATEGORIES, min(_MOST_CATEGORIES, present // _FEWEST_PER_CATEGORY))
    flags = {text.lower() for text in texts.values}
    rules: tuple[tuple[ColumnKind, bool], ...] = (
        ("constant", distinct == 1),
        ("yes/no", any(flags <= each for each in FLAGS)),
        ("text", distinct == present > 2 and _words(texts) > _MOST_WORDS),
        ("identifier", distinct == present > 2),
        ("category", distinct <= few),
    )
    return next((kind for kind, holds in rules if holds), "text")


def _words(texts: Texts) -> float:
    """Return the number of words in a text, on average over the first ones."""
    some = texts.values[:_JUDGED_TEXTS]
    return sum(len(text.split()) for text in some) / len(some)


def _notation_problem(place: ColumnPlace, texts: Texts, counts: Array) -> Decision | None:
    """Return the problem of numbers in another notation, and of a few texts among many numbers."""
    numbers = np.array(
        [is_number(text) or (place.has_decimal_comma and has_decimal_comma(text)) for text in texts.values]
    )
    local = np.array([is_local_number(text) for text in texts.values]) & ~numbers
    present, others = int(counts.sum()), ~numbers & ~local
    if local.any() and counts[local | numbers].sum() >= present * (1 - RARE_CELLS):
        first, count = _first(local), int(counts[local].sum())
        text = texts.values[first]
        rule = f"inputs must be numbers in digits ({_got(text, count)})"
        return place.problem(
            "other notation", texts.lines[first], rule, f"write {plain(text)}, or {_leave(place)}"
        )
    few = int(counts[others].sum()) <= present * RARE_CELLS or int(others.sum()) <= _FEW_MARKS
    if (
        not few
        or not others.any()
        or int(numbers.sum()) <= _FEW_CATEGORIES
        or counts[numbers].sum() * 2 < present
    ):
        return None
    first, count = _first(others), int(counts[others].sum())
    rule = (
        f"inputs must be numbers, as {int(counts[numbers].sum()):,} are ({_got(texts.values[first], count)})"
    )
    remedy = "correct it, leave the cell empty if it is missing, or drop the row"
    if place.is_named:
        remedy += f', or make it a category with {key_path(place.name)} = "category" under [data.columns]'
    return place.problem("number", texts.lines[first], rule, remedy)


def _unit_problem(place: ColumnPlace, texts: Texts) -> Decision | None:
    """Return the problem of numbers that all have the same unit after them, such as `400 km`."""
    found = [_MEASURE.fullmatch(text) for text in texts.values]
    units = {match["unit"] for match in found if match is not None}
    if len(units) != 1 or not all(found):
        return None
    text = texts.values[0]
    rule = (
        f'inputs must be numbers without a unit (got "{text}"; {len(texts.values):,} different such in all)'
    )
    remedy = f"write {plain(text[: -len(units.pop())])}, or {_leave(place)}"
    return place.problem("other notation", texts.lines[0], rule, remedy)


def _first(chosen: Array) -> int:
    return int(chosen.argmax())


def _got(text: str, count: int) -> str:
    return f'got "{text}"' + (f"; {count:,} such in all" if count > 1 else "")


def _leave(place: ColumnPlace) -> str:
    return f"leave it out with data.drop = {toml_excerpt([place.name])}" if place.is_named else "drop it"


def _category(
    place: ColumnPlace, codes: Array, texts: Texts, rule: ColumnRule | None, kind: ColumnKind
) -> Decision:
    order = sorted(range(len(texts.values)), key=texts.values.__getitem__)
    ranks = np.empty(len(order) + 1)
    ranks[order], ranks[-1] = np.arange(len(order)), np.nan
    column = InputColumn(
        name=place.input_name,
        kind="category",
        categories=tuple(texts.values[code] for code in order),
        encoding=rule.encoding if rule is not None else "one_hot",
        min_frequency=rule.min_frequency if rule is not None else RARE_SHARE,
    )
    missing = np.isnan(codes)
    values = ranks[np.where(missing, len(order), codes).astype(np.intp)]
    use = "target encoding" if column.encoding == "target" else "one input per category"
    use += f", {int(missing.sum()):,} missing: a category of their own" if missing.any() else ""
    return Decision(kind=kind, use=use, column=column, values=values)


def _date(place: ColumnPlace, codes: Array, texts: Texts, counts: Array) -> Decision:
    """Return the decision for dates in text, which are read in one order of day and month."""
    day_first = day_first_of(texts.values)
    seconds = [date_number(text, day_first=bool(day_first)) for text in texts.values]
    wrong = np.array([number is None for number in seconds])
    if wrong.any():
        first, count = _first(wrong), int(counts[wrong].sum())
        rule = f"must be dates ({_got(texts.values[first], count)})"
        return place.problem("date", texts.lines[first], rule, "write 2024-01-31 or 2024-01-31 13:30")
    numbers = np.array([*(number for number in seconds if number is not None), np.nan])
    values = numbers[np.where(np.isnan(codes), len(seconds), codes).astype(np.intp)]
    decision = decide_date(place, values, day_first=bool(day_first))
    if day_first is not None:
        return decision
    note = (
        f'data.columns: {place.shown} was read as month/day/year (got "{texts.values[0]}"):'
        " if its days come first, write its dates as 2024-01-31"
    )
    return replace(decision, note=note)


def decide_date(place: ColumnPlace, seconds: Array, *, day_first: bool = False) -> Decision:
    """Return the use of a column of dates in seconds (N,), NaN if one is missing."""
    missing = int(np.isnan(seconds).sum())
    if missing == len(seconds):
        return place.left_out("empty", "is empty", keep="date")
    has_times = any(map(has_time, seconds))
    column = InputColumn(name=place.input_name, kind="date", has_times=has_times, day_first=day_first)
    use = f"{', '.join(column.parts[:-1])} and {column.parts[-1]}"
    use += f", {missing:,} missing: the medians, and an indicator" if missing else ""
    return Decision(kind="date", use=use, column=column, values=seconds)


def rule_problems(rules: Sequence[ColumnRule], names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each rule whose column is no input of the table: it may be misspelt, or the target."""
    for rule in rules:
        if rule.name not in names:
            yield (
                f'data.columns: must name inputs of the table (got "{rule.name}"): {remedy_for(rule.name, names)}'
            )


def rules_by_place(rules: Iterable[ColumnRule], names: Sequence[str]) -> Mapping[int, ColumnRule]:
    """Return the rule of each column that has one, by the column's place."""
    by_name = {rule.name: rule for rule in rules}
    return {place: by_name[name] for place, name in enumerate(names) if name in by_name}
