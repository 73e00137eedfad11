"""The command `hpsearch`: its commands, and the boundary at which errors become exit codes."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    script,
    storage,
    study,
    trial,
    worker,
)
from hpsearch.cli.exit import DONE, exit_code_of, flush_stdout, forget_databases
from hpsearch.cli.options import CommandGroup
from hpsearch.cli.output import make_output_safe, write_line, write_message
from hpsearch.errors import UsageError
from hpsearch.worker.shutdown import END_WITHIN_S, DrainWatch, StopRequest

if TYPE_CHECKING:
    from hpsearch.workflows.table_study import TableStudy

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
        Path,
        typer.Argument(
            metavar="FOLDER|TABLE",
            help="A folder for the examples, created if it does not exist; or a table, such as houses.csv.",
        ),
    ] = Path("studies"),
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="The column of the table to predict.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE.toml", help="The study file of the table.  [default: its name]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing study file.")] = False,
) -> None:
    """Write a commented study file for a table, or copy the example study files to a folder.

    Existing files are kept, unless a table has --force. An example also runs
    without a copy, by its name: hpsearch study run digits

    Example: hpsearch init houses.csv --target price
    """
    from hpsearch.workflows.studies import write_examples
    from hpsearch.workflows.table_study import is_table, write_table_study

    if is_table(folder):
        _write_table_study(write_table_study(folder, target=target, output=output, force=force))
        return
    if target is not None or output is not None or force:
        raise UsageError(
            f"--target, --output, --force: are for tables (got {folder}): name a file such as houses.csv"
        )
    examples = write_examples(folder)
    kept = f", {examples.kept} existed and are unchanged" if examples.kept else ""
    write_line(f"{folder}: {examples.written} study files written{kept}")
    write_line(f"Next: hpsearch study run {shlex.quote(str(folder / 'digits.toml'))}")


def _write_table_study(written: "TableStudy") -> None:
    """Write the decisions to stdout, and the problems of the table to stderr."""
    write_line(f"{written.path}: written")
    for decision in written.decisions:
        write_line(f"  {decision}")
    for problem in written.problems:
        write_message(f"Warning: {problem}")
    command = f"hpsearch study {'create' if written.problems else 'run'} {shlex.quote(str(written.path))}"
    write_line(f"Next: {'solve the problems above, then ' if written.problems else ''}{command}")


app.command(
    name="run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)(script.run)
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
