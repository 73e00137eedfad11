"""A commented study file for a table: the columns that it reads, the task, and settings that suit its size."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from hpsearch.data.column_kinds import ColumnUse
from hpsearch.data.columns import ColumnSummary, columns_of
from hpsearch.data.prepare import PreparedData
from hpsearch.data.table import TableError, TableReading, is_unnamed
from hpsearch.errors import DataError, HpsearchError, StudyFileError, UsageError
from hpsearch.report.file import check_report_path, write_page
from hpsearch.study.messages import format_count, remedy_for, toml_text
from hpsearch.study.metrics import Metric
from hpsearch.study.reader import parse_study
from hpsearch.study.schema import PATH_SUFFIXES
from hpsearch.worker.preparation import PreparedStudy, prepare_study

_TARGETS: Final = re.compile(r"(?:target|label|class|outcome|response|y)s?", re.IGNORECASE)
"""Names of columns that are the target wherever they are."""

_SMALL: Final = 1000
"""Examples up to which a second hidden layer, or a large one, rarely pays, and a split of one fifth is noisy."""

_LARGE: Final = 20_000
_STEPS: Final = 10
_LEAST_BATCH: Final = 8
"""The batch size leaves ten steps in an epoch at least, unless it would be smaller: such gradients are too noisy."""

_FEWEST_PER_PART: Final = 3
"""Rows of the rarest class that suffice for `stratify`: one for training, validation and test part."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TableStudy:
    """A written study file, the decisions about the table, and the problems that a user has to solve first."""

    path: Path
    decisions: tuple[str, ...]
    problems: tuple[str, ...]


def is_table(path: Path) -> bool:
    """Return True for the name of a table in a file, as opposed to a folder."""
    return path.name.lower().endswith(PATH_SUFFIXES) and not path.name.lower().endswith(".npz")


def write_table_study(
    table: Path, *, target: str | None = None, output: Path | None = None, force: bool = False
) -> TableStudy:
    """Write a commented study file for `table`, by default with its name in the current folder.

    `target` is the column to predict: by default one with a name such as `label`, or the last one. An existing file is
    replaced only with `force`. Raises DataError if the table cannot be cut into columns, and UsageError for a file that
    exists, and for a target that is no column.
    """
    path = output or Path(f"{_stem(table)}.toml")
    if path.exists() and not force:
        raise UsageError(
            f"--output: must be a new file (got {path}, which exists): add --force, or name another"
        )
    check_report_path(path, where="--output")
    draft = _draft(table, target, path)
    write_page(draft.text(), path, where="--output")
    return TableStudy(path=path, decisions=tuple(draft.decisions), problems=tuple(draft.problems))


def _stem(table: Path) -> str:
    return table.name.partition(".")[0] or "table"


