"""The open database that a study and its trials share."""

import os
import weakref
from typing import final

from hpsearch.api.arguments import text
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.workflows.default_storage import default_storage


@final
class DatabaseAccess:
    """A database that is open as long as an object uses it. Tables of ours may be missing in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store: Store = open_store(url, foreign=True)
        self._finalizer = weakref.finalize(self, self.store.close)

    def __reduce__(self) -> tuple[type["DatabaseAccess"], tuple[str]]:
        """Copy and pickle the URL, with its password if it has one: the copy opens the database again."""
        return DatabaseAccess, (self.url,)


def url_of(storage: str | None) -> str:
    """Return the URL of the database: the given one, or that which the command line takes."""
    return default_storage(os.environ) if storage is None else text("storage", storage)


def access_study(url: str, name: str) -> tuple[DatabaseAccess, StoredStudy]:
    """Return the database at `url`, and its study of that name. Raises StorageError, and StudyNotFoundError."""
    access = DatabaseAccess(url)
    return access, access.store.studies.get_any(name)
