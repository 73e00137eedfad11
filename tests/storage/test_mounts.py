"""Mounts: where SQLite files must not lie, read from Linux's table of mounts."""

from pathlib import Path, PurePosixPath

import pytest

from hpsearch.errors import StorageError
from hpsearch.storage import address
from hpsearch.storage.address import network_mount, network_mount_of
from hpsearch.storage.store import open_store

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid shared:2 master:1 - proc proc rw
30 22 0:50 /export/home /home rw,relatime shared:7 - nfs4 filer:/export/home rw,vers=4.2,addr=10.0.0.1
31 30 0:51 / /home/ann/scratch rw,relatime - xfs /dev/nvme0n1 rw
32 22 0:52 / /mnt/lab\040share rw - cifs //filer/share rw
33 22 0:53 / /mnt/far rw - fuse.sshfs ann@far:/data rw,user_id=1000
34 22 0:54 / /mnt/key rw - fuse.gocryptfs /dev/fuse rw
35 22 0:55 / /scratch rw - lustre 10.0.0.2@tcp:/scratch rw
36 22 0:56 / /mnt/host rw - 9p host rw,trans=virtio
37 22 0:57 / /data rw - autofs systemd-1 rw,fd=36
38 37 0:58 / /data rw - nfs filer:/data rw
39 22 0:59 / /home2 rw - ext4 /dev/vdb rw
40 22 0:60 / /over rw - nfs filer:/over rw
41 22 0:61 / /over rw - tmpfs tmpfs rw
half a line
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/home/ann/storage/hpsearch.db", ("nfs4", "/home")),
        ("/home", ("nfs4", "/home")),
        ("/home/ann/scratch/hpsearch.db", None),
        ("/home2/hpsearch.db", None),
        ("/mnt/lab share/hpsearch.db", ("cifs", "/mnt/lab share")),
        ("/mnt/far/hpsearch.db", ("fuse.sshfs", "/mnt/far")),
        ("/mnt/key/hpsearch.db", None),
        ("/scratch/hpsearch.db", ("lustre", "/scratch")),
        ("/mnt/host/hpsearch.db", None),
        ("/data/hpsearch.db", ("nfs", "/data")),
        ("/over/hpsearch.db", None),
        ("/srv/hpsearch.db", None),
    ],
)
def test_the_nearest_mount_decides(path: str, mount: tuple[str, str] | None) -> None:
    """A path belongs to the innermost and latest mount above it; only another machine's is named."""
    assert network_mount(PurePosixPath(path), MOUNTINFO) == mount


def test_a_database_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is made there, also through a link, and the message names the file system and what to do instead."""
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "link").symlink_to(away)
    table = tmp_path / "mountinfo"
    table.write_text(f"22 1 0:1 / / rw - ext4 /dev/vda rw\n23 22 0:2 / {away} rw - nfs filer:/x rw\n")
    monkeypatch.setattr(address, "_MOUNTS", table)
    for folder in ("away", "link"):
        url = f"sqlite:///{tmp_path / folder / 'hpsearch.db'}"
        with pytest.raises(StorageError) as caught:
            open_store(url)
        assert str(caught.value) == (
            f"{url}: must not lie on a network file system, where SQLite's locks do not work "
            f"(got nfs at {away}): choose a local disk, or PostgreSQL or MariaDB"
        )
    assert list(away.iterdir()) == []
    open_store(f"sqlite:///{tmp_path / 'hpsearch.db'}").close()


def test_what_cannot_be_seen_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Linux's table, and for circular links, the result is None."""
    monkeypatch.setattr(address, "_MOUNTS", tmp_path / "missing")
    assert network_mount_of(tmp_path / "hpsearch.db") is None
    monkeypatch.undo()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert network_mount_of(tmp_path / "a") is None
