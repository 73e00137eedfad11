"""The command `hpsearch`: its commands, and the one place that turns errors into exit codes."""

import sys
from types import ModuleType
from typing import Annotated

import typer

import hpsearch
from hpsearch.cli import (
    dashboard,
    data,
    diagnose,
    explain,
    init,
    report,
    reproduce,
    storage,
    study,
    trial,
    worker,
)
from hpsearch.cli.exit_codes import DONE, INTERRUPTED, OUR_FAULT, USER_ERROR, WRONG_USAGE
from hpsearch.cli.options import CommandGroup
from hpsearch.cli.output import answer, discard_stdout, make_output_safe, output_error, say
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.worker.shutdown import END_WITHIN_S, DrainWatch, StopNowError, StopRequest

DIAGNOSE_WITHIN_S = 20.0
"""Time limit for the search for damage in the database, after a command failed for an unknown reason."""

app = typer.Typer(
    name="hpsearch",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is fast, and the same in a terminal, a pipe and a log
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.add_typer(worker.app, name="worker")
app.command(name="init")(init.init)
app.command(name="diagnose")(diagnose.diagnose)
app.command(name="explain")(explain.explain)
app.command(name="report")(report.report)
app.command(name="reproduce")(reproduce.reproduce)
app.command(name="dashboard")(dashboard.dashboard)
app.add_typer(data.app, name="data")
app.add_typer(storage.app, name="storage")


def _show_version(asked: bool) -> None:
    if asked:
        answer(f"hpsearch {hpsearch.__version__}")
        raise typer.Exit


@app.callback()
def hpsearch_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Search hyperparameters of neural networks, and learn why trials die.

    Example: hpsearch study run digits
    """


def run() -> None:
    """Run the command line of this process and end it with an exit code."""
    make_output_safe()
    # A command always ends within 10 s of Ctrl-C.
    with DrainWatch(StopRequest(), within_s=END_WITHIN_S):
        code = _flushed(_run())
    sys.exit(code)


def _run() -> int:
    if (faults := _loaded_faults()) is not None:
        faults.used.clear()  # databases of an earlier command of this process do not concern this one
    try:
        app(prog_name="hpsearch")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except StopNowError as error:
        say(str(error))
        return INTERRUPTED
    except HpsearchError as error:
        say(f"Error: {error}")
        return WRONG_USAGE if isinstance(error, UsageError) else USER_ERROR
    except Exception as error:  # noqa: BLE001 # this is the boundary
        return _failed(error)
    return DONE


def _failed(error: Exception) -> int:
    """Report an unforeseen error, and return the exit code."""
    if (damage := _damage(error)) is None:
        return _crashed(error)
    say(f"Error: {damage}")
    return USER_ERROR


def _damage(error: Exception) -> HpsearchError | None:
    """Return the faults of the databases that this command used, if they may be the reason for its failure."""
    faults = _loaded_faults()
    if faults is None:
        return None
    from hpsearch.storage.integrity import explained

    return explained(error, tuple(faults.used.values()), within_s=DIAGNOSE_WITHIN_S)


def _loaded_faults() -> ModuleType | None:
    """Return `hpsearch.storage.driver_errors` if a command has loaded it: help does not need it."""
    return sys.modules.get("hpsearch.storage.driver_errors")


def _crashed(error: Exception) -> int:
    from hpsearch.cli.crash import write_crash_file
    from hpsearch.errors import mask

    try:
        where = f"see {write_crash_file(error, sys.argv)}"
    except OSError as unwritable:
        where = f"the crash file could not be written ({unwritable.strerror})"
    what = mask(f"{type(error).__name__}: {error}".partition("\n")[0])
    say(f"Error: this is a fault of hpsearch ({what}): {where}")
    return OUR_FAULT


def _flushed(code: int) -> int:
    """Flush stdout, and ignore that it is no longer read (`| head`)."""
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_stdout()
        if not isinstance(error, BrokenPipeError):
            say(f"Error: {output_error(error)}")
            return code or USER_ERROR
    return code