@final
@dataclass(kw_only=True, slots=True)
class _Draft:
    """The contents of a study file while they are decided."""

    name: str
    source: str
    target: str
    why_target: str
    columns: Sequence[ColumnSummary]
    dropped: list[ColumnSummary]
    data: PreparedData | None = None
    metric: Metric = "auto"
    decisions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the study file."""
        return "\n".join([*self._head(), *self._data(), *self._training(), *self._search(), ""])

    def _head(self) -> Iterator[str]:
        yield f"# A search for a network that predicts {_one_line(self.target)}."
        yield "# Check the comments, then: hpsearch study create FILE --dry-run, and study run FILE."
        if self.problems:
            yield "#"
            yield "# To be solved first:"
            yield from (
                f"#   {_one_line(line)}" for problem in self.problems for line in problem.splitlines()
            )
        yield ""
        yield f"name = {toml_text(self.name)}"
        yield "trials = 50"
        if self.data is not None:
            yield f'metric = "{self.metric}"  # the usual one of a {self.data.task}'

    def _data(self) -> Iterator[str]:
        yield from ("", "[data]", f"source = {toml_text(self.source)}")
        line = _target_line([column.name for column in self.columns], self.target)
        if line:
            yield f"{line}  # {self.why_target}"
        else:
            yield f"# The target is {self.why_target}: the table has no header."
        if self.data is not None:
            yield f'task = "{self.data.task}"  # {self._task_reason(self.data)}'
        if self.dropped:
            yield f"drop = {toml_text([column.name for column in self.dropped])}"
            yield from (
                f"# {_one_line(column.name)}: {column.kind}; {_reason(column)}" for column in self.dropped
            )
        yield 'scale = "standard"  # mean 0 and deviation 1, fitted on the training part'
        yield "test_fraction = 0.2  # a sealed part that only `hpsearch study test` opens, once"
        if self._can_stratify:
            yield "stratify = true  # every part gets its share of each class"
        yield from self._split_hints()
        yield "# The columns:"
        yield from (f"#   {line}" for line in map(_column_line, self.columns))

    def _task_reason(self, data: PreparedData) -> str:
        if data.task == "regression":
            return "numbers"
        shown = ", ".join(map(_one_line, data.classes[:5]))
        more = f" and {len(data.classes) - 5} more" if len(data.classes) > 5 else ""
        return f"{len(data.classes)} classes: {shown}{more}"

    @property
    def _can_stratify(self) -> bool:
        column = next(column for column in self.columns if column.name == self.target)
        if self.data is None or not self.data.class_counts:
            return False
        # Counted in a random training part; the whole table has more.
        return min(self.data.class_counts) >= _FEWEST_PER_PART and not column.missing

    def _split_hints(self) -> Iterator[str]:
        rows = max(column.rows for column in self.columns)
        if rows <= _SMALL:
            yield "# folds = 5  # for few rows: each trial is trained on 5 folds, and its value is the mean"
        for column in self.columns:
            key, effect = ("time", "validates on the latest rows")
            if column.kind != "date":
                key, effect = ("group", "keeps its rows in one part")
            if column.name != self.target and (column.kind == "date" or _may_be_group(column)):
                yield f"# {key} = {toml_text(column.name)}  # {effect}; then without drop of it and stratify"

    def _training(self) -> Iterator[str]:
        examples = self._examples
        yield from ("", "[training]", f"epochs = {20 if examples > _LARGE else 50}")
        size = _batch_size(examples)
        yield f"batch_size = {size}  # {format_count(-(-examples // size), 'step')} in an epoch"
        yield 'optimizer = "adam"'

    @property
    def _examples(self) -> int:
        if self.data is not None:
            return len(self.data.training.inputs)
        return max(2, round(0.6 * max(column.rows for column in self.columns)))

    def _search(self) -> Iterator[str]:
        widths = "[[16], [32], [32, 32]]" if self._examples <= _SMALL else "[[64], [128], [128, 64]]"
        yield from ("", "[search]", "learning_rate = { low = 1e-4, high = 1e-1, log = true }")
        yield "weight_decay = { low = 1e-8, high = 1e-1, log = true }"
        yield f'"model.hidden" = {{ choices = {widths} }}'


def _draft(table: Path, target: str | None, path: Path) -> _Draft:
    """Return the study of a table, as far as the table allows."""
    summaries = columns_of(str(table), target=target, reading=TableReading())
    if not summaries:
        raise DataError(
            f"TABLE: must be a table in a file (got {table}): name a file in {', '.join(PATH_SUFFIXES)}"
        )
    chosen, why = _target([column.name for column in summaries], target)
    line = _target_line([column.name for column in summaries], chosen)
    study = _attempt(table, line, dropped=())
    named = chosen if line else None
    summaries = columns_of(str(table), target=named, reading=TableReading(), uses=_uses(study))
    draft = _Draft(
        name=_stem(table),
        source=os.path.relpath(table.absolute(), path.absolute().parent),
        target=chosen,
        why_target=why,
        columns=summaries,
        dropped=[column for column in summaries if _is_useless(column)],
    )
    draft.decisions += [f"target: {_one_line(chosen)}, {why}"]
    draft.decisions += [f"left out: {_one_line(c.name)} ({c.kind}; {_reason(c)})" for c in draft.dropped]
    if draft.dropped:
        study = _attempt(table, line, dropped=[column.name for column in draft.dropped])
    if isinstance(study, HpsearchError):
        draft.problems.append(str(study))
        return draft
    draft.data, draft.metric = study.data, study.spec.metric
    classes = f", {len(study.data.classes)} classes" if study.data.classes else ""
    draft.decisions.append(f"task: {study.data.task}{classes}")
    return draft


def _target_line(names: Sequence[str], target: str) -> str:
    """Return the target in a study file; nothing for the last column of a table without a header."""
    is_unnamed = list(names) == [str(number) for number in range(1, len(names) + 1)]
    return "" if is_unnamed and target == names[-1] else f"target = {toml_text(target)}"


def _uses(study: PreparedStudy | HpsearchError) -> Sequence[ColumnUse]:
    """Return what a study does with each column of its table, or would do if the problems were solved."""
    if isinstance(study, PreparedStudy):
        return study.data.uses
    return study.uses if isinstance(study, TableError) else ()


def _is_useless(column: ColumnSummary) -> bool:
    """Return True for a column that is no input as it is, and has a name by which to leave it out."""
    return column.use.startswith(("problem", "left out")) and not is_unnamed(column.name)


def _target(names: Sequence[str], target: str | None) -> tuple[str, str]:
    """Return the column to predict, and why it is that one."""
    if target is not None:
        if target not in names:
            raise UsageError(f'--target: must be a column (got "{target}"): {remedy_for(target, names)}')
        return target, "as you chose"
    named = [name for name in names if _TARGETS.fullmatch(name.strip())]
    return (named[-1], "by its name") if named else (names[-1], "the last column")


def _reason(column: ColumnSummary) -> str:
    return column.use.removeprefix("left out: ")


def _attempt(table: Path, target_line: str, *, dropped: Sequence[str]) -> PreparedStudy | HpsearchError:
    """Return a study of the table without the columns `dropped`, or the problems of its data."""
    document = [
        'name = "draft"',
        "[data]",
        f"source = {toml_text(str(table.absolute()))}",
        target_line,
        *([f"drop = {toml_text(list(dropped))}"] if dropped else []),
        'scale = "standard"',
        "test_fraction = 0.2",
    ]
    try:
        return prepare_study(parse_study("\n".join(document), source=str(table)))
    except (DataError, StudyFileError) as error:
        return error
    except HpsearchError as error:
        raise DataError(f"{table}: {error}") from error


def _batch_size(examples: int) -> int:
    """Return the largest power of two up to 128 that leaves `_STEPS` steps in an epoch, at least `_LEAST_BATCH`."""
    fitting = (size for size in (128, 64, 32, 16) if examples >= _STEPS * size)
    return next(fitting, min(_LEAST_BATCH, examples))


def _may_be_group(column: ColumnSummary) -> bool:
    """Return True for a column of names or codes, several rows of which may be of one customer or machine."""
    is_named = re.search(
        r"(?:^|[\W_])(?:id|customer|patient|user|group|subject|client)", column.name, re.IGNORECASE
    )
    distinct = column.distinct or column.rows
    is_code = column.kind in ("whole number", "category", "text")
    return is_named is not None and is_code and 2 < distinct <= column.rows // 2


def _column_line(column: ColumnSummary) -> str:
    """Return `age: whole number, 17 to 90, 3 missing; input`."""
    facts: list[str] = [column.kind]
    if column.minimum is not None and column.maximum is not None:
        facts.append(f"{column.minimum:g} to {column.maximum:g}")
    elif column.top:
        facts.append(f"such as {_one_line(', '.join(column.top))}")
    if column.missing:
        facts.append(f"{column.missing:,} missing")
    return f"{_one_line(column.name)}: {', '.join(facts)}; {_one_line(column.use) or 'input'}"


def _one_line(text: str) -> str:
    """Return text that a comment of TOML can hold: one line without control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
