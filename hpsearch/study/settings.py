"""Values set in addition to a study file, `KEY=VALUE`, and the file's document with them applied."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from hpsearch.errors import StudyFileError, UsageError
from hpsearch.study.messages import key_path, toml_excerpt
from hpsearch.study.spec import SHORT_NAMES

_KEY: Final = "value"


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Return key path -> raw value of `KEY=VALUE` texts.

    Short names become key paths of the study file. A value is TOML, or text if it is not valid TOML. Raises UsageError
    for a text without a key, for a key that is set twice, and for the search, which has no values.
    """
    settings: dict[str, Any] = {}
    given: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        key = full_key(name.strip())
        if not equals or not key:
            raise UsageError(
                f"--set: must be KEY=VALUE (got {toml_excerpt(text)}): write training.learning_rate=0.1"
            )
        if key.partition(".")[0] == "search":
            raise UsageError(
                f"--set: must set a value that is fixed (got {toml_excerpt(text)}): [search] is left aside; "
                "name the field of [model] or [training] itself"
            )
        if key in given:
            raise UsageError(
                f"--set: must set {key} once (got {toml_excerpt(given[key])} and {toml_excerpt(text)}): leave one out"
            )
        settings[key], given[key] = _value(value.strip()), text
    return settings


@contextmanager
def settings_as_usage_errors(settings: Mapping[str, Any]) -> Iterator[None]:
    """Convert a StudyFileError about one of the `settings` to a UsageError."""
    try:
        yield
    except StudyFileError as error:
        if any(_is_about(problem.where, key) for problem in error.problems for key in settings):
            raise UsageError(str(error)) from error
        raise


def _is_about(where: str, key: str) -> bool:
    """Return True if the key path `where` is that of a setting, or lies below it."""
    section, dot, field = key.partition(".")
    path = key_path(section, field) if dot else key_path(key)
    return where == path or where.startswith((f"{path}.", f"{path}["))


def full_key(name: str) -> str:
    """Return the key path that a name means: `training.learning_rate` for `learning_rate`."""
    return SHORT_NAMES.get(name, name)


def with_settings(document: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a study file with every setting applied.

    A value that should be a table is unchanged: the reader reports it.
    """
    changed = dict(document)
    for path, value in settings.items():
        section, dot, key = path.partition(".")
        if not dot:
            changed[path] = value
        elif isinstance(changed.get(section, {}), Mapping):
            changed[section] = {**changed.get(section, {}), key: value}
    return changed


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"{_KEY} = {text}")
    except (ValueError, RecursionError):
        return text
    # A text of several lines could contain keys of its own.
    return read[_KEY] if set(read) == {_KEY} else text
