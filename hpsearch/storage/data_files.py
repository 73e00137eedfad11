"""The files of studies' data in the database: in parts, by content, each stored once.

Functions run inside their caller's transaction.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from sqlalchemy import Connection, delete, insert, select

from hpsearch.errors import Problem, StorageError
from hpsearch.storage import schema
from hpsearch.storage.engine import Transactions
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.statements import write_rows
from hpsearch.storage.stored_studies import LockedStudy, change, lock_blobs, remove_unused_blobs, row_of
from hpsearch.storage.stored_values import checked_row, raw_columns, shown_value
from hpsearch.study.messages import format_size

PART_BYTES: Final = 256 * 2**10
"""Uncompressed bytes of a part. With escapes it stays below 1 MiB, the least `max_allowed_packet` of old servers."""

MOST_BYTES: Final = 256 * 2**20
"""Most bytes of a study's files: the transaction that stores them holds the study's lock for seconds."""

_PARTS_AT_ONCE: Final = 16

_data = schema.data
_blobs = schema.blobs


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFiles:
    """The files of a study in the database: name -> the SHA-256 of each part, in order."""

    parts: Mapping[str, tuple[str, ...]]

    @property
    def digest(self) -> str:
        """The SHA-256 of the names and parts, which identifies the contents."""
        lines = [f"{name}\n{' '.join(self.parts[name])}\n" for name in sorted(self.parts)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PushedData:
    """The result of storing a study's files: their number, and their compressed size, of which `new_bytes` were new."""

    files: int
    size_bytes: int
    new_bytes: int


@final
class DataFiles:
    """The files of all studies' data. Threads may share it. Methods raise StudyNotFoundError for a deleted study."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def push(self, study: StoredStudy, files: Sequence[Path]) -> PushedData:
        """Store files as the study's, in place of those from before. Parts that the database has are not stored again.

        Raises StorageError if they are too large, or a name cannot be read back.
        """
        for path in files:
            if not is_file_name(path.name):
                raise StorageError(
                    f'study "{study.spec.name}": a file\'s name must not have a colon, a backslash or a control '
                    f"character to be stored in the database (got {path.name!r}): rename the file"
                )
        size = sum(path.stat().st_size for path in files)
        if size > MOST_BYTES:
            raise StorageError(
                f'study "{study.spec.name}": its data must be at most {format_size(MOST_BYTES)} to be stored in the '
                f"database (got {format_size(size)}): put it on a server, and name its URL as data.source"
            )
        parts = {path.name: tuple(_parts_of(path)) for path in files}
        return change(self._transactions, study, _push, parts)

    def of_study(self, study: StoredStudy) -> StoredFiles | None:
        """Return the study's files, or None if none are stored."""
        return None if study.foreign is not None else self._transactions.read(_of_study, study)

    def read(self, files: StoredFiles, name: str, take: Callable[[bytes], object]) -> None:
        """Pass the content of a file to `take`, part by part. Raises StorageError for missing and damaged parts."""
        digests = files.parts[name]
        for i in range(0, len(digests), _PARTS_AT_ONCE):
            wanted = digests[i : i + _PARTS_AT_ONCE]
            found = self._transactions.read(_payloads, wanted)
            for digest in wanted:
                take(_content(found.get(digest), digest, name))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    digest: str
    payload: bytes


def _parts_of(path: Path) -> Iterator[_Part]:
    with path.open("rb") as file:
        while content := file.read(PART_BYTES):
            yield _Part(digest=hashlib.sha256(content).hexdigest(), payload=zlib.compress(content, level=1))


def _push(connection: Connection, locked: LockedStudy, parts: Mapping[str, tuple[_Part, ...]]) -> PushedData:
    key = locked.study.key
    lock_blobs(connection)
    connection.execute(delete(_data).where(_data.c.study_key == key))
    every = {part.digest: part for own in parts.values() for part in own}
    known = set(connection.execute(select(_blobs.c.digest).where(_blobs.c.digest.in_(every))).scalars())
    new = [part for part in every.values() if part.digest not in known]
    for part in new:
        connection.execute(insert(_blobs).values(digest=part.digest, payload=part.payload))
    rows = [
        {"study_key": key, "file": name, "part": i, "digest": part.digest}
        for name, own in parts.items()
        for i, part in enumerate(own)
    ]
    write_rows(connection, _data, rows)
    remove_unused_blobs(connection)
    return PushedData(
        files=len(parts),
        size_bytes=sum(len(part.payload) for part in every.values()),
        new_bytes=sum(len(part.payload) for part in new),
    )


def copy_files(connection: Connection, key: str, new_key: str) -> None:
    """Give a copy of a study in the same database the same files."""
    rows = connection.execute(select(_data).where(_data.c.study_key == key)).mappings()
    write_rows(connection, _data, [{**row, "study_key": new_key} for row in rows])


