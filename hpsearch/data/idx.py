"""IDX, the file format of MNIST, and folders of four such files.

A file is two zero bytes, one byte for the type, one for the number of axes, the length of each axis as a
big-endian uint32, and the numbers in C order, big-endian (Y. LeCun, "The MNIST database", "File formats").
"""

import gzip
import math
import os
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.dataset import Array, RawData, SourceExamples
from hpsearch.data.memory import LARGEST_RATIO, check_size
from hpsearch.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_MOST_AXES = 64  # NumPy has no more
_UNFINISHED = ".part"


def read_idx(path: Path) -> Array:
    """Return the array in `path`, plain or gzipped, in this machine's byte order. It may be read-only.

    No more is unpacked than the file's head declares. Raises DataError for a file of another format, of another length
    than its head declares, or larger than memory.
    """
    try:
        with _opened(path) as file:
            dtype, shape = _head(file, path)
            start, size = 4 + 4 * len(shape), math.prod(shape) * dtype.itemsize
            _check_claim(start + size, path)
            content = file.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f'{path}: must be a whole gzip file (got "{error}"): copy or download it again'
        ) from error
    if len(content) != size:
        more = " or more" if len(content) > size else ""
        raise _wrong_length(path, start + size, f"{start + len(content):,}{more}", exactly=True)
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _opened(path: Path) -> BufferedIOBase:
    """Return `path` opened for reading, unpacked if it is gzipped. Raises DataError for a pipe, which may never end."""
    if not path.is_file():
        raise DataError(f"{path}: must be a regular file (got something else): put the data there")
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP
    return gzip.open(path, "rb") if is_packed else path.open("rb")


def _head(file: BufferedIOBase, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the type and the shape in the file's head."""
    dtype, axes = _type_and_axes(file.read(4), path)
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise _wrong_length(path, 4 + 4 * axes, f"{4 + len(lengths):,}", exactly=False)
    return dtype, tuple(int(n) for n in np.frombuffer(lengths, ">u4"))


def _check_claim(size_bytes: int, path: Path) -> None:
    """Raise DataError if the file cannot have the length that its head declares, or memory cannot hold it."""
    packed = path.stat().st_size
    if size_bytes > packed * LARGEST_RATIO:
        raise _wrong_length(path, size_bytes, f"{packed:,} on the disk", exactly=True)
    check_size(size_bytes, str(path))


def _wrong_length(path: Path, size_bytes: int, got: str, *, exactly: bool) -> DataError:
    return DataError(
        f"{path}: must be {size_bytes:,} bytes long{'' if exactly else ' at least'}, as its header requires"
        f" (got {got}): copy or download it again"
    )


def _type_and_axes(head: bytes, path: Path) -> tuple[np.dtype[Any], int]:
    """Return the dtype and the number of axes that the first four bytes name."""
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or not 1 <= head[3] <= _MOST_AXES:
        raise DataError(
            f"{path}: an IDX file must begin with two zero bytes, a known type and a number of axes"
            f" (got {head.hex(' ') or 'an empty file'}): check that it is an IDX file"
        )
    return np.dtype(_TYPES[head[2]]), head[3]


def write_idx(path: Path, array: Array) -> None:
    """Write `array` to `path`, plain, completely or not at all. Its type must be one that IDX has."""
    codes = {np.dtype(name).newbyteorder("="): code for code, name in _TYPES.items()}
    head = bytes([0, 0, codes[array.dtype], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    unfinished = path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")
    unfinished.write_bytes(head + array.astype(array.dtype.newbyteorder(">")).tobytes())
    unfinished.replace(path)


def read_folder(folder: Path) -> RawData:
    """Return the training files of `folder`, with the t10k files as the sealed part if they exist.

    Names are MNIST's own (`train-images-idx3-ubyte`), with `.idx` for `-idx` and with `.gz` as well. Raises DataError
    for missing files and for images and labels that differ in number.
    """
    training = _part(folder, "train")
    if training is None:
        held = ", ".join(sorted(path.name for path in folder.iterdir())[:4]) or "nothing"
        raise DataError(
            f"{folder}: a folder must hold the files train-images-idx3-ubyte and train-labels-idx1-ubyte,"
            f" plain or with .gz (got {held}): put them there"
        )
    return RawData(
        inputs=training.inputs,
        targets=training.targets,
        where=str(folder),
        origin=f"IDX files in {folder}",
        task="classification"
        if training.targets.dtype == np.uint8
        else "auto",  # bytes are labels, however many
        is_image=training.inputs.dtype == np.uint8 or training.inputs.ndim > 2,
        sealed=_part(folder, "t10k"),
    )


def idx_files(folder: Path) -> list[Path]:
    """Return the files that `read_folder` reads."""
    stems = ("train-images", "train-labels", "t10k-images", "t10k-labels")
    return [path for stem in stems if (path := _find(folder, stem)) is not None]


def _part(folder: Path, part: str) -> SourceExamples | None:
    """Return images and labels of `part`, or None if neither exists."""
    images_path, labels_path = _find(folder, f"{part}-images"), _find(folder, f"{part}-labels")
    if images_path is None and labels_path is None:
        return None
    if images_path is None or labels_path is None:
        raise DataError(
            f"{folder}: images and labels must come together"
            f" (got {part}-{'labels' if images_path is None else 'images'} alone):"
            f" add {part}-{'images' if images_path is None else 'labels'}"
        )
    images, labels = read_idx(images_path), read_idx(labels_path)
    if labels.ndim == 0 or images.ndim == 0 or len(labels) != len(images):
        raise DataError(
            f"{labels_path}: there must be one label per image (got labels of shape {labels.shape}"
            f" and images of shape {images.shape}): take both from the same data set"
        )
    return SourceExamples(inputs=images, targets=labels)


def _find(folder: Path, stem: str) -> Path | None:
    """Return the file of that stem; prefer a plain one to a gzipped one, which takes longer to read."""
    found = [path for path in folder.glob(f"{stem}[-.]idx*-*") if path.suffix != _UNFINISHED]
    return min(found, key=lambda path: (path.suffix == ".gz", path.name), default=None)
