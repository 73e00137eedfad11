"""What the machine offers: cores, caches, memory, a name."""

import os
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

TYPICAL_CACHE_BYTES = 8 * 2**20
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_share_bytes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Return one core's share of the largest cache it has, or 8 MiB where the system does not tell."""
    shares = []
    for cache in sorted(root.glob("index*")):
        try:
            size = (cache / "size").read_text().strip()
            sharing = _count_cores((cache / "shared_cpu_list").read_text().strip())
            shares.append(int(size[:-1]) * _UNITS[size[-1]] // sharing)
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(shares, default=TYPICAL_CACHE_BYTES)


def _count_cores(cores: str) -> int:
    """Return how many cores a list such as `0-3,8` names."""
    count = 0
    for part in cores.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def memory_bytes(root: Path = Path("/")) -> int:
    """Return how much memory this process may have: the machine's, or less where its control group has a limit.

    `root` is where the system's own files are. A system that does not tell sets no bound.
    """
    return min([_physical_bytes(), *_group_limits(root)])


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # no POSIX, or none that knows
        return sys.maxsize


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the limits of the control groups that the process is in, of version 2 and 1 (Linux, cgroups(7))."""
    for path in _limit_files(root):
        try:
            yield int(path.read_text())
        except (OSError, ValueError):  # a version that is not there, a group outside the container, or "max"
            continue


def _limit_files(root: Path) -> Iterator[Path]:
    """Yield where limits may be: each line is `id:controllers:group`, and those of all groups above count too."""
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


def worker_name() -> str:
    """Return a name that no other worker has: `host-process-chance`.

    A container that starts again has the host and the process of the one before, whose leases it must not keep.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
