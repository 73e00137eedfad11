"""NumPy archives."""

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

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
    """The error for an archive without x and y lists its arrays."""
    path = tmp_path / "d.npz"
    np.savez(path, x=np.ones(3), labels=np.ones(3))
    assert refused(lambda: read_npz(path)) == (
        f"{path}: must hold the arrays x and y (got x, labels):"
        " write it with numpy.savez(path, x=inputs, y=targets)"
    )


def test_pickles_are_never_loaded(tmp_path: Path, refused: Refused) -> None:
    """An array of objects is refused, and its pickle is not run."""
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


def _array_file(shape: tuple[int, ...], content: bytes) -> bytes:
    """Return an .npy file with this content, whose header declares float64 numbers of this `shape`."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize("shape", [(10**13, 1), (2**62, 4), (3, 1), (0,)])
def test_a_head_that_lies_about_its_array_is_refused(
    shape: tuple[int, ...], tmp_path: Path, refused: Refused
) -> None:
    """An array must have the size that its header declares; otherwise no memory is allocated."""
    path = tmp_path / "d.npz"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _array_file(shape, bytes(16)))
        archive.writestr("y.npy", _array_file((2,), bytes(16)))
    assert 'x and y must be whole arrays of numbers or text (got "x.npy declares ' in refused(
        lambda: read_npz(path)
    )


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """A small archive of an array that memory does not hold is refused by its directory and head."""
    path = tmp_path / "d.npz"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", _array_file((2**24, 1), bytes(2**27)))
        archive.writestr("y.npy", _array_file((1,), bytes(8)))
    assert path.stat().st_size < 2**18
    code = (
        "import pathlib, resource\n"
        "from hpsearch.data.memory import memory_bytes, process_memory_bytes\n"
        "from hpsearch.data.npz import read_npz\n"
        "from hpsearch.errors import DataError\n"
        "whole = 2**40\n"
        "resource.setrlimit(resource.RLIMIT_AS, (whole, whole))\n"
        "taken = int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + 2**26, whole))\n"
        "try:\n    read_npz(pathlib.Path('d.npz'))\n"
        "except DataError as error:\n    print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("d.npz: x.npy: must fit into the available memory, ")


@pytest.mark.parametrize(
    "head", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x04\x00{[(1", b"\x93NUMPY\x09\x00\x01\x00 "]
)
def test_broken_heads_are_refused(head: bytes, tmp_path: Path, refused: Refused) -> None:
    """A head that is cut or no dictionary is a damaged file, not a fault of ours."""
    path = tmp_path / "d.npz"
    with ZipFile(path, "w") as archive:
        archive.writestr("x.npy", head)
        archive.writestr("y.npy", _array_file((2,), bytes(16)))
    assert "x and y must be whole arrays of numbers or text" in refused(lambda: read_npz(path))
