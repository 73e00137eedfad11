"""`hpsearch storage`: the database itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from hpsearch.cli.options import CommandGroup, Format, OutputFormat, Storage
from hpsearch.cli.output import write_csv, write_json, write_line, write_message, write_table
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

if TYPE_CHECKING:
    from hpsearch.storage.health import Health
    from hpsearch.storage.transfer import CopiedStudy
    from hpsearch.storage.upgrade import LocalTimes

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, help="The database itself.")


@app.callback()
def storage_command() -> None:
    """The database itself."""


@app.command()
def check(
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Check every page and every row, and list what is wrong.")
    ] = False,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Check that the database answers and can be used, its speed, and the load that the open studies will cause.

    A few small rows are written to measure that, and removed again. With --full the exit code is 1 if any data in the
    database is damaged, or not as hpsearch and Optuna store it.

    Example: hpsearch storage check --storage sqlite:///storage/hpsearch.db
    """
    from dataclasses import asdict

    from hpsearch.errors import StorageError
    from hpsearch.storage.health import check as measured
    from hpsearch.study.messages import format_count

    health = measured(storage, full=full)
    match form:
        case Format.TABLE:
            write_table(("property", "value"), _rows(health))
        case Format.JSON:
            write_json(asdict(health))
        case Format.CSV:
            write_csv([asdict(health)])
    if health.faults:
        listed = "\n".join(f"  {fault}" for fault in health.faults)
        raise StorageError(
            f"{health.url_shown}: must hold what hpsearch and Optuna store "
            f"({format_count(len(health.faults), 'fault')}): restore a backup, or delete these studies:\n{listed}"
        )


@app.command()
def upgrade(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Upgrade even if workers are running.")] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Upgrade the tables of an older hpsearch or Optuna to the schema of this version. Their data is kept.

    Stop the workers first, and make a backup: an upgrade cannot be undone.

    Example: hpsearch storage upgrade --storage sqlite:///storage/hpsearch.db
    """
    from hpsearch.storage.upgrade import upgrade as upgraded

    done = upgraded(storage, allow_workers=yes)
    for owner, before, after in (
        ("Optuna", done.before.optuna, done.after.optuna),
        ("hpsearch", done.before.hpsearch, done.after.hpsearch),
    ):
        if before is None:
            write_line(f"Tables of {owner}: none yet")
        elif before == after:
            newer = (
                ", newer than this hpsearch but compatible with it"
                if owner == "hpsearch" and done.after.only_adds
                else ""
            )
            write_line(f"Tables of {owner}: version {after}{newer}, nothing to do")
        else:
            write_line(f"Tables of {owner}: version {after} now (it was {before})")
    if done.local_times is not None:
        write_message(f"Times: {_local_times(done.local_times)}.")


@app.command()
def copy(
    *,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The database to copy from.")],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The database to copy into; created if it is missing.")
    ],
    study: Annotated[
        list[str] | None,
        typer.Option("--study", metavar="NAME", help="Copy this study; may be repeated."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Copy the studies of other Optuna clients too.")
    ] = False,
    include_running: Annotated[
        bool, typer.Option("--include-running", help="Copy trials that run as waiting ones.")
    ] = False,
) -> None:
    """Copy studies from one database into another, and read them back. Without --study: all studies made by hpsearch.

    Each study is copied whole or not at all, with its numbers, times and history. The source is not changed. A damaged
    study is left out: the others are copied, and the exit code is 1.

    Example: hpsearch storage copy sqlite:///old.db postgresql://ann@host/trials
    """
    from hpsearch.workflows.transfer import copy_database

    done: list[CopiedStudy] = []

    def report_copied(copied: "CopiedStudy") -> None:
        done.append(copied)
        write_line(_copied(copied))

    try:
        copy_database(
            source,
            target,
            names=study or (),
            everything=everything,
            include_running=include_running,
            copied=report_copied,
        )
    finally:
        if any(copied.in_whole_seconds for copied in done):
            write_message("MySQL and MariaDB store the times of trials in whole seconds.")


def _copied(copied: "CopiedStudy") -> str:
    from hpsearch.study.messages import format_count

    returned = f" ({copied.returned:,} that ran wait there)" if copied.returned else ""
    trials = format_count(copied.trials, "trial")
    return f'Study "{copied.name}": copied with {trials}{returned}, and read back'


def _rows(health: "Health") -> list[tuple[str, str]]:
    """Return (property, value) for people."""
    return [
        ("database", health.url_shown),
        ("server", f"{health.dialect} {health.server_version}"),
        ("tables of Optuna", health.optuna_schema or "none yet"),
        ("tables of hpsearch", health.hpsearch_schema or "none yet"),
        ("size", _size(health.size_bytes)),
        ("round trip", f"{health.round_trip_s * 1e3:.2f} ms"),
        ("commits", _write_rate(health)),
        ("clock difference", f"{_whole_ms(health.clock_difference_s):+d} ms"),
        ("workers alive", f"{health.workers_alive:,}"),
        ("studies", f"{health.studies:,}"),
        *([("of them unreadable", f"{health.unreadable_studies:,}")] if health.unreadable_studies else []),
        ("studies of other Optuna clients", f"{health.foreign_studies:,}"),
        ("trials", f"{health.trials:,}"),
        *([("times", _local_times(health.local_times))] if health.local_times is not None else []),
        *([] if health.faults is None else [("faults", f"{len(health.faults):,}")]),
        *_forecast_rows(health),
    ]


def _local_times(times: "LocalTimes") -> str:
    """Return the warning about trials from the time when Optuna did not write times in UTC."""
    from hpsearch.study.messages import format_count

    trials = format_count(times.trials, "trial")
    return (
        f"Optuna {times.optuna} made these tables, and before 5.0 it wrote local times, which are now read as UTC: "
        f"those of up to {trials} may be off by your time zone, see storage/README.md"
    )


def _whole_ms(seconds: float) -> int:
    """Return whole milliseconds: an integer, since a float that rounds to 0 may be -0."""
    return round(seconds * 1e3)


def _forecast_rows(health: "Health") -> list[tuple[str, str]]:
    """Return the cost of the budgets that are left."""
    from hpsearch.analysis.formats import format_duration
    from hpsearch.study.messages import format_count

    left = health.outlook
    if left is None:
        return []
    source = "measured here" if left.bytes_are_measured else "a typical trial's"
    studies = "1 open study" if left.open_studies == 1 else f"{left.open_studies:,} open studies"
    rows = [
        ("not claimed yet", f"{format_count(left.trials, 'trial')} of {studies}"),
        ("which will take", f"{_size(left.size_bytes)} ({left.bytes_per_trial:,.0f} bytes each, {source})"),
    ]
    if left.seconds is not None and left.seconds_per_trial is not None:
        each = f"{left.seconds_per_trial * 1e3:.1f} ms each, claimed one at a time"
        rows.append(("and at most", f"{format_duration(left.seconds)} of the database ({each})"))
    return rows


def _write_rate(health: "Health") -> str:
    rate = health.write_rate
    if rate is None:
        return f"not measured: {health.no_write_rate}"
    return f"{rate.durable_per_s:,.0f} durable or {rate.light_per_s:,.0f} light ones per second"


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"
