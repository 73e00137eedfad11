"""`hpsearch data`: data sources and their contents."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hpsearch.cli.options import CommandGroup, Format, OutputFormat, Storage, StudyName
from hpsearch.cli.output import (
    Listing,
    write_line,
    write_listing,
    write_message,
    write_properties,
    write_table,
)
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

if TYPE_CHECKING:
    from hpsearch.data.columns import ColumnSummary
    from hpsearch.data.description import Description

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="List, inspect, download and store data.")


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
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A built-in name, a file or folder, or a URL.")
    ],
    target: Annotated[
        str | None,
        typer.Option(
            "--target", metavar="NAME", help="The column of a table to predict.  [default: the last]"
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            "--drop", metavar="NAME", help="A column of a table to leave out. Repeat it for several."
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Read a data source and show its contents: of a table also its columns, even if it has problems.

    Example: hpsearch data show ship.csv --target survived --drop name
    """
    import os

    from hpsearch.data.columns import columns_of
    from hpsearch.data.description import describe
    from hpsearch.data.remote import is_remote
    from hpsearch.data.sources import load, local_path
    from hpsearch.data.table import TableError, TableReading
    from hpsearch.errors import DataError

    reading = TableReading(drop=tuple(drop) if drop else None)
    if is_remote(source):
        source = local_path(source, os.environ)
    try:
        dataset = load(source, target=target, reading=reading, environment=os.environ)
    except DataError as error:
        uses = error.uses if isinstance(error, TableError) else ()
        with contextlib.suppress(DataError):  # the first error is the one to show
            columns = columns_of(source, target=target, reading=reading, uses=uses)
            if form is Format.TABLE:
                _write_columns(columns)
            elif columns:
                item = {"problem": str(error), "columns": [asdict(column) for column in columns]}
                write_properties([], item, form)
        raise
    description = describe(dataset)
    columns = columns_of(source, target=target, reading=reading, uses=dataset.uses)
    item = _described(description) | {"columns": [asdict(column) for column in columns]}
    write_properties(_described_rows(description), item, form)
    if form is Format.TABLE and columns:
        write_line()
        _write_columns(columns)


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A built-in name.")] = "mnist",
) -> None:
    """Download the files of a source, and keep them: studies on it then need no network.

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
        write_line(f"mnist: in {fetch_mnist(os.environ)}")
    else:
        write_line(f"{source}: nothing to fetch, it comes with scikit-learn")


@app.command()
def push(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Store the data of a study in its database, so that a worker needs the URL of the database alone.

    For data of the size of MNIST, up to 256 MiB. Equal data of several studies is stored once, and deleted with the
    last of them. Put larger data on a server, and name its URL as data.source.

    Example: hpsearch data push digits
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.storage.store import open_store
    from hpsearch.study.messages import format_count, format_size
    from hpsearch.workflows.data import push_data

    with open_store(storage, create=False) as store:
        pushed = push_data(store, name, listener=TERMINAL)
        where = store.url_shown
    write_line(
        f'Study "{name}": {format_count(pushed.files, "file")}, {format_size(pushed.size_bytes)} compressed'
        f" ({format_size(pushed.new_bytes)} of it new), in {where}"
    )


@app.command()
def cache(
    *,
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything in it.")] = False,
    form: OutputFormat = Format.TABLE,
) -> None:
    """List this machine's cache of data from URLs and databases, the oldest first, or clear it.

    Example: hpsearch data cache --clear
    """
    from hpsearch.analysis.formats import format_time
    from hpsearch.analysis.json_objects import moment_text
    from hpsearch.data.remote import shown_url
    from hpsearch.study.messages import format_count, format_size
    from hpsearch.workflows.data import data_cache_contents

    found = data_cache_contents(clear=clear)
    urls = ["" if item.url is None else shown_url(item.url) for item in found.items]
    fields = ("digest", "url", "files", "size_bytes", "stored")
    listing = Listing(
        objects=[
            dict(
                zip(
                    fields,
                    (item.digest, url or None, list(item.files), item.size_bytes, moment_text(item.stored)),
                    strict=True,
                )
            )
            for item, url in zip(found.items, urls, strict=True)
        ],
        heads=("item", "files", "size", "stored", "from"),
        rows=[
            (
                item.digest[:12],
                ", ".join(item.files),
                format_size(item.size_bytes),
                format_time(item.stored),
                url or "a database",
            )
            for item, url in zip(found.items, urls, strict=True)
        ],
        right=frozenset({"size"}),
        fields=fields,
    )
    write_listing(listing, form)
    done = "Deleted" if clear else "In all"
    write_message(
        f"{done}: {format_count(len(found.items), 'item')}, {format_size(found.size_bytes)}, in {found.folder}"
    )


def _write_columns(columns: "Sequence[ColumnSummary]") -> None:
    """Write the columns of a table to stdout for people; nothing if there are none."""
    from hpsearch.data.columns import MOST_ROWS
    from hpsearch.study.messages import format_number

    def values(column: "ColumnSummary") -> str:
        if column.minimum is None or column.maximum is None:
            return ", ".join(column.top)
        low, high = format_number(column.minimum, digits=4), format_number(column.maximum, digits=4)
        return low if column.kind == "constant" else f"{low} to {high}"

    if not columns:
        return
    write_table(
        ("column", "kind", "missing", "distinct", "values", "use"),
        [
            (
                column.name,
                column.kind,
                f"{column.missing:,}" if column.missing else "",
                "over 1,000" if column.distinct is None else f"{column.distinct:,}",
                values(column),
                column.use,
            )
            for column in columns
        ],
        right=frozenset({"missing", "distinct"}),
    )
    if columns[0].rows == MOST_ROWS:
        write_line(f"Counted in the first {MOST_ROWS:,} rows.")


_MANY: Final = 12
"""Maximum number of names shown to people in full."""


def _described(description: "Description") -> dict[str, Any]:
    """Return a JSON object. A number without a value, because all inputs are missing, is null."""
    item = asdict(description)
    for key in ("minimum", "maximum", "mean"):
        if not math.isfinite(item[key]):
            item |= {key: None, f"{key}_reason": "nan"}
    return item


def _described_rows(description: "Description") -> list[tuple[str, str]]:
    """Return (property, value) for people."""
    from hpsearch.study.messages import format_number

    classes = [f"{name} ({count:,})" for name, count in description.classes.items()]
    return [
        ("source", description.name),
        ("task", description.task),
        ("examples", f"{description.examples:,}"),
        ("inputs", f"{description.inputs:,}"),
        ("outputs", f"{description.outputs:,}"),
        *([("classes", _shortened(classes))] if classes else []),
        *([("features", _shortened(description.features))] if description.features else []),
        ("smallest input", format_number(description.minimum, digits=4)),
        ("largest input", format_number(description.maximum, digits=4)),
        ("mean input", format_number(description.mean, digits=4)),
        ("missing inputs", f"{description.missing:,}"),
        ("sealed for testing", f"{description.sealed:,}"),
        ("origin", description.origin),
        *(("note", note) for note in description.notes),
    ]


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - _MANY
    return ", ".join(names[:_MANY]) + (f" and {more:,} more" if more > 0 else "")
