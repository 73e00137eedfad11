"""Data at URLs: downloads, the cache, and what goes wrong."""

import os
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from hpsearch.data.cache import DataCache, data_cache
from hpsearch.data.files import source_at, source_files
from hpsearch.data.remote import cached_copy, is_remote
from hpsearch.data.sources import load
from hpsearch.errors import DataError

CSV = "a,b,y\n" + "".join(f"{i},{i * i % 7},{'yes' if i % 2 else 'no'}\n" for i in range(20))


class _Handler(SimpleHTTPRequestHandler):
    downloads: list[str] = []  # noqa: RUF012 # cleared by the fixture

    def do_GET(self) -> None:
        if "secret" in self.path:
            self.send_error(403)
            return
        self.downloads.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """Provide a server of the folder `www`."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "d.csv").write_text(CSV)
    (folder / "secret.csv").write_text(CSV)
    _Handler.downloads.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """Provide the environment of a machine with an empty cache."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def test_a_copy_is_used_until_the_content_changes(
    server: ThreadingHTTPServer, environment: Mapping[str, str], tmp_path: Path
) -> None:
    """The second reading downloads nothing; a change on the server does; without the server the copy is read."""
    url = f"http://127.0.0.1:{server.server_port}/d.csv"
    first = load(url, environment=environment)
    assert (first.name, len(first.inputs)) == ("d", 20)
    load(url, environment=environment)
    assert _Handler.downloads == ["/d.csv"]
    changed = tmp_path / "www" / "d.csv"
    changed.write_text(CSV + "7,8,no\n")
    os.utime(changed, (1e9, 1e9))
    assert len(load(url, environment=environment).inputs) == 21
    server.shutdown()
    server.server_close()
    assert len(load(url, environment=environment).inputs) == 21


def test_every_failure_names_its_remedy(server: ThreadingHTTPServer, environment: Mapping[str, str]) -> None:
    """Missing and forbidden files, unknown formats and protocols, missing packages and passwords are told apart."""
    base = f"http://127.0.0.1:{server.server_port}"
    for url, message in {
        f"{base}/none.csv?sig=s3cret": r'the file must exist \(got "\S+/none.csv", not found there\)',
        f"{base}/secret.csv": "must be permitted to be read",
        f"{base}/page": r"the path of a URL must end in \.csv",
        "http://ann:s3cret@127.0.0.1/d.csv": "must hold no password",
        "s3://bucket/d.csv": r"s3:// needs a package that is not installed: .*\[s3\]",
        "gs://bucket/d.csv": r"gs:// needs a package that is not installed: .*\[gs\]",
        "nowhere://bucket/d.csv": "a URL of a known protocol",
        "http://127.0.0.1:9/d.csv": "must be reachable, or have been downloaded before",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            cached_copy(url, environment)
        assert "s3cret" not in str(caught.value)


def test_the_cache_is_private_listed_and_cleared(environment: Mapping[str, str]) -> None:
    """Any protocol of fsspec fills it; only the owner reads it; nothing unfinished stays; `clear` deletes all."""
    files = fsspec.filesystem("memory")
    files.pipe("/lake/d.csv", CSV.encode())
    path = cached_copy("memory://lake/d.csv", environment)
    assert path.read_text() == CSV
    cache = data_cache(environment)
    (item,) = cache.items()
    assert (item.url, item.files, item.size_bytes) == ("memory://lake/d.csv", ("d.csv",), len(CSV))
    assert path.parent == cache.item(item.digest)
    assert cache.folder.stat().st_mode & 0o077 == 0
    with pytest.raises(DataError, match="the cache must be writable"):
        _fill_a_full_disk(cache)
    assert len(list((cache.folder / "items").iterdir())) == 1
    cache.clear()
    assert cache.items() == []
    files.rm("/lake", recursive=True)


def _fill_a_full_disk(cache: DataCache) -> None:
    with cache.new_item() as unfinished:
        unfinished.write("x", lambda _: None)
        raise OSError(28, "No space left on device")


def test_a_source_is_read_from_copies_of_its_files(environment: Mapping[str, str], tmp_path: Path) -> None:
    """Bundled data has no files; a table has one; paths are no URLs."""
    table = tmp_path / "t.csv"
    table.write_text(CSV)
    assert source_files(str(table), environment) == [table]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (moved / "t.csv").write_text(CSV)
    assert source_at("/gone/t.csv", moved).source == str(moved / "t.csv")
    with pytest.raises(DataError, match="comes with scikit-learn"):
        source_files("iris", environment)
    with pytest.raises(DataError, match="the file must exist"):
        source_files("/gone/t.csv", environment)
    assert not is_remote("C:/t.csv")
