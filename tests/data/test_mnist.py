"""MNIST: its contents, and the places that are searched for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import sklearn.datasets

from hpsearch.data.mnist import fetch_mnist, is_available, read_mnist
from hpsearch.data.prepare import prepare
from hpsearch.data.sources import CATALOGUE, load
from hpsearch.study.spec import DataSpec

Refused = Callable[[Callable[[], object]], str]

_PIXELS = 28 * 28


def _openml(count: int) -> tuple[Any, Any]:
    """Return a data set of the form that scikit-learn gives of mnist_784: float pixels, text labels."""
    random = np.random.Generator(np.random.PCG64(5))
    pixels = random.integers(0, 256, (count, _PIXELS)).astype(np.float64)
    return pixels, np.array([str(i % 10) for i in range(count)], dtype=object)


def _no_network(*_: object, **__: object) -> None:
    raise URLError("Name or service not known")


def test_real_mnist(mnist_folder: Path) -> None:
    """MNIST has its published numbers: examples per class, mean and deviation of pixels / 255."""
    data = load("mnist", environment={"HPSEARCH_MNIST": str(mnist_folder)})
    assert data.inputs.dtype == np.uint8
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.targets).tolist() == counts
    assert data.inputs.mean() / 255 == pytest.approx(0.13066, abs=5e-6)
    assert data.inputs.std() / 255 == pytest.approx(0.30811, abs=5e-6)
    entry = next(entry for entry in CATALOGUE if entry.name == "mnist")
    assert data.inputs.shape == (entry.examples, entry.inputs)
    assert data.sealed is not None
    assert data.sealed.inputs.shape == (entry.sealed, entry.inputs)
    assert data.classes == tuple("0123456789")


def test_real_mnist_is_prepared_as_pixels_by_255(mnist_folder: Path) -> None:
    """Unit scaling of MNIST is pixel / 255 in float32, to the last bit, and t10k is the test part."""
    environment = {"HPSEARCH_MNIST": str(mnist_folder)}
    data = prepare(DataSpec(source="mnist"), seed=1, precision="float32", environment=environment)
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    assert np.isin(data.training.inputs[:2000], levels).all()
    assert len(data.training.targets) == 48_000
    assert len(data.validation.targets) == 12_000
    assert data.test is not None
    assert np.bincount(data.test.targets).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip
    assert (data.training.inputs.min(), data.training.inputs.max()) == (0, 1)


def test_a_named_folder_comes_first(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HPSEARCH_MNIST is read, and nothing is downloaded."""
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", _no_network)
    assert read_mnist({"HPSEARCH_MNIST": str(idx_folder)}).inputs.shape == (30, 3, 2)


def test_a_named_folder_must_exist(tmp_path: Path, refused: Refused) -> None:
    """A folder that is not there is not replaced by a download."""
    assert refused(lambda: read_mnist({"HPSEARCH_MNIST": str(tmp_path / "no")})) == (
        "HPSEARCH_MNIST: must name a folder with the four IDX files of MNIST"
        f' (got "{tmp_path / "no"}"): correct it, or unset it to download them'
    )


def test_without_a_network_the_remedy_is_a_folder(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing can be downloaded the message states what to set."""
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", _no_network)
    assert refused(lambda: read_mnist({"XDG_CACHE_HOME": str(tmp_path)})) == (
        'mnist: must be downloaded from openml.org (got "<urlopen error Name or service not known>"):'
        " connect to the network, or set HPSEARCH_MNIST to a folder with the four IDX files"
    )


@pytest.mark.parametrize(("variable", "below"), [("XDG_CACHE_HOME", "."), ("HOME", ".cache")])
def test_a_download_is_kept(
    variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first 60,000 of openml.org are the examples, the others sealed; the next read needs no network."""
    pixels, labels = _openml(60_030)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: (pixels, labels))
    environment = {variable: str(tmp_path)}
    first = read_mnist(environment)
    assert len(list((tmp_path / below / "hpsearch" / "mnist").iterdir())) == 4

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", _no_network)
    second = read_mnist(environment)
    assert second.origin.startswith("IDX files in ")
    for raw in (first, second):
        assert raw.inputs.shape == (60_000, 28, 28)
        np.testing.assert_array_equal(raw.targets, np.arange(60_000) % 10)
        assert raw.sealed is not None
        np.testing.assert_array_equal(raw.sealed.inputs.reshape(30, -1), pixels[60_000:])
        assert raw.is_image


def test_a_download_serves_where_it_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a writable cache the data is returned, and the next call downloads it again."""
    pixels, labels = _openml(60_010)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: (pixels, labels))
    (tmp_path / "file").touch()
    assert read_mnist({"XDG_CACHE_HOME": str(tmp_path / "file")}).origin == "openml.org, mnist_784"
    assert read_mnist({}).origin == "openml.org, mnist_784"


def test_what_was_fetched_is_where_it_says(
    tmp_path: Path, idx_folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetching keeps a download, prints its path, and fails if it could not be kept; a named folder stays."""
    pixels, labels = _openml(60_010)
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: (pixels, labels))
    kept = fetch_mnist({"XDG_CACHE_HOME": str(tmp_path)})
    (tmp_path / "file").touch()
    blocked = refused(lambda: fetch_mnist({"XDG_CACHE_HOME": str(tmp_path / "file")}))
    assert "a download must be kept in a folder" in blocked
    assert "(got none)" in refused(lambda: fetch_mnist({}))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", _no_network)
    assert (kept, len(list(kept.iterdir()))) == (tmp_path / "hpsearch" / "mnist", 4)
    assert fetch_mnist({"XDG_CACHE_HOME": str(tmp_path)}) == kept
    assert fetch_mnist({"HPSEARCH_MNIST": str(idx_folder)}) == idx_folder


def test_mnist_is_at_hand_where_no_download_is_needed(tmp_path: Path) -> None:
    """A folder that is named counts, and a cache that holds all four files; one that misses a file does not."""
    assert is_available({"HPSEARCH_MNIST": "/somewhere"})
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    folder = tmp_path / "hpsearch" / "mnist"
    folder.mkdir(parents=True)
    names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    for name in names:
        assert not is_available(environment)
        (folder / name).touch()
    assert is_available(environment)
    assert not is_available({})
