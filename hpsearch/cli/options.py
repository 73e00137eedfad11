"""Groups of commands, options and arguments that several commands share, and the completion of studies' names."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, final

import typer
from typer.core import TyperGroup

from hpsearch.study.schema import MOST_INTEGER, MOST_TRIALS, number_in
from hpsearch.workflows.default_storage import DEFAULT_STORAGE, STORAGE_VARIABLES

if TYPE_CHECKING:
    from hpsearch.storage.store import Store
    from hpsearch.worker.events import Emit


@final
class Format(StrEnum):
    """The output format of a listing."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@final
class AnswerFormat(StrEnum):
    """The output format of a result in words."""

    TEXT = "text"
    JSON = "json"


@final
class TableFormat(StrEnum):
    """The output format of a single object."""

    TABLE = "table"
    JSON = "json"


def trial_number(text: str) -> int:
    """Return the number of a trial. Raises BadParameter, which is wrong usage, if `value` cannot be one."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MOST_INTEGER):
        raise typer.BadParameter(
            f"must be a trial's number, a whole number from 0 to {MOST_INTEGER} (got {text})"
        )
    return int(text)


def complete_study_name(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Return the names of the stored studies that begin with `incomplete`; none if that fails."""
    names = _from_database(context, lambda store: [listed.name for listed in store.studies.listing()])
    return [name for name in names if name.startswith(incomplete)]


def complete_worker(context: typer.Context, incomplete: str) -> Iterable[str]:
    """Return the workers whose names begin with `incomplete`; none if that fails."""
    names = _from_database(context, lambda store: [worker.identity.name for worker in store.workers.all()])
    return [name for name in names if name.startswith(incomplete)]


def _from_database(context: typer.Context, read: Callable[["Store"], list[str]]) -> list[str]:
    """Return the result of `read` for the database of the command line, or nothing if that fails.

    A shell cannot show an error during completion.
    """
    from hpsearch.errors import HpsearchError
    from hpsearch.storage.store import open_store

    from_environment = (os.environ.get(name) for name in STORAGE_VARIABLES)
    url = context.params.get("storage") or next(filter(None, from_environment), DEFAULT_STORAGE)
    try:
        with open_store(url, foreign=True) as store:
            return read(store)
    except HpsearchError:
        return []


Storage: TypeAlias = Annotated[
    str,
    typer.Option("--storage", metavar="URL", envvar=list(STORAGE_VARIABLES), help="The database."),
]
OutputFormat: TypeAlias = Annotated[Format, typer.Option("--format", help="Output format of the listing.")]
StudyName: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A stored study.", autocompletion=complete_study_name),
]
NewName: TypeAlias = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Store the study under this name, not the file's."),
]
Trials: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--trials", metavar="N", min=1, max=MOST_TRIALS, help="The budget: the number of trials to finish."
    ),
]
Rows: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--cohort",
        metavar="K",
        min=1,
        max=MOST_INTEGER,
        help="Trials that one worker trains at once.  [default: by network, caches and budget]",
    ),
]


def _limit_option(name: str, what: str) -> Any:
    return typer.Option(f"--{name}", metavar="N|none", help=f"{what}; none removes it.", parser=number_in)


Hours: TypeAlias = Annotated[Any, _limit_option("hours", "Limit: hours in which trials train")]
Epochs: TypeAlias = Annotated[Any, _limit_option("epochs", "Limit: epochs over all trials")]
Until: TypeAlias = Annotated[Any, _limit_option("until", "Limit: a value of the metric that is good enough")]
Patience: TypeAlias = Annotated[
    Any, _limit_option("patience", "Limit: finished trials in a row without improvement")
]
Events: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--events",
        metavar="FILE",
        help="Append every event of the study to a file, as lines of JSON; - is standard output.",
    ),
]
Priority: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--priority",
        metavar="N",
        min=-MOST_INTEGER,
        max=MOST_INTEGER,
        help="Workers without --study train studies of higher priority first. New studies have priority 0.",
    ),
]


_NEGATIVE: Final = re.compile(r"-\d+$")
_MOST_CHARACTERS: Final = 500
"""Maximum length of the first sentence of a command's help, so that lists of commands show it whole."""


@final
class CommandGroup(TyperGroup):
    """A Typer group that lists commands with whole sentences and finds the noun of a verb: `hpsearch create`.

    An option or argument with a wrong value is reported with the rule and the value.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command of the command line."""
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if (rule := _broken_rule(error.__cause__)) is not None:
                error.message = rule
            raise
        except Exception as error:
            _refuse_negative_number(error, words)
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help, wrapped instead of cut."""
        commands = ((name, self.commands[name]) for name in self.list_commands(ctx))
        rows = [
            (name, known.get_short_help_str(_MOST_CHARACTERS)) for name, known in commands if not known.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that `args` begin with; the error for an unknown one names those of other groups."""
        root = ctx.find_root()
        elsewhere = [words for words in _words(root.command) if words[-1] == args[0]]
        if args[0] not in self.commands and elsewhere:
            meant = " or ".join(f"'{root.info_name} {' '.join(words)}'" for words in elsewhere)
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant}?")
        return super().resolve_command(ctx, args)


_RULES: Final[Mapping[str, str]] = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": f"must be a whole number, at most {MOST_INTEGER}",
    "int_from_float": "must be a whole number",
}
"""Kinds of errors of pydantic, with which Typer checks values -> the rule."""


def _broken_rule(cause: Any) -> str | None:
    """Return `must be at least 1 (got 0)` if `cause` is a ValidationError of pydantic, None for anything else."""
    if type(cause).__name__ != "ValidationError":
        return None
    broken = cause.errors()[0]
    got, about = broken["input"], broken.get("ctx", {})
    reason = str(about.get("error", broken["msg"])).rstrip(".")
    if broken["type"] in _RULES:
        reason = _RULES[broken["type"]].format(**about)
    elif " is not one of " in reason:
        reason = f"must be one of {reason.rpartition(' is not one of ')[2].replace(chr(39), '')}"
    elif "null byte" in reason or "null character" in reason:
        reason = "must have no NUL character"
    return f"{reason} (got {got})"


def _refuse_negative_number(error: Any, words: Iterable[str]) -> None:
    """Raise BadParameter if `error` is an unknown option such as -1 in `words`, meant as the number of a trial."""
    option = getattr(error, "option_name", None)
    number = next(
        (word for word in words if option and _NEGATIVE.match(word) and word.startswith(option)), None
    )
    if type(error).__name__ != "NoSuchOption" or number is None:
        return
    for parameter in error.ctx.command.params:
        if parameter.name == "number":
            try:
                trial_number(number)
            except typer.BadParameter as refused:
                raise typer.BadParameter(refused.message, ctx=error.ctx, param=parameter) from error


def _words(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command below `group`."""
    for name, command in group.commands.items():
        words = (*before, name)
        if isinstance(command, TyperGroup):
            yield from _words(command, *words)
        else:
            yield words


@contextmanager
def event_stream(path: str | None) -> "Iterator[Emit | None]":
    """Yield the function that writes events to the file `path`, or to stdout for `-`; None for no path.

    Whatever else a command writes to stdout goes to stderr if that is for events. Raises UsageError for other files.
    """
    if path is None:
        yield None
        return
    from hpsearch.worker.events import EventFile

    file = EventFile(path)
    try:
        with redirect_stdout(sys.stderr) if path == "-" else nullcontext():
            yield file.write
    finally:
        file.close()
