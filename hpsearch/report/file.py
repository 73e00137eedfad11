"""The report's file: checked before a run, and written atomically."""

import contextlib
import secrets
from pathlib import Path

from hpsearch.errors import HpsearchError


def check_report_path(path: Path, *, where: str = "report") -> None:
    """Raise HpsearchError, about `where`, if a report cannot be written to `path`: better before a run than after it.

    Only writing shows whether a folder is writable, so a file is created next to `path` and removed again.
    """
    _check_place(path, where)
    _write_atomic("", path, where, replace=False)


def _check_place(path: Path, where: str) -> None:
    """Raise HpsearchError if `path` has no folder, or is a folder or a device, which a file would replace."""
    try:
        has_folder, is_folder = path.parent.is_dir(), path.is_dir()
        is_device = path.exists() and not (is_folder or path.is_file())
    except OSError as error:  # for example, a name that is too long
        raise _unwritable(path, where, error) from error
    if not has_folder:
        raise HpsearchError(
            f"{where}: its folder must exist (got {path.parent}): make it, or name another file"
        )
    if is_folder:
        raise HpsearchError(f"{where}: must be a file (got the folder {path}): name a file in it")
    if is_device:
        raise HpsearchError(f"{where}: must be a file (got the device or pipe {path}): name another file")


def write_page(page: str | bytes, path: Path, *, where: str = "report") -> None:
    """Write a page, or another file, to `path`, whole or not at all. An existing file is replaced.

    Raises HpsearchError, about `where`, if that is impossible.
    """
    _check_place(path, where)
    _write_atomic(page, path, where, replace=True)


def _write_atomic(page: str | bytes, path: Path, where: str, *, replace: bool) -> None:
    """Write a page to a new file in the folder of `path`; replace `path` with it, or remove it again."""
    # Next to the target, since a rename is atomic within one file system only.
    unfinished = path.with_name(f".hpsearch-{secrets.token_hex(4)}")
    try:
        if isinstance(page, str):
            unfinished.write_text(page, encoding="utf-8")
        else:
            unfinished.write_bytes(page)
        if replace:
            unfinished.replace(path)
    except OSError as error:
        raise _unwritable(path, where, error) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink()


def _unwritable(path: Path, where: str, error: OSError) -> HpsearchError:
    reason = error.strerror or str(error)
    return HpsearchError(f"{where}: must be writable (got {path}: {reason}): name another file")
