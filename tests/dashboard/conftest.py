"""A database with three studies that cover all features, and the whole site on it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final
from wsgiref.types import WSGIApplication

import pytest

from hpsearch.dashboard.application import make_site
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from tests.dashboard.populate import populate
from tests.report import synthetic


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A site without guards, its database, and its studies by name."""

    site: WSGIApplication
    store: Store
    storage: OptunaStorage
    digits: StoredStudy
    hostile: StoredStudy
    regression: StoredStudy


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the file of a database with the synthetic, the hostile and the regression study."""
    path = tmp_path_factory.mktemp("populated") / "studies.db"
    with open_store(f"sqlite:///{path}") as store:
        populate(store, synthetic.synthetic(60))
        populate(store, synthetic.hostile(), worker=synthetic.MARKUP)
        populate(store, synthetic.regression())
    return path


@pytest.fixture
def site(populated: Path, tmp_path: Path) -> Iterator[Site]:
    """Provide a site on a copy of that database."""
    path = shutil.copy(populated, tmp_path / "studies.db")
    url = f"sqlite:///{path}"
    with open_store(url) as store:
        storage = OptunaStorage(url)
        digits, hostile, regression = store.studies.all()
        yield Site(
            site=make_site(store, storage),
            store=store,
            storage=storage,
            digits=digits,
            hostile=hostile,
            regression=regression,
        )
        storage.remove_session()
