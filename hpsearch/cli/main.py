"""The command `hpsearch`: its commands, and the boundary at which errors become exit codes."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

import hpsearch
from hpsearch.cli import (
    dashboard,
    data,
    diagnose,
    explain,
    model,
    report,
    reproduce,
    storage,
    study,
    trial,
    worker,
)
from hpsearch.cli.exit import DONE, exit_code_of, flush_stdout, forget_databases
from hpsearch.cli.options import CommandGroup
from hpsearch.cli.output import make_output_safe, write_line
from hpsearch.worker.shutdown import END_WITHIN_S, DrainWatch, StopRequest

app = typer.Typer(
    name="hpsearch",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is fast, and the same in a terminal, a pipe and a log
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder to write to; created if it does not exist.")
    ] = Path("studies"),
) -> None:
    """Copy the example study files to a folder, to read, run and change them.

    Files that exist are not overwritten. An example also runs without a copy, by its name: hpsearch study run digits

    Example: hpsearch init studies
    """
    from hpsearch.workflows.studies import write_examples

    examples = write_examples(folder)
    kept = f", {examples.kept} existed and are unchanged" if examples.kept else ""
    write_line(f"{folder}: {examples.written} study files written{kept}")
    write_line(f"Next: hpsearch study run {shlex.quote(str(folder / 'digits.toml'))}")


app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.add_typer(model.app, name="model")
app.add_typer(worker.app, name="worker")
app.command(name="diagnose")(diagnose.diagnose)
app.command(name="explain")(explain.explain)
app.command(name="report")(report.report)
app.command(name="reproduce")(reproduce.reproduce)
app.command(name="dashboard")(dashboard.dashboard)
app.add_typer(data.app, name="data")
app.add_typer(storage.app, name="storage")


def _show_version(asked: bool) -> None:
    if asked:
        write_line(f"hpsearch {hpsearch.__version__}")
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
        code = flush_stdout(_run())
    sys.exit(code)


def _run() -> int:
    forget_databases()
    try:
        app(prog_name="hpsearch")
    except BaseException as error:  # noqa: BLE001 # this is the boundary
        return exit_code_of(error)
    return DONE
