"""`hpsearch study rename`, `copy`, `stop`, `export` and `import`: studies under other names and in other places."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hpsearch
from hpsearch.cli.options import Storage, StudyName
from hpsearch.cli.output import answer, say
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

if TYPE_CHECKING:
    from hpsearch.storage.copying import Copied

NewStudyName = Annotated[str, typer.Argument(metavar="NEW", help="A name that no study has.")]


def rename(name: StudyName, new: NewStudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Give a study another name. Everything else of it stays; a report of it is written again under the new name.

    Example: hpsearch study rename digits digits-2026
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.storage.keeping import rename_named
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.studies import check_name

    check_name("NEW", new)
    with open_store(storage, foreign=True) as store:
        rename_named(store, name, new)
        answer(f'Study "{name}": renamed to "{new}"')
        renew_report(store, new, url=storage, before=name)


def copy(name: StudyName, new: NewStudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Copy a study with all its trials to another name in the same database. Trials in training wait in the copy.

    Example: hpsearch study copy digits digits-before
    """
    from hpsearch.analysis.formats import format_count
    from hpsearch.storage.keeping import copy_named
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.studies import check_name

    check_name("NEW", new)
    with open_store(storage, foreign=True) as store:
        trials = format_count(copy_named(store, name, new), "trial")
    answer(f'Study "{name}": copied to "{new}" with {trials}')


def stop(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """End a study early: its budget becomes the number of finished trials. Trials in training end and count.

    `study edit --trials N` opens it again; `study pause` stops it for a while.

    Example: hpsearch study stop digits
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.editing import write_stopped
    from hpsearch.storage.store import open_store
    from hpsearch.workflows import studies

    with open_store(storage, foreign=True) as store:
        write_stopped(studies.stop(store, name))
        renew_report(store, name, url=storage)


def export(
    name: StudyName,
    *,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="A new SQLite file.")],
    include_running: Annotated[
        bool, typer.Option("--include-running", help="Take trials that run as waiting ones.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write a study into a new SQLite file, to keep, send or import elsewhere; the file is read back as a check.

    A damaged study is written as it is, with a warning: `study import` will refuse the file.

    Example: hpsearch study export digits --output digits.db
    """
    from hpsearch.workflows.transfer import export_study

    made = export_study(storage, name, output, include_running=include_running)
    answer(_copied(made, str(output)))
    if made.faults:
        say(
            f"Warning: `study import` of hpsearch {hpsearch.__version__} will refuse {output} as it is:\n"
            + "\n".join(f"  {fault}" for fault in made.faults)
        )


def import_studies(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `study export` wrote.")],
    *,
    study: Annotated[
        list[str] | None,
        typer.Option("--study", metavar="NAME", help="Only this one; may be given again."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Take the studies of an exported file into the database, with their numbers, times and history.

    The file is only read: nothing in it is run. It is imported whole or, if it breaks a rule, not at all.

    Example: hpsearch study import digits.db
    """
    from hpsearch.storage.address import parse_address
    from hpsearch.workflows import transfer

    shown = parse_address(storage).shown
    transfer.import_studies(
        file, storage, names=study or (), imported=lambda made: answer(_copied(made, shown))
    )


def _copied(made: "Copied", where: str) -> str:
    from hpsearch.analysis.formats import format_count

    returned = f" ({made.returned:,} that ran wait there)" if made.returned else ""
    return f'Study "{made.name}": {format_count(made.trials, "trial")}{returned} in {where}, and read back'