def copy_files_between(source: Connection, key: str, target: Connection, new_key: str) -> None:
    """Give a study's copy in another database its files. Raises StorageError for missing and damaged parts."""
    rows = source.execute(select(_data).where(_data.c.study_key == key)).mappings().all()
    if not rows:
        return
    lock_blobs(target)
    names = {str(row["digest"]): str(row["file"]) for row in rows}
    digests = list(names)
    for i in range(0, len(digests), _PARTS_AT_ONCE):
        wanted = digests[i : i + _PARTS_AT_ONCE]
        known = set(target.execute(select(_blobs.c.digest).where(_blobs.c.digest.in_(wanted))).scalars())
        found = _payloads(source, wanted)
        for digest in wanted:
            _content(found.get(digest), digest, names[digest])
            if digest not in known:
                target.execute(insert(_blobs).values(digest=digest, payload=found[digest]))
    write_rows(target, _data, [{**row, "study_key": new_key} for row in rows])


def data_problems(connection: Connection, key: str) -> Iterator[Problem]:
    """Yield the problems of a study's files: their names, the numbers of their parts, and the contents.

    Raises StorageError for a value that no row may have.
    """
    listed: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for raw in connection.execute(
        select(*raw_columns(connection, list(_data.c))).where(_data.c.study_key == key)
    ):
        row = checked_row(_data, raw._mapping, where="a file")  # noqa: SLF001  # SQLAlchemy's public name
        listed.setdefault(row["file"], []).append(row["part"])
        names[row["digest"]] = row["file"]
    for name, parts in listed.items():
        if not is_file_name(name):
            yield _problem("hpsearch_data", "file", "must be a name without a folder", name)
        if sorted(parts) != list(range(len(parts))):
            yield _problem("hpsearch_data", "part", "must run from 0 without gaps", sorted(parts)[:10])
    for digest, name in names.items():
        payloads = select(*raw_columns(connection, [_blobs.c.payload])).where(_blobs.c.digest == digest)
        found = connection.execute(payloads).scalars().all()
        if len(found) != 1 or not _is_content(found[0], digest):
            rule = f"must be the content of one part of {name[:100]!r}, with this SHA-256"
            yield _problem("hpsearch_blobs", "digest", rule, digest)


def _problem(table: str, column: str, rule: str, value: object) -> Problem:
    return Problem(where=f"table {table}, column {column}", message=f"{rule} (got {shown_value(value)})")


def is_file_name(name: str) -> bool:
    """Return True for a name that stays in the folder in which its file is written."""
    return name not in ("", ".", "..") and name.isprintable() and not set(name) & set("/\\:")


def _of_study(connection: Connection, study: StoredStudy) -> StoredFiles | None:
    row_of(connection, study)
    rows = connection.execute(
        select(_data.c.file, _data.c.digest)
        .where(_data.c.study_key == study.key)
        .order_by(_data.c.file, _data.c.part)
    )
    parts: dict[str, list[str]] = {}
    for row in rows:
        if not is_file_name(row.file):
            raise StorageError(
                f"hpsearch_data: file must be a name without a folder (got {row.file[:100]!r})"
            )
        parts.setdefault(row.file, []).append(row.digest)
    return StoredFiles(parts={name: tuple(digests) for name, digests in parts.items()}) if parts else None


def _payloads(connection: Connection, digests: Sequence[str]) -> dict[str, bytes]:
    rows = connection.execute(select(_blobs).where(_blobs.c.digest.in_(digests)))
    return {row.digest: row.payload for row in rows}


def _unpacked(payload: object) -> bytes:
    """Return the content of a part, never more than one byte above `PART_BYTES`; nothing if it cannot be read."""
    if not isinstance(payload, bytes):  # a file from elsewhere may hold any type
        return b""
    try:
        return zlib.decompressobj().decompress(payload, PART_BYTES + 1)
    except zlib.error:
        return b""


def _is_content(payload: object, digest: str) -> bool:
    return isinstance(payload, bytes) and hashlib.sha256(_unpacked(payload)).hexdigest() == digest


def _content(payload: object, digest: str, name: str) -> bytes:
    """Return the content of a part. Raises StorageError unless it has the digest."""
    content = _unpacked(payload)
    if not _is_content(payload, digest):
        got = f"{len(payload):,} other bytes" if isinstance(payload, bytes) else "none"
        raise StorageError(
            f"hpsearch_blobs: part {digest[:12]} of {name} must be as it was stored (got {got}): "
            "store the data again with `hpsearch data push STUDY`, or restore a backup"
        )
    return content
