"""The size of memory, and whether data fits into it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from hpsearch.errors import DataError
from hpsearch.study.messages import format_size

LARGEST_RATIO = 1032
"""Deflate never packs more bytes into one (zlib, "Technical Details": 258 bytes in two bits)."""


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the memory limit of all processes here: the machine's memory, or less under a control group's limit.

    `root` is the folder of the system's own files. A system that reports none sets no bound.
    """
    return min([_physical_bytes(), *_group_limits(root)])


def process_memory_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process may still take: `memory_bytes`, or less under `ulimit -v` or `ulimit -d`."""
    return min(memory_bytes(root), *_left_by_limits(root))


def check_size(size_bytes: int, where: str) -> None:
    """Raise DataError if an array of that size, which `where` contains or declares, does not fit into memory."""
    room = process_memory_bytes()
    if size_bytes > room:
        raise DataError(
            f"{where}: must fit into the available memory, {format_size(room)} (got {format_size(size_bytes)}):"
            " take fewer rows or columns, or check the file"
        )


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no POSIX, or without this value
        return sys.maxsize


def _left_by_limits(root: Path) -> Iterator[int]:
    """Yield the rest of the process's own limits on its address space and its data (setrlimit(2), proc(5))."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        yield sys.maxsize
        return
    used = _used_bytes(root)
    for limit, taken in zip((resource.RLIMIT_AS, resource.RLIMIT_DATA), used, strict=True):
        soft, _ = resource.getrlimit(limit)
        yield sys.maxsize if soft == resource.RLIM_INFINITY else max(0, soft - taken)


def _used_bytes(root: Path) -> tuple[int, int]:
    """Return this process's address space and data in bytes, or 0 if the system reports none (Linux, proc(5))."""
    try:
        pages = (root / "proc/self/statm").read_text().split()
        page = os.sysconf("SC_PAGE_SIZE")
        return int(pages[0]) * page, int(pages[5]) * page
    except (OSError, ValueError, IndexError):
        return 0, 0


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the control groups that the process is in, of version 2 and 1 (Linux, cgroups(7))."""
    for path in _limit_files(root):
        try:
            yield int(path.read_text())
        except (OSError, ValueError):  # a version that is not there, a group outside the container, or "max"
            continue


def _limit_files(root: Path) -> Iterator[Path]:
    """Yield the files that may have limits: each line is `id:controllers:group`, and all parent groups count too."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        folder, name = (mounts / "memory", "memory.limit_in_bytes") if controllers else (mounts, "memory.max")
        below = PurePosixPath(group.lstrip("/"))
        for part in (below, *below.parents):
            yield folder / part / name
