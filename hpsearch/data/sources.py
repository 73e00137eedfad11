"""Sources of data: built-in names, and paths of files and folders."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

import numpy as np

from hpsearch.data.bundled import BUNDLED, read_bundled
from hpsearch.data.csv_table import read_csv
from hpsearch.data.dataset import Dataset, RawData, dataset_from
from hpsearch.data.idx import read_folder
from hpsearch.data.mnist import read_mnist
from hpsearch.data.npz import read_array, read_npz
from hpsearch.data.parquet_table import read_parquet
from hpsearch.data.remote import cached_copy, is_remote
from hpsearch.data.split_column import checked_split_column, read_split_column
from hpsearch.data.stored_arrays import SPLIT_COLUMN, find_stored, is_stored, read_stored
from hpsearch.data.table import TableError, TableReading
from hpsearch.errors import DataError
from hpsearch.study.messages import remedy_for
from hpsearch.study.schema import BUILTIN_SOURCES, PATH_SUFFIXES, TEXT_SUFFIXES
from hpsearch.study.spec import KnownTask, Task

_TEXT: Final = (*TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES))
_TABLES: Final = (*_TEXT, ".parquet")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltIn:
    """A source that has a name of its own.

    `examples` are those that a study splits, `sealed` those that the source keeps apart as a test set. `classes` is 0
    in regression. `origin` names the data's origin and licence.
    """

    name: str
    description: str
    task: KnownTask
    examples: int
    inputs: int
    classes: int
    origin: str
    sealed: int = 0


CATALOGUE: Final = (
    BuiltIn(
        name="digits",
        description="handwritten digits, 8 x 8 pixels of 0 to 16",
        task="classification",
        examples=1797,
        inputs=64,
        classes=10,
        origin="E. Alpaydin, C. Kaynak: UCI Machine Learning Repository, CC BY 4.0; in scikit-learn",
    ),
    BuiltIn(
        name="breast_cancer",
        description="cell nuclei of breast masses, malignant or benign",
        task="classification",
        examples=569,
        inputs=30,
        classes=2,
        origin="W. Wolberg et al.: UCI Machine Learning Repository, CC BY 4.0; in scikit-learn",
    ),
    BuiltIn(
        name="wine",
        description="chemical analysis of wines from three cultivars",
        task="classification",
        examples=178,
        inputs=13,
        classes=3,
        origin="S. Aeberhard, M. Forina: UCI Machine Learning Repository, CC BY 4.0; in scikit-learn",
    ),
    BuiltIn(
        name="iris",
        description="lengths and widths of the sepals and petals of three kinds of iris",
        task="classification",
        examples=150,
        inputs=4,
        classes=3,
        origin="R. A. Fisher: UCI Machine Learning Repository, CC BY 4.0; in scikit-learn",
    ),
    BuiltIn(
        name="diabetes",
        description="progression of diabetes one year after ten measurements",
        task="regression",
        examples=442,
        inputs=10,
        classes=0,
        origin="B. Efron et al., Least Angle Regression (2004); in scikit-learn, BSD-3-Clause",
    ),
    BuiltIn(
        name="mnist",
        description="handwritten digits, 28 x 28 pixels of 0 to 255",
        task="classification",
        examples=60_000,
        inputs=784,
        classes=10,
        origin="Y. LeCun, C. Cortes, C. Burges, CC BY-SA 3.0; HPSEARCH_MNIST or openml.org",
        sealed=10_000,
    ),
)
"""The built-in sources, known without reading one."""


def load(
    source: str,
    *,
    target: str | None = None,
    task: Task = "auto",
    reading: TableReading | None = None,
    environment: Mapping[str, str],
) -> Dataset:
    """Return the data set that `source` names.

    `source` is a built-in name, the path or URL of a file that ends in one of PATH_SUFFIXES, or the path of a folder of
    IDX files; a leading `~` is HOME. A built-in name wins over a file of that name. `target` names the target column of
    a table, and `reading` decides about its header and columns; its `split_column` is no input, and may be an array of
    an `.npz` archive. `environment` holds the process's environment variables, of which HPSEARCH_DATA, HPSEARCH_MNIST,
    HOME, XDG_CACHE_HOME and SCIKIT_LEARN_DATA are read. Raises DataError for data that cannot be used.
    """
    try:
        if source not in BUILTIN_SOURCES:
            source = local_path(source, environment)
        reading = reading or TableReading()
        read = _read if reading.split_column is None else _read_with_split_column
        raw = read(source, target, task, reading, environment)
    except MemoryError as error:
        raise DataError(f"{source}: must fit into memory (got more): take fewer rows or columns") from error
    except OSError as error:
        raise DataError(
            f'{source}: must be readable (got "{error.strerror or error}"): check the file and its permissions'
        ) from error
    name = source if source in BUILTIN_SOURCES else Path(source).stem
    try:
        return dataset_from(raw, name=name, task=task)
    except DataError as error:
        raise TableError(str(error), raw.uses) from error


def local_path(source: str, environment: Mapping[str, str]) -> str:
    """Return the path at which a source that is no built-in one is read here, downloaded if it is a URL."""
    if is_remote(source):
        return str(cached_copy(source, environment))
    if source.startswith("~/") and environment.get("HOME"):
        return environment["HOME"] + source[1:]
    return find_stored(source, environment) if is_stored(source) else source


def _read_with_split_column(
    source: str, target: str | None, task: Task, reading: TableReading, environment: Mapping[str, str]
) -> RawData:
    """Return the data without the column that decides about the split, and that column apart."""
    path, split_column = Path(source), str(reading.split_column)
    is_table = source.lower().endswith(_TABLES)
    if not is_table and not source.lower().endswith(".npz"):
        raise DataError(
            f'data.group and data.time: only tables and .npz archives have columns to split by (got "{split_column}"'
            f" for {source}): leave it out"
        )
    if not is_table:
        raw = _read(source, target, task, reading, environment)
        values = read_array(path, SPLIT_COLUMN if is_stored(source) else split_column)
        found = checked_split_column(values, split_column, where=source)
    else:
        # Read first: an error about its name must not be one about data.drop.
        found = np.array(read_split_column(path, split_column, target=target, reading=reading), np.str_)
        others = replace(reading, drop=(*(reading.drop or ()), split_column))
        raw = _read(source, target, task, others, environment)
    if len(found) != len(raw.targets):
        raise DataError(
            f'{source}: "{split_column}" must have one value per example (got {len(found)} values and'
            f" {len(raw.targets)} examples): make them equally long"
        )
    note = f'column "{split_column}" decides about the split and is no input'
    return replace(raw, split_column=found, notes=(*raw.notes, *([note] if is_table else [])))


def _read(
    source: str, target: str | None, task: Task, reading: TableReading, environment: Mapping[str, str]
) -> RawData:
    path = Path(source)
    if not source.lower().endswith(_TABLES):
        column = next((rule.name for rule in reading.columns), None)
        for key, name in (("target", target), ("drop", (reading.drop or (None,))[0]), ("columns", column)):
            if name is not None:
                raise DataError(
                    f'data.{key}: only columns of tables have names (got "{name}" for {source}): leave it out'
                )
    if reading.header in ("yes", "no") and not source.lower().endswith(_TEXT):
        raise DataError(
            f'data.header: only tables in text have a line for it (got "{reading.header}" for {source}): leave it out'
        )
    if source == "mnist":
        return read_mnist(environment)
    if source in BUNDLED:
        return read_bundled(source)
    if not path.exists():
        raise _not_found(source)
    return _read_path(path, target, task, reading)


def _read_path(path: Path, target: str | None, task: Task, reading: TableReading) -> RawData:
    if path.is_dir():
        return read_folder(path)
    name = path.name.lower()
    if not name.endswith(PATH_SUFFIXES):
        suffixes = f"{', '.join(TEXT_SUFFIXES)} (these also with .gz), .parquet or .npz"
        raise DataError(
            f'data.source: a file must end in {suffixes} (got "{path}"): convert it to one of these'
        )
    if not path.is_file():
        raise DataError(f"{path}: must be a regular file (got something else): put the data there")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: a data file must hold something (got 0 bytes): give it data")
    if name.endswith(".npz"):
        return read_stored(path) if is_stored(str(path)) else read_npz(path)
    if name.endswith(".parquet"):
        return read_parquet(path, target=target, task=task, reading=reading)
    return read_csv(path, target=target, task=task, reading=reading)


def _not_found(source: str) -> DataError:
    """Return the error for a source that is no file; one without folder and suffix counts as a misspelt name."""
    path = Path(source)
    if path.suffix or path.name != source:
        return DataError(
            f'data.source: the file must exist (got "{source}", that is {path.absolute()}): correct the path'
        )
    return DataError(
        f'data.source: must be a built-in name, or a file or folder (got "{source}"):'
        f" {remedy_for(source, BUILTIN_SOURCES)}"
    )
