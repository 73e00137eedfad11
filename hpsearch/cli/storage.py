"""`hpsearch storage`: the database itself."""

from typing import TYPE_CHECKING

import typer

from hpsearch.cli.options import DEFAULT_STORAGE, Format, OutputFormat, Storage
from hpsearch.cli.output import write_csv, write_json, write_table

if TYPE_CHECKING:
    from hpsearch.storage.check import Health

app = typer.Typer(no_args_is_help=True, help="The database itself.")


@app.callback()
def storage_command() -> None:
    """The database itself."""


@app.command()
def check(form: OutputFormat = Format.TABLE, storage: Storage = DEFAULT_STORAGE) -> None:
    """Say whether the database answers and can be used, and how fast it is. Nothing is changed.

    Example: hpsearch storage check --storage sqlite:///storage/hpsearch.db
    """
    from dataclasses import asdict

    from hpsearch.storage.check import check as measured

    health = measured(storage)
    match form:
        case Format.TABLE:
            write_table(("property", "value"), _rows(health))
        case Format.JSON:
            write_json(asdict(health))
        case Format.CSV:
            write_csv([asdict(health)])


def _rows(health: "Health") -> list[tuple[str, str]]:
    """Return (property, value) for people."""
    return [
        ("database", health.url_shown),
        ("server", f"{health.dialect} {health.server_version}"),
        ("tables of Optuna", health.optuna_schema or "none yet"),
        ("tables of hpsearch", str(health.hpsearch_schema or "none yet")),
        ("size", f"{health.size_bytes / 2**20:,.1f} MiB"),
        ("round trip", f"{health.round_trip_s * 1e3:.2f} ms"),
        ("clock difference", f"{health.clock_difference_s * 1e3:+.0f} ms"),
        ("studies", f"{health.studies:,}"),
        ("studies of other Optuna clients", f"{health.foreign_studies:,}"),
        ("trials", f"{health.trials:,}"),
    ]
