"""The data sets that come with scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest

from hpsearch.data import bundled
from hpsearch.data.bundled import BUNDLED, read_bundled, read_public, read_shipped


@pytest.mark.parametrize("name", BUNDLED)
def test_files_and_functions_of_scikit_learn_agree(name: str) -> None:
    """Reading the shipped file gives bit for bit what scikit-learn's public function gives."""
    shipped, public = read_shipped(name), read_public(name)
    assert shipped.labels == public.labels
    for ours, theirs in zip(shipped[:2], public[:2], strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_scikit_learn_is_asked_where_its_files_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another layout of scikit-learn's package costs time, not the data."""
    monkeypatch.setattr(bundled, "find_spec", lambda _: None)
    assert read_bundled("iris").inputs.shape == (150, 4)


def test_reading_does_not_import_scikit_learn() -> None:
    """A worker does not pay for scikit-learn's imports."""
    code = (
        "import sys; from hpsearch.data.sources import load;"
        " load('digits', environment={}); sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_digits_are_images() -> None:
    """The pixels of digits share one scale; the columns of tables do not."""
    assert [name for name in BUNDLED if read_bundled(name).is_image] == ["digits"]
