"""How much memory there is: the machine, and the control groups and limits that allow less of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpsearch.data.memory import check_size, memory_bytes, process_memory_bytes
from hpsearch.errors import DataError

MIB = 2**20


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/a/b\n", {"a/memory.max": 7 * MIB, "a/b/memory.max": "max"}, 7 * MIB),
        ("0::/a/b\n", {"a/memory.max": 7 * MIB, "a/b/memory.max": 5 * MIB}, 5 * MIB),
        ("0::/gone\n", {"memory.max": 3 * MIB}, 3 * MIB),
        (
            "4:memory:/a\n3:cpuset:/b\n0::/\n",
            {"memory/a/memory.limit_in_bytes": 9 * MIB, "memory/memory.limit_in_bytes": 2**63 - 4096},
            9 * MIB,
        ),
        ("4:cpu:/a\n", {"memory/a/memory.limit_in_bytes": MIB, "a/memory.max": MIB}, None),
        ("", {}, None),
    ],
    ids=["above", "nearest", "container", "version 1", "another controller", "no group"],
)
def test_a_control_group_bounds_the_memory(
    tmp_path: Path, groups: str, limits: dict[str, int | str], expected: int | None
) -> None:
    """The least limit of a process's group and of those above it counts; without one it is the machine's memory."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    found = memory_bytes(tmp_path)
    assert (
        found == expected if expected is not None else found == memory_bytes(tmp_path / "nowhere") > 64 * MIB
    )


def test_the_limit_of_address_space_counts() -> None:
    """`ulimit -v` leaves a process what it has not taken yet, however much the machine has."""
    code = (
        "import resource\n"
        "from hpsearch.data.memory import memory_bytes, process_memory_bytes\n"
        "assert process_memory_bytes() == memory_bytes()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, resource.RLIM_INFINITY))\n"
        "print(process_memory_bytes())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**30 < int(ended.stdout) < 4 * 2**30


def test_what_does_not_fit_is_refused() -> None:
    """An array larger than memory is refused with its size and the memory's."""
    check_size(1, "x.npz")
    with pytest.raises(
        DataError, match=r"^x\.npz: must fit into the available memory, .* \(got .*\): take fewer"
    ):
        check_size(process_memory_bytes() + 2**20, "x.npz")
