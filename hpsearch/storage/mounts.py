"""File systems of other machines, on which SQLite's locks and shared memory do not hold."""

import re
from pathlib import Path, PurePosixPath
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")

NETWORK_TYPES: Final = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
        "wekafs",
    }
)
"""Linux's names of file systems that several machines write to.

Shares between one machine and its virtual machines (9p, virtiofs, vboxsf) are not among them: what else uses them
cannot be seen, and containers that know nothing else work.
"""

NETWORK_DRIVERS: Final = frozenset(
    {
        "afpfs",
        "beegfs",
        "blobfuse",
        "blobfuse2",
        "ceph",
        "cephfs",
        "cifs",
        "curlftpfs",
        "davfs",
        "gcsfuse",
        "glusterfs",
        "goofys",
        "hdfs",
        "juicefs",
        "lustre",
        "mfs",
        "moosefs",
        "rclone",
        "s3fs",
        "sshfs",
        "weed",
    }
)
"""The same for file systems that programs provide: Linux calls them `fuse.` and one of these."""


def network_mount(path: PurePosixPath, mountinfo: str) -> tuple[str, str] | None:
    """Return (type, mount point) where the absolute `path` lies on a file system of another machine, else None.

    `mountinfo` is the text of Linux's /proc/self/mountinfo (proc(5)): one line per mount, later ones over earlier
    ones, with the mount point as its fifth field and the type as the first after a lone dash.
    """
    nearest = ("", PurePosixPath("/"))
    for line in mountinfo.splitlines():
        fields, dash, source = line.partition(" - ")
        if not dash or len(fields.split()) < 5:
            continue
        point = PurePosixPath(_unescaped(fields.split()[4]))
        if path.is_relative_to(point) and len(point.parts) >= len(nearest[1].parts):
            nearest = (source.split()[0], point)
    kind, point = nearest
    return (kind, str(point)) if _is_network(kind) else None


def _unescaped(field: str) -> str:
    """Return a field as it was before Linux wrote blanks and backslashes as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _is_network(kind: str) -> bool:
    family, _, driver = kind.partition(".")
    return kind in NETWORK_TYPES or (family == "fuse" and driver in NETWORK_DRIVERS)


def network_mount_of(path: Path) -> tuple[str, str] | None:
    """Return (type, mount point) where a file at `path` is or would be another machine's; None also where unseen."""
    try:
        mountinfo = _MOUNTS.read_text(errors="surrogateescape")
        return network_mount(PurePosixPath(path.resolve()), mountinfo)
    except (OSError, RuntimeError):  # no Linux, or links that lead in a circle
        return None
