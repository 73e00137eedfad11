"""The files that a source is read from, to store them elsewhere, and a source that is read from such files."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from hpsearch.data.idx import idx_files
from hpsearch.data.mnist import fetch_mnist
from hpsearch.data.sources import local_path
from hpsearch.errors import DataError
from hpsearch.study.schema import BUILTIN_SOURCES


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SourceAt:
    """A source, and the environment variables with which it is read."""

    source: str
    environment: Mapping[str, str]


def source_files(source: str, environment: Mapping[str, str]) -> list[Path]:
    """Return the files of a source on this machine, after a download if it is not here.

    Raises DataError if it has none, because it comes with scikit-learn, and if they cannot be read.
    """
    if source == "mnist":
        return idx_files(fetch_mnist(environment))
    if source in BUILTIN_SOURCES:
        raise DataError(
            f'data.source: must be files to be stored (got "{source}", which comes with'
            " scikit-learn): leave it as it is"
        )
    path = Path(local_path(source, environment))
    if not path.exists():
        raise DataError(f'data.source: the file must exist (got "{path}"): correct the path')
    return idx_files(path) if path.is_dir() else [path]


def source_at(source: str, files: Path) -> SourceAt:
    """Return `source` as it is read from the folder `files`, which holds the `source_files` of another machine."""
    if source == "mnist":
        return SourceAt(source=source, environment={**os.environ, "HPSEARCH_MNIST": str(files)})
    (first, *others) = sorted(files.iterdir())
    return SourceAt(source=str(files if others else first), environment=os.environ)
