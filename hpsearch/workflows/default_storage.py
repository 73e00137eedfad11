"""The database that is used if none is named."""

from pathlib import Path
from typing import Final

DEFAULT_STORAGE: Final = "sqlite:///storage/hpsearch.db"
STORAGE_VARIABLES: Final = ("HPSEARCH_STORAGE", "OPTUNA_STORAGE")
"""Environment variables that name the database; the first one that is set and not empty is used."""


def is_unmade(url: str) -> bool:
    """Return True if `url` is the default database and does not exist yet."""
    return url == DEFAULT_STORAGE and not Path(DEFAULT_STORAGE.removeprefix("sqlite:///")).exists()
