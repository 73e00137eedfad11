"""The data of a study from Python: a source by name or path, a table of keys, arrays or a data frame."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy.typing as npt

from hpsearch.api.options import DataOptions
from hpsearch.errors import UsageError

ArrayLike: TypeAlias = npt.ArrayLike
Data: TypeAlias = str | DataOptions | tuple[npt.ArrayLike, npt.ArrayLike]


def data_table(data: object, *, target: str | None, storage: str | None) -> dict[str, Any]:  # noqa: ARG001
    """Return the table `[data]` of `data`: a source, the table itself, arrays `(X, y)`, or a data frame.

    Arrays and frames are stored next to the database `storage`; None is for a diagnosis, which has no database.
    """
    table: dict[str, Any] = {}
    if isinstance(data, str):
        table = {"source": data}
    elif isinstance(data, Mapping):
        table = dict(data)
    elif data is not None:
        raise UsageError(
            f"data: must be a source or a table of keys (got {type(data).__name__}): save it as a file"
        )
    return table if target is None else {**table, "target": target}
