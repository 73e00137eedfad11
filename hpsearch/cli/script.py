"""The command `hpsearch run`: a Python program, unchanged, on our database."""

import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import Storage
from hpsearch.cli.output import write_message
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.workflows.default_storage import DEFAULT_STORAGE, STORAGE_VARIABLES


def run(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT.py", help="A Python program.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGS", help="The arguments of the program.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Run a program that uses Optuna or hpsearch: its studies are stored in the database, and its trials by workers.

    Nothing in the program changes. Optuna's create_study stores studies in the
    database unless it names another storage, and optimize runs each trial in a
    process of its own, with an exact budget, pruning and the causes of failures.

    Example: hpsearch run train.py --epochs 5
    """
    if script.suffix != ".py" or not script.is_file():
        raise UsageError(
            f"SCRIPT.py: must be a Python program (got {script}): a study runs with hpsearch study run {script}"
        )
    os.environ[STORAGE_VARIABLES[0]] = storage
    _run_program(script, arguments or [], storage)


def _run_program(script: Path, arguments: list[str], url: str) -> None:
    from hpsearch.cli.progress import until_stopped
    from hpsearch.storage.optuna.programs import Optimization, redirect_optuna
    from hpsearch.workflows.optuna_program import optimize

    def optimize_here(call: Optimization) -> None:
        with until_stopped() as listener:
            study = optimize(call, listener=listener)
        write_message(f"Next: hpsearch study show {study.name}")

    # Otherwise a program that asks whether CUDA is there could not use it in forks (PyTorch's notes on CUDA, 2.13).
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    sys.argv = [str(script), *arguments]
    sys.path[0:0] = [str(script.absolute().parent)]
    with redirect_optuna(url, script.stem, optimize=optimize_here, decline=write_message):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except HpsearchError:
            raise
        except SystemExit as end:
            if not isinstance(end.code, str):
                raise
            write_message(end.code)  # as Python does
            raise typer.Exit(1) from None
        except Exception as error:  # noqa: BLE001 # the program's own, which Python would print
            _print_traceback(error, script)
            raise typer.Exit(1) from None


def _print_traceback(error: Exception, script: Path) -> None:
    """Print the traceback of a program to stderr, from its own first frame on."""
    place = error.__traceback__
    while place is not None and place.tb_frame.f_code.co_filename != str(script):
        place = place.tb_next
    traceback.print_exception(error.with_traceback(place or error.__traceback__))
