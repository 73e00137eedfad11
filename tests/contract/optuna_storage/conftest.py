"""Storages of ours and Optuna's own on one database, and a study in it."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection

from hpsearch.storage import open_storage
from hpsearch.storage.optuna import cache
from tests.contract.laboratory import stock_storage


@pytest.fixture
def storage(url: str) -> Iterator[BaseStorage]:
    """Provide a storage."""
    opened = open_storage(url)
    yield opened
    opened.remove_session()


@pytest.fixture
def other(url: str) -> Iterator[BaseStorage]:
    """Provide a second storage on the same database, which stands for another process."""
    opened = open_storage(url)
    yield opened
    opened.remove_session()


@pytest.fixture
def stock(url: str, storage: BaseStorage) -> Iterator[RDBStorage]:
    """Give Optuna's own storage on the same database."""
    opened = stock_storage(url)
    yield opened
    opened.remove_session()
    opened.engine.dispose()


@pytest.fixture
def study_id(storage: BaseStorage) -> int:
    """Provide a study of its own."""
    return storage.create_new_study([StudyDirection.MINIMIZE], f"optuna-{uuid4().hex}")


@pytest.fixture
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never write buffered values because of the time that they have waited."""
    monkeypatch.setattr(cache, "FLUSH_AFTER_S", 3600.0)
