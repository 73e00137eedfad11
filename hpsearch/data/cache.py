"""This machine's cache of data from elsewhere: downloads by URL, and files that a database holds.

An item is a folder that is named by the SHA-256 of its contents and appears whole or not at all, so any number of
processes may fill the cache at the same time. Only its owner can read it: the data may be confidential.

```
$XDG_CACHE_HOME/hpsearch/data/          without the variable, ~/.cache
    items/<SHA-256>/train.csv
    urls/<SHA-256 of the URL>.json      which item a URL gave, and the validators of its server
```
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, final

from hpsearch.errors import DataError

_PRIVATE: Final = 0o700
_ABANDONED_S: Final = 86_400
"""Seconds after which an unfinished item belongs to a process that was killed."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CachedItem:
    """One item: its SHA-256, its URL (None if it is from a database), its files, its size, and its age (UTC)."""

    digest: str
    url: str | None
    files: tuple[str, ...]
    size_bytes: int
    stored: datetime


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CachedUrl:
    """The item that a URL gave last, and the `validators` of its server, which change with the content."""

    digest: str
    name: str
    validators: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True)
class DataCache:
    """The cache below `folder`, which need not exist."""

    folder: Path

    def item(self, digest: str) -> Path | None:
        """Return the folder of an item, or None if it is not cached."""
        path = self.folder / "items" / digest
        return path if path.is_dir() else None

    @contextmanager
    def new_item(self) -> Iterator["NewItem"]:
        """Yield an item to fill; without `keep`, nothing of it stays. Raises DataError if it cannot be written."""
        unfinished = self.folder / "items" / f".{secrets.token_hex(8)}.part"
        try:
            _make_private(self.folder)
            self._remove_abandoned()
            unfinished.mkdir(mode=_PRIVATE, parents=True)
            yield NewItem(unfinished)
        except OSError as error:
            raise DataError(
                f"data: the cache must be writable (got {self.folder}: {error.strerror or error}):"
                " make room, or set XDG_CACHE_HOME to a folder that can be written"
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def url(self, url: str) -> CachedUrl | None:
        """Return what is cached for a URL, or None if there is nothing."""
        try:
            found = json.loads(self._entry(url).read_text(encoding="utf-8"))
            cached = CachedUrl(
                digest=found["digest"], name=found["name"], validators=dict(found["validators"])
            )
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return cached if self.item(cached.digest) is not None else None

    def keep_url(self, url: str, cached: CachedUrl) -> None:
        """Record which item a URL gave."""
        entry = self._entry(url)
        entry.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        text = {
            "url": url,
            "digest": cached.digest,
            "name": cached.name,
            "validators": dict(cached.validators),
        }
        unfinished = entry.with_name(f".{secrets.token_hex(8)}.part")
        unfinished.write_text(json.dumps(text), encoding="utf-8")
        unfinished.replace(entry)

    def items(self) -> list[CachedItem]:
        """Return the items, the oldest first."""
        urls = {entry["digest"]: entry["url"] for entry in self._entries()}
        found = [
            _described(path, urls.get(path.name))
            for path in sorted((self.folder / "items").glob("[0-9a-f]*"))
            if path.is_dir()
        ]
        return sorted(found, key=lambda item: item.stored)

    def clear(self) -> None:
        """Delete everything. Raises DataError if that is not permitted."""
        try:
            if self.folder.exists():
                shutil.rmtree(self.folder)
        except OSError as error:
            raise DataError(
                f"data: the cache must be writable to be cleared (got {error.filename}: {error.strerror}):"
                " correct its permissions"
            ) from error

    def _entry(self, url: str) -> Path:
        return self.folder / "urls" / f"{hashlib.sha256(url.encode()).hexdigest()}.json"

    def _entries(self) -> Iterator[Mapping[str, Any]]:
        for path in (self.folder / "urls").glob("*.json"):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(path.read_text(encoding="utf-8"))

    def _remove_abandoned(self) -> None:
        for path in (self.folder / "items").glob(".*.part"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(path)


@final
@dataclass(frozen=True, slots=True)
class NewItem:
    """An item that is being filled, in an unfinished `folder` of its own."""

    folder: Path

    def write(self, name: str, fill: Callable[[Callable[[bytes], object]], None]) -> str:
        """Write a file; `fill` gets the function that takes its bytes. Return the SHA-256 of its content."""
        digest = hashlib.sha256()
        with (self.folder / name).open("xb") as file:

            def take(content: bytes) -> None:
                digest.update(content)
                file.write(content)

            fill(take)
            file.flush()
            os.fsync(file.fileno())
        return digest.hexdigest()

    def keep(self, digest: str) -> Path:
        """Make this the item of that name, unless another process was faster, and return its folder."""
        kept = self.folder.parent / digest
        with contextlib.suppress(OSError):  # it is there, with the same contents
            self.folder.rename(kept)
        if not kept.is_dir():
            raise FileNotFoundError(2, "the item could not be moved to its place", str(kept))
        return kept


def data_cache(environment: Mapping[str, str]) -> DataCache:
    """Return this machine's cache, by the XDG rules. Raises DataError if no folder is known."""
    if named := environment.get("XDG_CACHE_HOME"):
        return DataCache(Path(named) / "hpsearch" / "data")
    home = environment.get("HOME") or environment.get("USERPROFILE")
    if not home:
        raise DataError(
            "data: data from elsewhere is cached in a folder (got neither XDG_CACHE_HOME nor HOME): set one of them"
        )
    return DataCache(Path(home) / ".cache" / "hpsearch" / "data")


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if os.name == "posix" and folder.stat().st_mode & 0o077:
        folder.chmod(_PRIVATE)


def _described(path: Path, url: str | None) -> CachedItem:
    files = sorted(file for file in path.iterdir() if file.is_file())
    return CachedItem(
        digest=path.name,
        url=url,
        files=tuple(file.name for file in files),
        size_bytes=sum(file.stat().st_size for file in files),
        stored=datetime.fromtimestamp(path.stat().st_mtime, UTC),
    )
