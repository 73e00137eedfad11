"""Names that the command line gives to studies."""

from hpsearch.errors import UsageError
from hpsearch.study.schema import STUDY


def check_name(where: str, name: str) -> None:
    """Return for a name that a study file could give. Raises UsageError for another one."""
    if problems := STUDY["name"].problems(where, name):
        raise UsageError(str(problems[0]))
