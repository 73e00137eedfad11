"""The five small data sets that come with scikit-learn.

Importing scikit-learn takes most of a second, in every worker. Its tables are plain files, so they are read as files;
scikit-learn itself is imported only if a file has changed. Tests keep both ways equal.
"""

import csv
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, final

import numpy as np

from hpsearch.data.dataset import Array, RawData


@final
class Table(NamedTuple):
    """Inputs (N, I), targets (N,), and the names of the classes 0, 1, ... (none in regression)."""

    inputs: Array
    targets: Array
    labels: tuple[str, ...]


_Reader: TypeAlias = Callable[[Path], Table]


def read_bundled(name: str) -> RawData:
    """Return one of `BUNDLED`. `diabetes` is in its measured units: the study scales it, not the source."""
    try:
        table = read_shipped(name)
    except (OSError, ValueError):
        # Another version of scikit-learn keeps its tables elsewhere, or in another form.
        table = read_public(name)
    return RawData(
        inputs=table.inputs,
        targets=table.targets,
        where=name,
        origin=f"{name}, as it comes with scikit-learn",
        labels=table.labels,
        task="auto" if table.labels else "regression",
        is_image=name == "digits",
    )


def read_shipped(name: str) -> Table:
    """Return the table from scikit-learn's own files, without importing it.

    Raises OSError or ValueError if they are missing or look different.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise FileNotFoundError("scikit-learn")
    return _READERS[name](Path(package.origin).parent / "datasets" / "data")


def read_public(name: str) -> Table:
    """Return the same table through scikit-learn's public functions."""
    from sklearn import datasets  # noqa: PLC0415 - a second of imports that are rarely needed

    options = {"scaled": False} if name == "diabetes" else {}
    bunch: Any = getattr(datasets, f"load_{name}")(**options)
    labels = () if name == "diabetes" else tuple(str(label) for label in bunch.target_names)
    return Table(np.asarray(bunch.data), np.asarray(bunch.target), labels)


def _with_head(file_name: str) -> _Reader:
    """Return a reader of tables with the first line: examples, inputs, names of the classes."""

    def read(folder: Path) -> Table:
        path = folder / file_name
        with path.open(newline="", encoding="utf-8") as file:
            examples, inputs, *labels = next(csv.reader(file))
        numbers = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        return _split_off_targets(numbers, (int(examples), int(inputs)), tuple(labels))

    return read


def _digits(folder: Path) -> Table:
    numbers = np.loadtxt(folder / "digits.csv.gz", delimiter=",", ndmin=2)
    return _split_off_targets(numbers, (1797, 64), tuple("0123456789"))


def _diabetes(folder: Path) -> Table:
    inputs = np.loadtxt(folder / "diabetes_data_raw.csv.gz", ndmin=2)
    targets = np.loadtxt(folder / "diabetes_target.csv.gz")
    if inputs.shape != (442, 10) or targets.shape != (442,):
        raise ValueError(f"diabetes: shapes {inputs.shape} and {targets.shape}")
    return Table(inputs, targets, ())


def _split_off_targets(numbers: Array, shape: tuple[int, int], labels: tuple[str, ...]) -> Table:
    examples, inputs = shape
    if numbers.shape != (examples, inputs + 1):
        raise ValueError(f"{numbers.shape} is not {examples} rows of {inputs} inputs and a target")
    return Table(numbers[:, :-1], numbers[:, -1].astype(np.int64), labels)


_READERS: Final[Mapping[str, _Reader]] = {
    "digits": _digits,
    "breast_cancer": _with_head("breast_cancer.csv"),
    "wine": _with_head("wine_data.csv"),
    "iris": _with_head("iris.csv"),
    "diabetes": _diabetes,
}

BUNDLED: Final = tuple(_READERS)
"""The names of the data sets that come with scikit-learn."""
