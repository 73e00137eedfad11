"""NumPy archives with the arrays x and y."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from hpsearch.data.dataset import Array, RawData
from hpsearch.errors import DataError


def read_npz(path: Path) -> RawData:
    """Return the arrays x (N, ...) and y (N,) or (N, O) of `path`.

    Bytes, or more than one axis per example, mean images. Pickled objects are refused, never loaded.
    Raises DataError for what is not such an archive.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path}: must be an .npz archive, which is a zip file (got {path.stat().st_size:,} bytes"
            " of something else): write it with numpy.savez"
        )
    inputs, targets = _read_arrays(path)
    return RawData(
        inputs=inputs,
        targets=targets,
        where=str(path),
        origin=str(path),
        is_image=inputs.dtype == np.uint8 or inputs.ndim > 2,
    )


def _read_arrays(path: Path) -> tuple[Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = {"x", "y"} - set(archive.files)
            if missing:
                raise DataError(
                    f"{path}: must hold the arrays x and y (got {', '.join(archive.files) or 'none'}):"
                    " write it with numpy.savez(path, x=inputs, y=targets)"
                )
            return archive["x"], archive["y"]
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f'{path}: x and y must be whole arrays of numbers or text (got "{error}"): write the file again'
        ) from error
