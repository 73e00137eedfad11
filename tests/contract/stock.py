"""Studies as read by other Optuna clients, on one storage for each database, since opening one is slow."""

from collections.abc import Iterator

import optuna
import pytest

from tests.contract.laboratory import Lab, stock_storage

_open: dict[str, optuna.storages.RDBStorage] = {}


def stock_of(lab: Lab) -> optuna.Study:
    """Return the lab's study. `closed_stock` must be among the fixtures."""
    if lab.url not in _open:
        _open[lab.url] = stock_storage(lab.url)
    return optuna.load_study(study_name=lab.study.spec.name, storage=_open[lab.url])


@pytest.fixture(scope="module", autouse=True)
def closed_stock() -> Iterator[None]:
    """Close the storages that `stock_of` opened, at the end."""
    yield
    for storage in _open.values():
        storage.remove_session()
        storage.engine.dispose()
    _open.clear()
