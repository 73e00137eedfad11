"""The IDX format, and folders of it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.idx import read_folder, read_idx, write_idx

Refused = Callable[[Callable[[], object]], str]


@pytest.mark.parametrize("name", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (0, 5)])
def test_what_is_written_is_read(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    """Every type of the format and every number of axes comes back as it was written."""
    array = np.arange(np.prod(shape)).reshape(shape).astype(name)
    write_idx(tmp_path / "a", array)
    read = read_idx(tmp_path / "a")
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_numbers_are_big_endian(tmp_path: Path) -> None:
    """The bytes of a file follow the format's description."""
    write_idx(tmp_path / "a", np.array([[1, -2]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 fffe")


def test_gzip_is_recognised_by_its_bytes(tmp_path: Path) -> None:
    """A gzipped file is read whatever its name."""
    write_idx(tmp_path / "a", np.arange(4, dtype=np.uint8))
    (tmp_path / "b").write_bytes(gzip.compress((tmp_path / "a").read_bytes()))
    assert read_idx(tmp_path / "b").tolist() == [0, 1, 2, 3]


def test_writing_leaves_nothing_else(tmp_path: Path) -> None:
    """Only the finished file is there afterwards."""
    write_idx(tmp_path / "a", np.zeros(3, np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"\0\0", "00 00"),
        (b"\x93NUMPY", "93 4e 55 4d"),
        (b"\0\0\x0a\x01\0\0\0\0", "00 00 0a 01"),
        (b"\0\0\x08\0\x01", "00 00 08 00"),
        (b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"\x01", "00 00 08 41"),
    ],
)
def test_another_format_is_refused(content: bytes, got: str, tmp_path: Path, refused: Refused) -> None:
    """A file that does not begin like IDX is named with its first bytes."""
    path = tmp_path / "labels"
    path.write_bytes(content)
    assert refused(lambda: read_idx(path)) == (
        f"{path}: an IDX file must begin with two zero bytes, a known type and a number of axes"
        f" (got {got}): check that it is an IDX file"
    )


@pytest.mark.parametrize(
    ("body", "expected", "got"),
    [
        ("0000000a 01", "18 bytes long", "9"),
        ("00000002 010203", "10 bytes long", "11 or more"),
        ("0000", "8 bytes long at least", "6"),
    ],
)
def test_another_length_is_refused(
    body: str, expected: str, got: str, tmp_path: Path, refused: Refused
) -> None:
    """A file that is shorter or longer than its head states, or whose head is cut short, is not read."""
    path = tmp_path / "labels"
    path.write_bytes(bytes.fromhex("00000801" + body))
    assert refused(lambda: read_idx(path)) == (
        f"{path}: must be {expected}, as its header requires (got {got}): copy or download it again"
    )


def test_a_head_that_promises_too_much_costs_no_memory(tmp_path: Path, refused: Refused) -> None:
    """Declared lengths are compared with the size of the file before memory is allocated."""
    path = tmp_path / "images"
    path.write_bytes(bytes.fromhex("00000803" + "ffffffff" * 3))
    assert "must be 79,228,162,458,924,105,385,300,197,391 bytes long" in refused(lambda: read_idx(path))


def test_a_truncated_gzip_is_refused(tmp_path: Path, refused: Refused) -> None:
    """The error for a truncated gzip file suggests another download."""
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(bytes.fromhex("00000801000003e0") + bytes(992))[:-12])
    assert refused(lambda: read_idx(path)) == (
        f'{path}: must be a whole gzip file (got "Compressed file ended before the end-of-stream marker'
        ' was reached"): copy or download it again'
    )


def test_a_folder_gives_both_parts(idx_folder: Path) -> None:
    """The train files are the examples, the t10k files the sealed part, and they are images."""
    raw = read_folder(idx_folder)
    assert raw.inputs.shape == (30, 3, 2)
    assert raw.targets.shape == (30,)
    assert raw.is_image
    assert raw.sealed is not None
    assert raw.sealed.inputs.shape == (6, 3, 2)
    assert raw.origin == f"IDX files in {idx_folder}"


def test_a_folder_without_test_files_is_enough(idx_folder: Path) -> None:
    """Only the training part is needed."""
    for path in idx_folder.glob("t10k*"):
        path.unlink()
    assert read_folder(idx_folder).sealed is None


@pytest.mark.parametrize("pattern", ["{}.gz", "dotted"])
def test_other_spellings_of_the_names_are_found(pattern: str, idx_folder: Path) -> None:
    """Files may be gzipped, and their names may contain `.idx`, as in some downloads."""
    expected = read_folder(idx_folder)
    for path in list(idx_folder.iterdir()):
        name = path.name.replace("-idx", ".idx") if pattern == "dotted" else pattern.format(path.name)
        content = path.read_bytes() if pattern == "dotted" else gzip.compress(path.read_bytes())
        path.unlink()
        (idx_folder / name).write_bytes(content)
    raw = read_folder(idx_folder)
    np.testing.assert_array_equal(raw.inputs, expected.inputs)
    assert raw.sealed is not None


def test_an_unfinished_file_is_not_data(idx_folder: Path) -> None:
    """An unfinished file is not read."""
    images = idx_folder / "train-images-idx3-ubyte"
    (idx_folder / f"{images.name}.gz").write_bytes(gzip.compress(images.read_bytes()))
    images.rename(idx_folder / f"{images.name}.1.part")
    (idx_folder / f"{images.name}.1.part").write_bytes(b"")
    assert read_folder(idx_folder).inputs.shape == (30, 3, 2)


def test_an_empty_folder_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A folder without the training files causes an error with the files it needs, and those it has."""
    text = (
        f"{tmp_path}: a folder must hold the files train-images-idx3-ubyte and train-labels-idx1-ubyte,"
        " plain or with .gz (got {}): put them there"
    )
    assert refused(lambda: read_folder(tmp_path)) == text.format("nothing")
    (tmp_path / "notes.txt").touch()
    assert refused(lambda: read_folder(tmp_path)) == text.format("notes.txt")


@pytest.mark.parametrize(
    ("part", "gone", "left"), [("train", "labels", "images"), ("t10k", "images", "labels")]
)
def test_half_a_part_is_refused(part: str, gone: str, left: str, idx_folder: Path, refused: Refused) -> None:
    """Images without labels are of no use, nor labels without images."""
    next(idx_folder.glob(f"{part}-{gone}*")).unlink()
    assert refused(lambda: read_folder(idx_folder)) == (
        f"{idx_folder}: images and labels must come together (got {part}-{left} alone): add {part}-{gone}"
    )


def test_images_and_labels_of_different_number_are_refused(idx_folder: Path, refused: Refused) -> None:
    """There is one label per image."""
    path = idx_folder / "train-labels-idx1-ubyte"
    write_idx(path, np.zeros(29, np.uint8))
    assert refused(lambda: read_folder(idx_folder)) == (
        f"{path}: there must be one label per image (got labels of shape (29,) and images of shape"
        " (30, 3, 2)): take both from the same data set"
    )
