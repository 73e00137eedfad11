"""Optuna's own suite for storages, on every database."""

from collections.abc import Callable, Iterator

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from hpsearch.storage import open_storage


@pytest.fixture(scope="module")
def suite_urls() -> dict[str, str]:
    """Provide the databases, by dialect, that only this suite has studies in."""
    return {}


@pytest.fixture
def storage(
    dialect: str, new_database: Callable[[str], str], suite_urls: dict[str, str]
) -> Iterator[BaseStorage]:
    """Provide a storage without studies."""
    if dialect not in suite_urls:
        suite_urls[dialect] = new_database(dialect)
    opened = open_storage(suite_urls[dialect])
    yield opened
    for name in [study.study_name for study in opened.get_all_studies()]:
        opened.delete_study(opened.get_study_id_from_name(name))
    opened.remove_session()


class TestOptunaStorage(StorageTestCase):
    """Optuna's requirements on a storage."""
