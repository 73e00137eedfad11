"""Fixtures of the data tests: small files, and the text of a refusal."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from hpsearch.data.idx import write_idx
from hpsearch.errors import DataError

Refused: TypeAlias = Callable[[Callable[[], object]], str]
WriteText: TypeAlias = Callable[[str], Path]


@pytest.fixture
def refused() -> Refused:
    """Return a function that runs another, which must raise DataError, and returns the error's text."""

    def run(action: Callable[[], object]) -> str:
        with pytest.raises(DataError) as caught:
            action()
        return str(caught.value)

    return run


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteText:
    """Return a function that writes text to a CSV file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return write


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """Return a folder with the four files of MNIST, of 30 and 6 images of 3 x 2 pixels and 3 classes."""
    random = np.random.Generator(np.random.PCG64(1))
    folder = tmp_path / "images"
    folder.mkdir()
    for part, count in (("train", 30), ("t10k", 6)):
        images = random.integers(0, 256, (count, 3, 2), dtype=np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", (np.arange(count) % 3).astype(np.uint8))
    return folder
