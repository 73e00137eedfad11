"""This machine's cache of data from elsewhere, from Python."""

from __future__ import annotations

from hpsearch.api.border import public
from hpsearch.workflows.data import CacheContents, data_cache_contents


@public
def data_cache(*, clear: bool = False) -> CacheContents:
    """Return what this machine has cached of data from URLs and databases, the oldest first; delete it with `clear`.

    >>> found = hpsearch.data_cache()
    >>> [(item.url, item.files, item.size_bytes) for item in found.items]
    []
    >>> found.size_bytes
    0

    Studies download deleted data again if they need it.
    """
    return data_cache_contents(clear=clear)
