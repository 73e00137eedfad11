"""Errors that stop the program. A failed trial is not one of them: it is a verdict.

A message says where: rule (got value): remedy. `hpsearch.cli.main` is the one place that turns these
classes into exit codes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

# A password may hold anything, quotes and blanks too: all of a line up to the last @ goes, rather than too little.
_IN_URL: Final = re.compile(r"(//[^:/@\n]*):(?!//).*@")
_IN_PART_OF_URL: Final = re.compile(r"((?:^|/)[^:/@\s]*):(?!//)\S*@", re.MULTILINE)
_IN_OPTION: Final = re.compile(r"(?i)((?:password|passwd|pwd|secret|token)=|--token )('[^']*'|[^&\s]*)")


def mask(text: str) -> str:
    """Return `text`, in which URLs may be, with what may be a password or a token replaced by ***."""
    return mask_options(_IN_PART_OF_URL.sub(r"\1:***@", _IN_URL.sub(r"\1:***@", text)))


def mask_options(text: str) -> str:
    """Return `text` with the values of options that may be passwords or tokens replaced by ***."""
    return _IN_OPTION.sub(r"\1***", text)


class HpsearchError(Exception):
    """Something that the user can put right: exit code 1."""


class UsageError(HpsearchError):
    """The command line itself is wrong: exit code 2."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with an input, and where.

    `where` is a key path (`search.learning_rate.low`) or a place in a file (`line 3`); `message` is
    "rule (got value): remedy".
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@final
class StudyFileError(HpsearchError):
    """A study file cannot be used. It names every problem at once."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in self.problems)]))


@final
class DataError(HpsearchError):
    """A data set is missing, malformed, or does not fit its study."""


class StorageError(HpsearchError):
    """The database cannot be used: unreachable, of another kind, or of another version."""


@final
class StorageUnavailableError(StorageError):
    """The database did not answer, or had no room. The same call may succeed later."""


@final
class StorageReadOnlyError(StorageError):
    """The user, or the database itself, may not write what the call would have written. Nothing was."""


@final
class ValueRefusedError(StorageError, ValueError):
    """The database does not take a value, such as a text that is too long for its column. Nothing was written."""


@final
class StudyNotFoundError(HpsearchError):
    """No study of that name is in the database."""


@final
class StudyUnreadableError(HpsearchError):
    """A study is stored, but what hpsearch stored of it is damaged, or of a version that this one cannot read."""


@final
class ForeignStudyError(HpsearchError):
    """Another Optuna client made the study, so hpsearch cannot do with it what was asked."""


@final
class TrialNotFoundError(HpsearchError):
    """No trial of that number is in the study."""


@final
class WorkerNotFoundError(HpsearchError):
    """No worker of that name is registered."""


@final
class VersionError(HpsearchError):
    """A study was made by another major version of hpsearch, whose trials may have other numbers."""


@final
class StudyExistsError(HpsearchError):
    """The name is taken by a study with another specification."""


@final
class FingerprintError(HpsearchError):
    """The data here is not the data that the study was created with."""
