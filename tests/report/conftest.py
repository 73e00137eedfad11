"""The synthetic studies, each made once."""

import pytest

from hpsearch.analysis.snapshot import Snapshot
from tests.report import synthetic


@pytest.fixture(scope="session")
def study() -> Snapshot:
    """Return a study of 120 trials with every fate in it."""
    return synthetic.synthetic()


@pytest.fixture(scope="session")
def regression() -> Snapshot:
    """Return a study that minimizes a loss, with infinite and astronomic values."""
    return synthetic.regression()


@pytest.fixture(scope="session")
def hostile() -> Snapshot:
    """Return a study whose every text is markup."""
    return synthetic.hostile()
