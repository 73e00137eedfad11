"""Optuna's own suite for storages, on every database."""

from collections.abc import Iterator

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from hpsearch.storage import open_storage


@pytest.fixture
def storage(fresh_url: str) -> Iterator[BaseStorage]:
    """Give an empty storage."""
    opened = open_storage(fresh_url)
    yield opened
    opened.remove_session()


class TestOptunaStorage(StorageTestCase):
    """What Optuna asks of a storage."""
