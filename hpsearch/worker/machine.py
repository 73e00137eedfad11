"""The machine's resources, the name of a worker on it, and the place where an engine runs this process."""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from hpsearch.storage.records import Placement

TYPICAL_CACHE_BYTES = 8 * 2**20
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cache_share_bytes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Return one core's share of its largest cache, or 8 MiB if the system does not report it."""
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
    """Return the number of cores in a list such as `0-3,8`."""
    count = 0
    for part in cores.split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def worker_name() -> str:
    """Return a name that no other worker has: `host-process-chance`.

    A restarted container has the host and process id of its predecessor, whose leases it must not renew.
    """
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


_PLACEMENT_VARIABLES = {field.name: f"HPSEARCH_{field.name.upper()}" for field in fields(Placement)}
"""Field of a placement -> the environment variable in which an engine's script passes it to a worker."""


def placement_of(environment: Mapping[str, str]) -> Placement:
    """Return where an engine placed this process, as HPSEARCH_ENGINE, _NODE, _JOB and _LOG name it."""
    return Placement(
        **{name: environment.get(variable) or None for name, variable in _PLACEMENT_VARIABLES.items()}
    )


def placement_environment(placement: Placement) -> dict[str, str]:
    """Return the variables from which `placement_of` reads the placement again."""
    named = ((variable, getattr(placement, name)) for name, variable in _PLACEMENT_VARIABLES.items())
    return {variable: value for variable, value in named if value is not None}
