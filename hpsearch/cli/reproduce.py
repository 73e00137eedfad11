"""`hpsearch reproduce`: what the source documents claim, beside what is measured."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, final

import typer

from hpsearch.cli.options import MOST_INTEGER, MOST_WORKERS, Format, OutputFormat

FOLDER: Final = Path("storage/reproduction")
SEED: Final = 20261127


@final
class Images(StrEnum):
    """What is trained on in place of each other."""

    MNIST = "mnist"
    DIGITS = "digits"


def _complete(incomplete: str) -> list[str]:
    from hpsearch.reproduction.catalogue import EXPERIMENTS

    return [name for name in EXPERIMENTS if name.startswith(incomplete)]


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Study files of the documents, without .toml, such as relu-learning-rates.  [default: all]",
            autocompletion=_complete,
        ),
    ] = None,
    *,
    is_full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="All seeds, and 300 epochs, which takes far longer. Or what a few minutes on two cores allow.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=MOST_INTEGER, help="The seed of all trials.")
    ] = SEED,
    images: Annotated[
        Images | None,
        typer.Option("--data", help="The data.  [default: mnist if it is on this machine, else digits]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=MOST_WORKERS, help="Processes.  [default: one per core]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help=f"Where to write the page.  [default: {FOLDER}.html]"),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Run the source documents' experiments, and compare each claim with what is measured.

    What is finished is kept in storage/reproduction, so that a second call does not train it again. MNIST is used
    if it is on this machine (hpsearch data fetch mnist), else digits.

    Example: hpsearch reproduce relu-learning-rates
    """
    from hpsearch.cli.output import say, write_listing
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.cli.reproduced import listing
    from hpsearch.workflows.reproduction import asked_studies, run, write_reproduction

    page = output or FOLDER.with_suffix(".html")
    studies = asked_studies(names or [], is_full=is_full)
    shown = run(
        studies,
        size="full" if is_full else "quick",
        seed=seed,
        images=None if images is None else images.value,
        workers=workers,
        folder=FOLDER,
        output=page,
        listener=TERMINAL,
    )
    write_listing(listing(shown), form)
    write_reproduction(shown, page)
    say(f"Page: {page}")
