"""`hpsearch study rename`, `copy`, `stop`, `export` and `import`: studies under other names and in other places."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hpsearch
from hpsearch.cli.options import DEFAULT_STORAGE, Storage, StudyName
from hpsearch.cli.output import answer, say

if TYPE_CHECKING:
    from hpsearch.storage.copying import Copied

NewStudyName = Annotated[str, typer.Argument(metavar="NEW", help="A name that no study has.")]


def rename(name: StudyName, new: NewStudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """Give a study another name. Everything else of it stays; a report of it is written again under the new name.

    Example: hpsearch study rename digits digits-2026
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.names import check_name
    from hpsearch.storage.keeping import rename_named
    from hpsearch.storage.store import open_store

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
    from hpsearch.cli.names import check_name
    from hpsearch.storage.keeping import copy_named
    from hpsearch.storage.store import open_store

    check_name("NEW", new)
    with open_store(storage, foreign=True) as store:
        trials = format_count(copy_named(store, name, new), "trial")
    answer(f'Study "{name}": copied to "{new}" with {trials}')


def stop(name: StudyName, storage: Storage = DEFAULT_STORAGE) -> None:
    """End a study early: its budget becomes the number of finished trials. Trials in training end and count.

    `study edit --trials N` opens it again; `study pause` stops it for a while.

    Example: hpsearch study stop digits
    """
    from hpsearch.analysis.formats import format_count
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.storage.keeping import stop_study
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        before = store.study(name)
        ended = stop_study(store, before)
        progress = store.progress(ended)
        budget = format_count(ended.spec.trials, "trial")
        if ended.spec.trials != before.spec.trials:
            answer(f'Study "{name}": ends with {budget} (its budget was {before.spec.trials:,})')
        elif progress.is_done:
            answer(
                f'Study "{name}": is finished, {progress.finished:,} of {budget}: there is nothing to stop'
            )
        else:
            answer(f'Study "{name}": has begun all of its {budget}: there is nothing to stop')
        if progress.running:
            answer(f"In training, and going on to their end: {progress.running:,}")
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
    from hpsearch.storage.copying import copy_studies
    from hpsearch.storage.selection import Selection

    selection = Selection(names=(name,), running=include_running)
    with _new_file(output) as unfinished:
        (made,) = copy_studies(storage, _file_url(unfinished), selection, tell=lambda _: None, kind="export")
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
    from hpsearch.storage.copying import copy_studies
    from hpsearch.storage.selection import Selection

    _check_no_study_file(file)
    shown = parse_address(storage).shown
    selection = Selection(names=tuple(study or ()), foreign=True, running=True)
    copy_studies(
        _file_url(file), storage, selection, tell=lambda made: answer(_copied(made, shown)), kind="import"
    )


def _check_no_study_file(file: Path) -> None:
    """Raise HpsearchError for a study file, which `study create` takes."""
    import shlex

    from hpsearch.errors import HpsearchError

    if file.suffix == ".toml" and file.is_file():
        raise HpsearchError(
            f"FILE: must be a file that `study export` wrote (got the study file {file}): "
            f"hpsearch study create {shlex.quote(str(file))}"
        )


@contextmanager
def _new_file(output: Path) -> Iterator[Path]:
    """Give a path for what is to become the file `output`, whole or not at all.

    Raises HpsearchError if that is no new file in a folder that can be written.
    """
    from hpsearch.errors import HpsearchError

    # In the same folder, since a rename is atomic within one file system only. "." and "/" have no name to replace.
    unfinished = output.parent / f".hpsearch-{secrets.token_hex(4)}.db"
    try:
        _check_new(output)
        unfinished.touch(exist_ok=False)
        yield unfinished
        _check_new(output)
        unfinished.rename(output)
    except OSError as error:
        raise HpsearchError(
            f"--output: must be a file that can be made (got {output}: {error.strerror}): name another one"
        ) from error
    finally:
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):
                unfinished.with_name(f"{unfinished.name}{ending}").unlink()


def _check_new(output: Path) -> None:
    """Raise HpsearchError unless `output` is a new name in a folder; OSError if it cannot be looked at."""
    from hpsearch.errors import HpsearchError

    if not output.parent.is_dir():
        raise HpsearchError(
            f"--output: its folder must exist (got {output.parent}): make it, or name another file"
        )
    if output.exists() or output.is_symlink():
        raise HpsearchError(f"--output: must be a new file (got {output}, which exists): name another one")


def _file_url(path: Path) -> str:
    return f"sqlite:///{path}"


def _copied(made: "Copied", where: str) -> str:
    from hpsearch.analysis.formats import format_count

    returned = f" ({made.returned:,} that ran wait there)" if made.returned else ""
    return f'Study "{made.name}": {format_count(made.trials, "trial")}{returned} in {where}, and read back'
