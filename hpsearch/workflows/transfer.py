"""Copy studies to other databases and files, and back."""

import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.transfer import CopiedStudy, Selection, Transfer
from hpsearch.worker.shutdown import do_nothing


def export_study(url: str, name: str, output: Path, *, include_running: bool = False) -> CopiedStudy:
    """Write a study into a new SQLite file, read it back, and return a record of the contents.

    Running trials are refused, or written as waiting ones with `include_running`. A damaged study is written unchanged:
    the record names its faults.
    """
    selection = Selection(names=(name,), running=include_running)
    with _new_file(output) as unfinished:
        transfer = Transfer(source=url, target=_file_url(unfinished), selection=selection, kind="export")
        (made,) = transfer.run(notify=do_nothing)
    return made


def import_studies(
    file: Path, url: str, *, names: Sequence[str] = (), imported: Callable[[CopiedStudy], None] = do_nothing
) -> Sequence[CopiedStudy]:
    """Import the studies of an exported file, or only `names`, into a database; `imported` gets each stored study.

    The file is imported whole or, if it breaks a rule, not at all.
    """
    if file.suffix == ".toml" and file.is_file():
        raise HpsearchError(
            f"FILE: must be a file that `study export` wrote (got the study file {file}): "
            f"hpsearch study create {shlex.quote(str(file))}"
        )
    selection = Selection(names=tuple(names), foreign=True, running=True)
    transfer = Transfer(source=_file_url(file), target=url, selection=selection, kind="import")
    return transfer.run(notify=imported)


def copy_database(
    source: str,
    target: str,
    *,
    names: Sequence[str] = (),
    everything: bool = False,
    include_running: bool = False,
    copied: Callable[[CopiedStudy], None] = do_nothing,
) -> Sequence[CopiedStudy]:
    """Copy studies from one database into another, and read them back; `copied` gets each stored study.

    These are `names`, or all that hpsearch made, or `everything`.
    """
    if names and everything:
        raise UsageError("storage copy: --study and --all exclude each other: leave one out")
    selection = Selection(names=tuple(names), foreign=everything, running=include_running)
    return Transfer(source=source, target=target, selection=selection).run(notify=copied)


@contextmanager
def _new_file(output: Path) -> Iterator[Path]:
    """Yield a path whose file becomes `output`, whole or not at all.

    Raises HpsearchError if `output` is not a new file in a writable folder.
    """
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
            f"--output: must be a file that can be created (got {output}: {error.strerror}): name another one"
        ) from error
    finally:
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):
                unfinished.with_name(f"{unfinished.name}{ending}").unlink()


def _check_new(output: Path) -> None:
    """Raise HpsearchError unless `output` is a new name in a folder; OSError if it cannot be accessed."""
    if not output.parent.is_dir():
        raise HpsearchError(
            f"--output: its folder must exist (got {output.parent}): make it, or name another file"
        )
    if output.exists() or output.is_symlink():
        raise HpsearchError(f"--output: must be a new file (got {output}, which exists): name another one")


def _file_url(path: Path) -> str:
    return f"sqlite:///{path}"
