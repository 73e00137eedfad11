"""Errors that stop the program. A failed trial is not one of them: it is a verdict.

A message has the form "where: rule (got value): remedy". Only `hpsearch.cli.exit` turns these classes into exit codes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

# A password may contain any character, quotes and blanks too, so everything in a line up to the last @ is replaced.
_IN_URL: Final = re.compile(r"(//[^:/@\n]*):(?!//).*@")
_IN_PART_OF_URL: Final = re.compile(r"((?:^|/)[^:/@\s]*):(?!//)\S*@", re.MULTILINE)
_IN_OPTION: Final = re.compile(r"(?i)((?:password|passwd|pwd|secret|token)=|--token )('[^']*'|[^&\s]*)")


def mask(text: str) -> str:
    """Return `text`, which may contain URLs, with possible passwords and tokens replaced by ***."""
    return mask_options(_IN_PART_OF_URL.sub(r"\1:***@", _IN_URL.sub(r"\1:***@", text)))


def mask_options(text: str) -> str:
    """Return `text` with the values of options that may be passwords or tokens replaced by ***."""
    return _IN_OPTION.sub(r"\1***", text)


class HpsearchError(Exception):
    """An error that the user can fix: exit code 1. All other errors are subclasses.

    >>> try:
    ...     study.figure("serach-map")
    ... except hpsearch.HpsearchError as error:
    ...     print(error)
    figure: must be one of search-map, ... (got "serach-map"); did you mean "search-map"?
    """


class UsageError(HpsearchError):
    """Wrong usage of the command line, or of a function: exit code 2.

    >>> study.run(workers=0)
    Traceback (most recent call last):
        ...
    hpsearch.errors.UsageError: workers: must be a whole number from 1 to 1000 (got 0): choose one of these
    """


class TrainingWarning(UserWarning):
    """A verdict of `hpsearch.watch` on a training loop that goes wrong: cause and remedy.

    >>> warnings.filterwarnings("error", category=hpsearch.TrainingWarning)
    """


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One problem of an input, and its place.

    `where` is a key path (`search.learning_rate.low`) or a place in a file (`line 3`); `message` is "rule (got value):
    remedy".
    """

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@final
class StudyFileError(HpsearchError):
    """A study file, or a study from keyword arguments, cannot be used. The error lists every problem.

    >>> hpsearch.create_study(name="x", data="iris", training={"epochs": 0}, trials=0, storage="sqlite:///lab.db")
    Traceback (most recent call last):
        ...
    hpsearch.errors.StudyFileError: create_study: 2 problems
      training.epochs: must be ... (got 0)
      trials: must be ... (got 0)
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'' if len(self.problems) == 1 else 's'}"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {p}" for p in self.problems)]))


class DataError(HpsearchError):
    """A data set is missing, malformed, or does not fit its study.

    >>> hpsearch.diagnose(data="missing.csv")
    Traceback (most recent call last):
        ...
    hpsearch.errors.DataError: data.source: the file must exist (got "missing.csv", ...): correct the path
    """


class StorageError(HpsearchError):
    """The database cannot be used: unreachable, of another kind, or of another version.

    >>> hpsearch.load_study("lesson", storage="sqlite:///missing.db")
    Traceback (most recent call last):
        ...
    hpsearch.errors.StorageError: sqlite:///missing.db: there is no such file ...
    """


@final
class StorageUnavailableError(StorageError):
    """The database did not answer, or had no room. The same call may succeed later."""


@final
class StorageReadOnlyError(StorageError):
    """The user or the database has no permission for a write. Nothing was written."""


@final
class ValueRefusedError(StorageError, ValueError):
    """The database rejects a value, such as a text that is too long for its column. Nothing was written."""


@final
class StudyNotFoundError(HpsearchError):
    """No study of that name is in the database.

    >>> hpsearch.load_study("lessen", storage="sqlite:///lesson.db")
    Traceback (most recent call last):
        ...
    hpsearch.errors.StudyNotFoundError: study "lessen": there is no such study: did you mean lesson?
    """


@final
class StudyUnreadableError(HpsearchError):
    """A study's stored data is damaged, or of a version that this hpsearch cannot read."""


@final
class ForeignStudyError(HpsearchError):
    """Another Optuna client made the study, so hpsearch cannot do this with it."""


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
    """The name is taken by a study with another specification.

    >>> hpsearch.create_study(name="lesson", data="iris", storage="sqlite:///lesson.db")
    Traceback (most recent call last):
        ...
    hpsearch.errors.StudyExistsError: ...data.source...
    """


@final
class FingerprintError(HpsearchError):
    """The local data differs from the data that the study was created with."""
