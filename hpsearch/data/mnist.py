"""MNIST: 60,000 images to learn from, and 10,000 that are sealed.

A study shuffles and splits the 60,000 of the train files. The 10,000 of the t10k files are the sealed part: a study
without a `test_fraction` of its own has them as its test set.
"""

import contextlib
import warnings
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Final

import numpy as np

from hpsearch.data.dataset import Array, RawData, SourceExamples
from hpsearch.data.idx import read_folder, write_idx
from hpsearch.errors import DataError

_TRAINING: Final = 60_000
_SIDE: Final = 28
_FILES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_mnist(environment: Mapping[str, str]) -> RawData:
    """Return MNIST from the folder that HPSEARCH_MNIST names, else from the cache, else from openml.org.

    A download is kept as IDX files below XDG_CACHE_HOME (without it, `.cache` in the home folder), and by scikit-learn
    below SCIKIT_LEARN_DATA. Raises DataError if there is neither a folder nor a network.
    """
    if named := environment.get("HPSEARCH_MNIST"):
        return _read_named(Path(named))
    cache = _cache(environment)
    if cache is not None and all((cache / name).is_file() for name in _FILES):
        return read_folder(cache)
    images, labels = _download(environment)
    if cache is not None:
        # The data is loaded: an unwritable cache only costs the next run a download.
        with contextlib.suppress(OSError):
            _keep(cache, images, labels)
    return RawData(
        inputs=images[:_TRAINING],
        targets=labels[:_TRAINING],
        where="mnist",
        origin="openml.org, mnist_784",
        is_image=True,
        sealed=SourceExamples(inputs=images[_TRAINING:], targets=labels[_TRAINING:]),
    )


def fetch_mnist(environment: Mapping[str, str]) -> Path:
    """Return this machine's folder of MNIST, read and valid, after a download if there was none.

    It searches the places of `read_mnist`. Raises DataError, also if a download could not be stored.
    """
    read_mnist(environment)
    if named := environment.get("HPSEARCH_MNIST"):
        return Path(named)
    cache = _cache(environment)
    if cache is None or not all((cache / name).is_file() for name in _FILES):
        raise DataError(
            f"mnist: a download must be kept in a folder (got {cache or 'none'}): "
            "set XDG_CACHE_HOME to one that can be written"
        )
    return cache


def is_available(environment: Mapping[str, str]) -> bool:
    """Return True if MNIST is read from this machine: from the folder that HPSEARCH_MNIST names, or from the cache."""
    cache = _cache(environment)
    has_cache = cache is not None and all((cache / name).is_file() for name in _FILES)
    return bool(environment.get("HPSEARCH_MNIST")) or has_cache


def _read_named(folder: Path) -> RawData:
    if not folder.is_dir():
        raise DataError(
            f'HPSEARCH_MNIST: must name a folder with the four IDX files of MNIST (got "{folder}"):'
            " correct it, or unset it to download them"
        )
    return read_folder(folder)


def _cache(environment: Mapping[str, str]) -> Path | None:
    if cache := environment.get("XDG_CACHE_HOME"):
        return Path(cache) / "hpsearch" / "mnist"
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return Path(home) / ".cache" / "hpsearch" / "mnist" if home else None


def _download(environment: Mapping[str, str]) -> tuple[Array, Array]:
    """Return images (70000, 28, 28) and labels (70000,), uint8, the 60,000 of the train files first."""
    from sklearn.datasets import fetch_openml  # noqa: PLC0415 - a second of imports that few need

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn warns of each retry; the error has it all
            pixels, labels = fetch_openml(
                "mnist_784",
                version=1,
                return_X_y=True,
                as_frame=False,
                parser="liac-arff",  # the other parser needs pandas
                data_home=environment.get("SCIKIT_LEARN_DATA"),
                n_retries=1,
            )
    except (OSError, ValueError, HTTPException) as error:
        raise DataError(
            f'mnist: must be downloaded from openml.org (got "{error}"):'
            " connect to the network, or set HPSEARCH_MNIST to a folder with the four IDX files"
        ) from error
    images = np.asarray(pixels).astype(np.uint8).reshape(-1, _SIDE, _SIDE)
    return images, np.asarray(labels).astype(np.uint8)


def _keep(cache: Path, images: Array, labels: Array) -> None:
    """Write the four files into `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = (images[:_TRAINING], labels[:_TRAINING], images[_TRAINING:], labels[_TRAINING:])
    for name, part in zip(_FILES, parts, strict=True):
        write_idx(cache / name, part)
