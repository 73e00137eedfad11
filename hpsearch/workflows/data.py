"""Store a study's data in its database, and this machine's cache of data from elsewhere."""

import os
from dataclasses import dataclass
from typing import final

from hpsearch.data.cache import CachedItem, data_cache
from hpsearch.data.files import source_files
from hpsearch.storage.data_files import PushedData
from hpsearch.storage.store import Store
from hpsearch.study.spec import check_trains_network
from hpsearch.worker.preparation import check_data, prepare_study
from hpsearch.workflows.listener import SILENT, Listener


def push_data(store: Store, name: str, *, listener: Listener = SILENT) -> PushedData:
    """Store the files of a study's data in its database, so that a worker needs the URL of the database alone.

    Raises DataError if they cannot be read here, FingerprintError if they are not the study's data, and StorageError if
    they are too large.
    """
    study = store.studies.get(name)
    check_trains_network(study.spec)
    files = source_files(study.spec.data.source, os.environ)
    with listener.stage("Reading the data"):
        check_data(study, prepare_study(study.spec).data)
    with listener.stage("Storing the data"):
        return store.data.push(study, files)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class CacheContents:
    """This machine's cache of data: its folder, and its items, the oldest first."""

    folder: str
    items: tuple[CachedItem, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(item.size_bytes for item in self.items)


def data_cache_contents(*, clear: bool = False) -> CacheContents:
    """Return the contents of the cache, which are deleted with `clear`: studies download them again if needed."""
    cache = data_cache(os.environ)
    contents = CacheContents(folder=str(cache.folder), items=tuple(cache.items()))
    if clear:
        cache.clear()
    return contents
