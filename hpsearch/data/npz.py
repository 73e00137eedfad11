"""NumPy archives with the arrays x and y."""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from hpsearch.data.dataset import Array, RawData
from hpsearch.data.memory import check_size
from hpsearch.errors import DataError

ARCHIVE_ERRORS: Final = (
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,  # an unknown compression
    RuntimeError,  # an encrypted archive
    SyntaxError,  # a header that is no dictionary
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
)
"""The exceptions of a damaged archive."""


def read_npz(path: Path) -> RawData:
    """Return the arrays x (N, ...) and y (N,) or (N, O) of `path`.

    An array `features` (I,) of text, if there is one, names the inputs. Bytes, or more than one axis per example, mean
    images. Pickled objects are refused, never loaded. Raises DataError if the file is no such archive.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: must be an .npz archive, which is a zip file (got {path.stat().st_size:,} bytes"
            " of something else): write it with numpy.savez"
        )
    inputs, targets, features = _read_arrays(path)
    return RawData(
        inputs=inputs,
        targets=targets,
        where=str(path),
        origin=str(path),
        features=features,
        is_image=inputs.dtype == np.uint8 or inputs.ndim > 2,
    )


def read_array(path: Path, name: str) -> Array:
    """Return the array `name` (N,) of an archive. Raises DataError if there is none, or it holds objects."""
    try:
        check_claims(path, (name,))
        with np.load(path, allow_pickle=False) as archive:
            if name not in archive.files:
                raise DataError(
                    f'{path}: must hold the array "{name}" by which it is split (got {", ".join(archive.files)}):'
                    " write it too, or name another one"
                )
            found: Array = archive[name]
            return found
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f'{path}: "{name}" must be a whole array of numbers or text (got "{error}"): write the file again'
        ) from error


def _read_arrays(path: Path) -> tuple[Array, Array, tuple[str, ...]]:
    try:
        check_claims(path, ("x", "y", "features"))
        with np.load(path, allow_pickle=False) as archive:
            missing = {"x", "y"} - set(archive.files)
            if missing:
                raise DataError(
                    f"{path}: must hold the arrays x and y (got {', '.join(archive.files) or 'none'}):"
                    " write it with numpy.savez(path, x=inputs, y=targets)"
                )
            inputs = archive["x"]
            return inputs, archive["y"], _features(archive, width=math.prod(inputs.shape[1:]))
    except ARCHIVE_ERRORS as error:
        raise DataError(
            f'{path}: x and y must be whole arrays of numbers or text (got "{error}"): write the file again'
        ) from error
    except MemoryError as error:
        raise DataError(f"{path}: must fit into memory (got more): take fewer rows") from error


def _features(archive: Mapping[str, Array], *, width: int) -> tuple[str, ...]:
    """Return the names of the inputs, or none if the archive has no such array, or one that means something else."""
    try:
        names = archive.get("features")
    except ValueError:  # objects
        return ()
    is_named = names is not None and names.dtype.kind == "U" and names.shape == (width,)
    return tuple(names.tolist()) if names is not None and is_named else ()


def check_claims(path: Path, names: Collection[str] | None = None) -> None:
    """Raise DataError or ValueError for an array of another size than its head declares, or larger than memory.

    `names` are the arrays that are checked, by default all.
    """
    with zipfile.ZipFile(path) as archive:
        found = archive.namelist()
        for name in found if names is None else {f"{name}.npy" for name in names} & set(found):
            info = archive.getinfo(name)
            with archive.open(info) as file:
                head = _head_of(file)
                claimed = file.tell() + math.prod(head[0]) * head[2].itemsize
            if claimed != info.file_size and not head[2].hasobject:
                raise ValueError(f"{name} declares {claimed:,} bytes, and has {info.file_size:,}")
            check_size(info.file_size, f"{path}: {name}")


def _head_of(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and dtype of the array in `file`, positioned at its numbers."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
