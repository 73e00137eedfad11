"""The resources and the name of a machine."""

import os
from pathlib import Path

from hpsearch.worker.machine import cache_share_bytes, core_count, worker_name


def test_the_largest_share_of_a_cache_counts(tmp_path: Path) -> None:
    """One core's share of a cache is its size over the cores that share it; the largest share counts."""
    for index, size, cores in ((0, "48K", "0"), (2, "1024K", "0-1"), (3, "32M", "0-3,8")):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "size").write_text(f"{size}\n")
        (folder / "shared_cpu_list").write_text(f"{cores}\n")
    assert cache_share_bytes(tmp_path) == 32 * 2**20 // 5
    assert cache_share_bytes(tmp_path / "missing") == 8 * 2**20


def test_a_worker_has_a_name_and_a_core() -> None:
    """The name has the process id and a random part, since another container's process may have the same id."""
    assert f"-{os.getpid()}-" in worker_name()
    assert len({worker_name() for _ in range(8)}) > 1
    assert core_count() >= 1
