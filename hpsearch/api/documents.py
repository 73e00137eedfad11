"""Studies from keyword arguments: the document that a study file with the same content would have."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, final

from hpsearch.api.arguments import excerpt, table
from hpsearch.data.dataset import RawData
from hpsearch.errors import Problem, StudyFileError, UsageError
from hpsearch.study.configurations import fixed_spec
from hpsearch.study.files import parse_document, read_text, with_examples
from hpsearch.study.messages import nearest
from hpsearch.study.reader import study_from_document
from hpsearch.study.schema import SECTIONS
from hpsearch.study.spec import Choices, Range, StudySpec
from hpsearch.worker.preparation import PreparedStudy, prepare_study

FilePath: TypeAlias = str | os.PathLike[str]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """The parts of a study that is not read yet: a file or none, and the tables and values in place of its own.

    `where` names the study in messages if there is no file. `arrays` are the data in place of the source. A value None
    in a table removes the key.
    """

    where: str
    file: FilePath | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    search: Mapping[str, Range | Choices] | None = None
    configurations: Sequence[Mapping[str, Any]] | None = None
    arrays: RawData | None = None

    def spec(self) -> StudySpec:
        """Return the study. Raises StudyFileError with every problem."""
        document, source, folder = self._base()
        for name, given in self.tables.items():
            own = document.get(name, {})
            document[name] = _replaced(own, given) if isinstance(own, Mapping) else own
        if self.search is not None:
            _check_search(self.search, source)
            document.pop("configurations", None)
            document["search"] = {name: _raw_dimension(one) for name, one in self.search.items()}
        if self.configurations is not None:
            document.pop("search", None)
            if not isinstance(self.configurations, list | tuple):
                raise UsageError(
                    f"configurations: must be a list of dictionaries (got {excerpt(self.configurations)}):"
                    ' write [{"learning_rate": 0.1}], for example'
                )
            document["configurations"] = [
                _raw_table(table(f"configurations[{place}]", one))
                for place, one in enumerate(self.configurations)
            ]
        top = {name: raw_value(value) for name, value in self.values.items() if value is not None}
        return study_from_document({**document, **top}, source=source, folder=folder)

    def _base(self) -> tuple[dict[str, Any], str, Path]:
        """Return the document of the file, or an empty one; its name in messages; and the folder of its paths."""
        if self.file is None:
            return {}, self.where, Path()
        path = with_examples(Path(self.file))
        return parse_document(read_text(path), source=str(path)), str(path), path.parent

    @property
    def source(self) -> str:
        """The name of the study's source in messages."""
        return self.where if self.file is None else str(self.file)

    def prepared(self) -> PreparedStudy:
        """Return the study with its data. Raises StudyFileError, and DataError if the data cannot be used."""
        return self._prepare(self.spec())

    def prepared_configuration(self, chosen: str | None) -> PreparedStudy:
        """Return one configuration as a study that searches nothing, with its data.

        `chosen` is the name of one of the exact configurations, or its place among them from 0. Raises UsageError if it
        is needed and not given, or the reverse.
        """
        names = [f"{section}.{key}" for section, table in self.tables.items() for key in table]
        spec = fixed_spec(self.spec(), chosen, names)
        return self._prepare(replace(spec, search=(), configurations=()))

    def _prepare(self, spec: StudySpec) -> PreparedStudy:
        try:
            return prepare_study(spec, arrays=self.arrays)
        except StudyFileError as error:
            raise StudyFileError(
                self.where if self.file is None else str(self.file), error.problems
            ) from error

    def changes(self) -> dict[str, Any]:
        """Return key path -> raw value of the values and tables in place of the file's; None removes a key."""
        values = {name: value for name, value in self.values.items() if value is not None}
        of_tables = {
            f"{name}.{key}": value
            for name, table in self.tables.items()
            for key, value in _raw_table(table).items()
        }
        return values | of_tables

    def changed(self, tables: Mapping[str, Mapping[str, Any]]) -> "Draft":
        """Return the same with some keys of its tables replaced."""
        names = dict.fromkeys([*self.tables, *tables])
        merged = {name: {**self.tables.get(name, {}), **tables.get(name, {})} for name in names}
        return replace(self, tables=merged)


def tables_of(settings: Mapping[str, Any], *, where: str) -> dict[str, dict[str, Any]]:
    """Return the tables of settings with flat or dotted names, such as `hidden` and `training.learning_rate`.

    Raises UsageError for a name that is no key of `[model]` or `[training]`.
    """
    homes = {key: name for name in ("model", "training") for key in SECTIONS[name].rules}
    tables: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section, dot, key = name.partition(".")
        if not dot:
            section, key = homes.get(name, ""), name
        if not section:
            near = nearest(name, homes)
            hint = f"did you mean {near}?" if near is not None else f"choose one of {', '.join(homes)}"
            raise UsageError(
                f"{where}: {name}: must be a field of [model] or [training] (got {value!r}): {hint}"
            )
        tables.setdefault(section, {})[key] = value
    return tables


def _replaced(own: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the values of `table` in place of its own; None removes a key."""
    merged = {**own, **_raw_table(table)}
    return {name: value for name, value in merged.items() if value is not None}


def _raw_table(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: raw_value(value) for name, value in table.items()}


def raw_value(value: Any) -> Any:
    """Return a value as a study file would hold it: sequences and arrays as lists, NumPy's numbers as Python's."""
    if isinstance(value, str) or type(value) in (bool, int, float):
        return value
    if isinstance(value, Mapping):
        return {name: raw_value(one) for name, one in value.items()}
    if callable(as_list := getattr(value, "tolist", None)):  # of NumPy, which need not be imported here
        return as_list()
    return [raw_value(one) for one in value] if isinstance(value, Sequence) else value


def _check_search(search: object, source: str) -> None:
    """Raise StudyFileError for a searched name without a range or choices."""
    if not isinstance(search, Mapping):
        message = f"must map names to hpsearch.Range or hpsearch.Choices (got {type(search).__name__})"
        raise StudyFileError(source, [Problem(where="search", message=message)])
    problems = [
        Problem(where=f"search.{name}", message=f"must be hpsearch.Range or hpsearch.Choices (got {one!r})")
        for name, one in search.items()
        if not isinstance(one, Range | Choices)
    ]
    if problems:
        raise StudyFileError(source, problems)


def _raw_dimension(dimension: Range | Choices) -> Any:
    """Return a range or choices as a study file writes it."""
    if isinstance(dimension, Choices):
        return {"choices": [raw_choice(choice) for choice in dimension.choices]}
    ends = {"low": dimension.low, "high": dimension.high, "step": dimension.step}
    numbers = {name: raw_value(number) for name, number in ends.items() if number is not None}
    if dimension.integer:  # a range of a stored study
        numbers = {name: int(number) for name, number in numbers.items()}
    return numbers | {"log": dimension.log}


def limits_given(**limits: object) -> dict[str, Any] | None:
    """Return the limits that are not None, None if there are none; numbers of NumPy become Python's."""
    given = {name: raw_value(value) for name, value in limits.items() if value is not None}
    return given or None


def raw_choice(choice: Any) -> Any:
    """Return a value as a study file writes it; JSON text, as which trials store lists and tables, is parsed."""
    if isinstance(choice, str) and choice.startswith(("[", "{")):
        return json.loads(choice)
    return raw_value(choice)
