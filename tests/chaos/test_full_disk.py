"""An SQLite database whose disk is full: workers report that and wait, and no written data is lost."""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.chaos import campaign, laws
from tests.chaos.campaign import Campaign
from tests.chaos.ground import Plan, Result
from tests.chaos.waiting import wait_until

SIZE_KB = 8192
ROOM_KB = 200
"""Free space when the study begins: enough for the first claims and a few trials."""

FULL = "the disk is full: make room, nothing that was written is lost"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Provide the folder of a file system of 8 MiB; skip the test if we may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system, and not in every container")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def free_kb(folder: Path) -> int:
    """Return the free space."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize // 1024


def test_a_full_disk_is_waited_for(
    tmp_path: Path,
    small_disk: Path,
    plan: Callable[..., Plan],
    expected: Callable[[Plan], Sequence[Result]],
) -> None:
    """No worker ends, finished trials are unchanged, and with room again the study continues to its end."""
    chosen = plan()
    calm = Campaign(plan=chosen, workers=2, seed=1, every_s=1.0, calamities_s=0.0, lease_s=1.0, rows=3)
    with campaign.on_sqlite(calm, small_disk, logs=tmp_path) as scene:
        ground, crew = scene.ground, scene.crew
        wait_until(lambda: ground.finished() > 0, "a trial is finished")
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(1024 * (free_kb(small_disk) - ROOM_KB)))
        wait_until(lambda: all(FULL in hand.said for hand in crew.hands), "both workers say that it is full")
        kept = [result for result in ground.results() if result.state in ("complete", "pruned")]
        assert 0 < len(kept) < chosen.trials
        assert kept == [result for result in expected(chosen) if result.number in {k.number for k in kept}]
        ballast.unlink()
        crew.dismiss()
        assert campaign.faults(crew) == []
        assert crew.started == 2
        laws.check(ground, expected(chosen))
