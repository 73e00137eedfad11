"""NumPy archives."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.npz import read_npz

Refused = Callable[[Callable[[], object]], str]


@pytest.mark.parametrize(
    ("shape", "kind", "is_image"),
    [((4,), "f4", False), ((4, 3), "f8", False), ((4, 3), "u1", True), ((4, 2, 2), "f8", True)],
)
def test_bytes_and_more_axes_are_images(
    shape: tuple[int, ...], kind: str, *, is_image: bool, tmp_path: Path
) -> None:
    """Any number of axes is read; bytes, or more than one axis per example, are images."""
    np.savez(tmp_path / "d.npz", x=np.ones(shape, kind), y=np.arange(4))
    raw = read_npz(tmp_path / "d.npz")
    assert raw.inputs.shape == shape
    assert raw.is_image == is_image
    assert raw.targets.tolist() == [0, 1, 2, 3]


def test_what_is_no_zip_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A file that only has the name of an archive is refused by its size."""
    path = tmp_path / "d.npz"
    path.write_bytes(b"no archive")
    assert refused(lambda: read_npz(path)) == (
        f"{path}: must be an .npz archive, which is a zip file (got 10 bytes of something else):"
        " write it with numpy.savez"
    )


def test_missing_arrays_are_refused(tmp_path: Path, refused: Refused) -> None:
    """An archive without x and y says which arrays it has."""
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones(3), labels=np.ones(3))
    assert refused(lambda: read_npz(path)) == (
        f"{path}: must hold the arrays x and y (got x, labels):"
        " write it with numpy.savez(path, x=inputs, y=targets)"
    )


def test_pickles_are_never_loaded(tmp_path: Path, refused: Refused) -> None:
    """An array of objects is refused without running what is in it."""
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones(2), y=np.array([1, "a"], dtype=object))
    assert refused(lambda: read_npz(path)) == (
        f'{path}: x and y must be whole arrays of numbers or text (got "Object arrays cannot be loaded'
        ' when allow_pickle=False"): write the file again'
    )


def test_a_damaged_archive_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A flipped byte is found by the archive's own checksum."""
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones(1000), y=np.ones(1000))
    content = bytearray(path.read_bytes())
    content[4000] ^= 255
    path.write_bytes(content)
    assert refused(lambda: read_npz(path)) == (
        f"{path}: x and y must be whole arrays of numbers or text (got \"Bad CRC-32 for file 'x.npy'\"):"
        " write the file again"
    )
