"""A database's URL, as the user gave it: parse it, choose a driver, and show it without its password.

An SQLite file on a file system of another machine is refused: SQLite's locks and shared memory do not work there.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final, final
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hpsearch.errors import StorageError, mask_options
from hpsearch.installation import install_command
from hpsearch.storage.drivers import check_options
from hpsearch.storage.stored_values import UNSTORABLE
from hpsearch.study.messages import nearest

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

Shares between one machine and its virtual machines (9p, virtiofs, vboxsf) are not among them: their other users cannot
be detected, and containers that have no other file system work.
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
"""The same for file systems that programs provide: Linux names them `fuse.` plus one of these."""


def network_mount(path: PurePosixPath, mountinfo: str) -> tuple[str, str] | None:
    """Return (type, mount point) if the absolute `path` lies on a file system of another machine, else None.

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
    """Return a field with Linux's octal escapes of blanks and backslashes (three digits) decoded."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def _is_network(kind: str) -> bool:
    family, _, driver = kind.partition(".")
    return kind in NETWORK_TYPES or (family == "fuse" and driver in NETWORK_DRIVERS)


def network_mount_of(path: Path) -> tuple[str, str] | None:
    """Return (type, mount point) if a file at `path` is or would be on another machine, else None, also if unknown."""
    try:
        mountinfo = _MOUNTS.read_text(errors="surrogateescape")
        return network_mount(PurePosixPath(path.resolve()), mountinfo)
    except (OSError, RuntimeError):  # no Linux, or links in a cycle
        return None


_SMALLEST_PAGE_BYTES: Final = 512
_MOST_PORT: Final = 65535

_EXAMPLES: Final = (
    "give a URL such as sqlite:///storage/hpsearch.db, postgresql://user@host/database "
    "or mysql://user@host/database"
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Family:
    """Drivers of one kind of database, as (name in the URL, module), of which the first is ours; and our extra."""

    drivers: tuple[tuple[str, str], ...]
    extra: str


_FAMILIES: Final[Mapping[str, _Family]] = {
    "sqlite": _Family(drivers=(("pysqlite", "sqlite3"),), extra=""),
    "postgresql": _Family(drivers=(("psycopg", "psycopg"), ("psycopg2", "psycopg2")), extra="postgres"),
    "mysql": _Family(drivers=(("pymysql", "pymysql"), ("mysqldb", "MySQLdb")), extra="mysql"),
    "mariadb": _Family(drivers=(("pymysql", "pymysql"), ("mysqldb", "MySQLdb")), extra="mysql"),
}

_STOCK_DRIVERS: Final[Mapping[str, str]] = {
    "postgresql": "psycopg2",
    "mysql": "mysqldb",
    "mariadb": "mysqldb",
}
"""The driver that SQLAlchemy, and so every other Optuna client, uses if the URL names none."""


_SQLITE_OPTIONS: Final = (
    "timeout",
    "uri",
    "cached_statements",
    "check_same_thread",
    "detect_types",
    "isolation_level",
)
"""The options that the driver of SQLite accepts after the ?."""

_SQLITE_URI_OPTIONS: Final = ("mode", "cache", "immutable", "modeof", "nolock", "psow", "vfs")
"""The options that SQLite itself accepts there, in a URL with `uri=true` (https://www.sqlite.org/uri.html)."""

_FILE_KINDS: Final[Mapping[int, str]] = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The location of a database.

    `url` names an installed driver; `shown` is the user's URL with its password masked; `family` is sqlite, postgresql,
    mysql or mariadb; `path` is the file of an SQLite database.
    """

    url: URL
    shown: str
    family: str
    path: Path | None

    @property
    def full(self) -> str:
        """The URL as text, with its password: for drivers, never for people."""
        return self.url.render_as_string(hide_password=False)


def parse_address(text: str) -> Address:
    """Return the address in `text`.

    A URL without a driver gets the one that other Optuna clients use if it is installed, else ours: psycopg 3 and
    PyMySQL. Raises StorageError for text that is no URL, for another kind of database, for a driver that is not
    installed, and for an SQLite database in memory, which workers could not share, or with options that SQLite does not
    have.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise StorageError(
            f'storage: must be a database URL (got "{_masked_url(text)}"): {_EXAMPLES}'
        ) from None
    shown = _masked_url(text) if url.password is not None else mask_options(text)
    if (odd := _odd_character(text)) is not None:
        raise StorageError(f"{shown}: no part may hold the character {odd}: leave it out")
    family = url.get_backend_name()
    if family not in _FAMILIES:
        raise StorageError(_unknown_family(shown, family))
    url = url.set(drivername=f"{family}+{_driver(url, family, shown)}")
    if family in ("mysql", "mariadb") and not url.database:
        raise StorageError(
            f"{shown}: must name a database (got none): add its name, as in {family}://user@host/database"
        )
    check_options(url.get_driver_name(), url.query, shown)
    if url.port is not None and not 0 < url.port <= _MOST_PORT:
        raise StorageError(f"{shown}: the port must be a number from 1 to {_MOST_PORT} (got {url.port})")
    path = _sqlite_path(url, shown) if family == "sqlite" else None
    return Address(url=url, shown=shown, family=family, path=path)


def _odd_character(text: str) -> str | None:
    """Return a character that no system call or server accepts, even if the URL spells it as %00."""
    found = UNSTORABLE.search(unquote(text))
    return None if found is None else ascii(found[0])


def _masked_url(text: str) -> str:
    """Return `text`, a URL or intended as one, with its password replaced by ***: it may contain blanks."""
    return mask_options(re.sub(r"((?:^|/)[^:/@]*):(?!//).*@", r"\1:***@", text, flags=re.DOTALL))


def _unknown_family(shown: str, family: str) -> str:
    near = nearest(family, _FAMILIES)
    hint = f'did you mean "{near}"?' if near else _EXAMPLES
    return f'{shown}: the database must be sqlite, postgresql, mysql or mariadb (got "{family}"): {hint}'


def _driver(url: URL, family: str, shown: str) -> str:
    """Return the driver that the URL names, or else the first installed one."""
    drivers = dict(_FAMILIES[family].drivers)
    _, _, named = url.drivername.partition("+")
    if named and named not in drivers:
        raise StorageError(
            f'{shown}: the driver must be {" or ".join(drivers)} (got "{named}"): '
            f"leave it out, as in {family}://..."
        )
    stock = _STOCK_DRIVERS.get(family)
    candidates = [named] if named else sorted(drivers, key=lambda driver: driver != stock)
    for driver in candidates:
        if find_spec(drivers[driver]) is not None:
            return driver
    raise StorageError(_missing_driver(shown, family, named or next(iter(drivers))))


def _missing_driver(shown: str, family: str, driver: str) -> str:
    ours = _FAMILIES[family].drivers[0][0]
    install = install_command(_FAMILIES[family].extra)
    remedy = install if driver == ours else f"write {family}://... and {install}, or install {driver}"
    return f"{shown}: needs the driver {driver}, which is not installed: {remedy}"


def _sqlite_path(url: URL, shown: str) -> Path:
    if url.host:
        raise StorageError(
            f"{shown}: the path of an SQLite file must follow three slashes (got two): "
            f"write {shown.replace('://', ':///', 1)}"
        )
    _check_sqlite_options(url, shown)
    name = url.database or ""
    if name in ("", ":memory:") or "mode=memory" in name or url.query.get("mode") == "memory":
        raise StorageError(
            f"{shown}: must be a file, because workers share it (got a database in memory): "
            "give a URL such as sqlite:///storage/hpsearch.db"
        )
    return Path(name.removeprefix("file:").partition("?")[0])


def _check_sqlite_options(url: URL, shown: str) -> None:
    is_uri = str(url.query.get("uri", "")).lower() in ("true", "yes", "on", "y", "t", "1")
    known = (*_SQLITE_OPTIONS, *_SQLITE_URI_OPTIONS) if is_uri else _SQLITE_OPTIONS
    for key in url.query:
        if key in known:
            continue
        if key in _SQLITE_URI_OPTIONS:
            remedy = f"write sqlite:///file:{url.database}?{key}={url.query[key]}&uri=true"
        else:
            near = nearest(key, known)
            remedy = f'did you mean "{near}"?' if near else "leave it out"
        raise StorageError(
            f'{shown}: options after the ? must be {", ".join(known[:-1])} or {known[-1]} (got "{key}"): '
            f"{remedy}"
        )


def prepare_file(address: Address, *, create: bool, is_source: bool = False) -> None:
    """Create the folder of an SQLite file, and refuse a path that cannot be an SQLite database. Does not open the file.

    Network file systems are refused if they can be recognized. With `create` False, the file must exist; one that
    `is_source`, filled by other programs, need not be writable. Raises StorageError.
    """
    path = address.path
    if path is None:
        return
    kind = _kind_of(path, address.shown)
    if kind is not None and kind != stat.S_IFREG:
        remedy = "add a name such as hpsearch.db" if kind == stat.S_IFDIR else "give the path of another one"
        raise StorageError(
            f"{address.shown}: must be a file (got {_FILE_KINDS.get(kind, 'something else')}): {remedy}"
        )
    if (mount := network_mount_of(path)) is not None:
        system, point = mount
        raise StorageError(
            f"{address.shown}: must not lie on a network file system, where SQLite's locks do not work "
            f"(got {system} at {point}): choose a local disk, or PostgreSQL or MariaDB"
        )
    if kind is None:
        if not create:
            remedy = "check the path" if is_source else "create a study first, or check the path"
            raise StorageError(f"{address.shown}: there is no such file (got {path}): {remedy}")
        _prepare_folder(path, address.shown)
        return
    _check_file(path, address.shown, create=create, is_source=is_source)


def _kind_of(path: Path, shown: str) -> int | None:
    """Return the kind of file at `path`, as distinguished by `stat.S_IFMT`, or None if nothing is there."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        is_long = error.errno == errno.ENAMETOOLONG
        remedy = "give a shorter one" if is_long else "check its name, and the mode of the folders above it"
        raise StorageError(f"{shown}: cannot be accessed ({error.strerror}): {remedy}") from error


def _prepare_folder(path: Path, shown: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file is where a folder should be" if in_the_way else error.strerror
        raise StorageError(
            f"{shown}: cannot be created ({reason}): choose a folder that you may write to"
        ) from error


def _check_file(path: Path, shown: str, *, create: bool, is_source: bool) -> None:
    # Only SQLite may open the file: a process that closes its own handle loses all locks that its connections to the
    # same file hold (https://www.sqlite.org/howtocorrupt.html, 2.2), and another process that closes its last
    # connection then deletes the log under them. SQLite itself refuses a file that is no database.
    mode, verbs = (os.R_OK, "read") if is_source else (os.R_OK | os.W_OK, "read and write")
    if not os.access(path, mode, effective_ids=os.access in os.supports_effective_ids):
        raise StorageError(
            f"{shown}: must be a file that you may {verbs} (Permission denied): check its owner and mode"
        )
    size_bytes = path.stat().st_size
    if 0 < size_bytes < _SMALLEST_PAGE_BYTES:  # SQLite overwrites files of a single byte
        raise StorageError(
            f"{shown}: must be an SQLite database, of at least {_SMALLEST_PAGE_BYTES} bytes (got {size_bytes}): "
            f"give the path of {'another file, or of none' if create else 'a database'}"
        )
