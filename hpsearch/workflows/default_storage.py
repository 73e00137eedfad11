"""The database that is used if none is named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DEFAULT_STORAGE: Final = "sqlite:///storage/hpsearch.db"
STORAGE_VARIABLES: Final = ("HPSEARCH_STORAGE", "OPTUNA_STORAGE")
"""Environment variables that name the database; the first one that is set and not empty is used."""


def default_storage(environment: Mapping[str, str]) -> str:
    """Return the database that the variables of `environment` name, or else the default one."""
    named = (environment.get(variable) for variable in STORAGE_VARIABLES)
    return next(filter(None, named), DEFAULT_STORAGE)


def is_missing(url: str) -> bool:
    """Return True if `url` is the default database and does not exist yet."""
    return url == DEFAULT_STORAGE and not Path(DEFAULT_STORAGE.removeprefix("sqlite:///")).exists()
