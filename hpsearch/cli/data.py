"""`hpsearch data`: what there is to learn from, and what it holds."""

from dataclasses import asdict
from typing import Annotated

import typer

from hpsearch.cli.commands import CommandGroup
from hpsearch.cli.options import Format, OutputFormat
from hpsearch.cli.output import Listing, answer, write_listing, write_properties

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="List, inspect and download data.")


@app.command("list")
def list_sources(form: OutputFormat = Format.TABLE) -> None:
    """List the built-in data sources. A study may also name a file or a folder.

    Example: hpsearch data list
    """
    from hpsearch.data.sources import CATALOGUE

    listing = Listing(
        objects=[asdict(source) for source in CATALOGUE],
        heads=("source", "task", "examples", "inputs", "classes", "what it is", "origin"),
        rows=[
            (
                source.name,
                source.task,
                f"{source.examples:,}",
                f"{source.inputs:,}",
                str(source.classes or ""),
                source.description,
                source.origin,
            )
            for source in CATALOGUE
        ],
        right=frozenset({"examples", "inputs", "classes"}),
    )
    write_listing(listing, form)


@app.command()
def show(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A built-in name, or a file or folder.")],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="NAME", help="The column of a table to predict.  [default: the last]"
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Read a data source and show what it holds.

    Example: hpsearch data show digits
    """
    import os

    from hpsearch.cli.described import described, described_rows
    from hpsearch.data.description import describe
    from hpsearch.data.sources import load

    description = describe(load(source, target=target, environment=os.environ))
    write_properties(described_rows(description), described(description), form)


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A built-in name.")] = "mnist",
) -> None:
    """Download what a source needs, and keep it: studies on it then need no network.

    Example: hpsearch data fetch mnist
    """
    import os

    from hpsearch.data.mnist import fetch_mnist
    from hpsearch.errors import UsageError
    from hpsearch.study.messages import remedy_for
    from hpsearch.study.schema import BUILTIN_SOURCES

    if source not in BUILTIN_SOURCES:
        raise UsageError(
            f'SOURCE: must be a built-in name (got "{source}"): {remedy_for(source, BUILTIN_SOURCES)}'
        )
    if source == "mnist":
        answer(f"mnist: in {fetch_mnist(os.environ)}")
    else:
        answer(f"{source}: nothing to fetch, it comes with scikit-learn")
