"""`hpsearch report`: the report of a study, written again."""

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, Storage, StudyName
from hpsearch.cli.output import answer


def report(
    name: StudyName,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where to write it.  [default: beside the database]"),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write the report of a study: one HTML file that needs no network.

    Example: hpsearch report digits --output digits.html
    """
    from hpsearch.cli.conclusion import default_report_path, save_report, take_snapshot
    from hpsearch.report.file import check_report_path
    from hpsearch.storage.store import open_store

    if output is not None:
        check_report_path(output)
    with open_store(storage, create=False) as store:
        snapshot = take_snapshot(store, store.study(name))
    answer(str(save_report(snapshot, output or default_report_path(storage, name))))
