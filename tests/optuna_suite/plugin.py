"""A plugin for pytest that runs Optuna's own tests with `open_storage` in place of Optuna's storages.

It is loaded with `-p plugin` by a pytest that runs in Optuna's source distribution, where `tests` is Optuna's folder:
nothing of ours can be imported from there. `HPSEARCH_OPTUNA_DEVIATIONS` holds the tests that must fail, as JSON: from
the folder `tests` on, with the reason.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final

import pytest

from hpsearch.storage import open_storage
from hpsearch.storage.optuna.storage import OptunaStorage

if "fakeredis" not in sys.modules:
    # Optuna's tests need it for a storage that is not tried here.
    sys.modules["fakeredis"] = ModuleType("fakeredis")

import optuna.testing.storages as supplied  # it imports fakeredis

_MODE: Final = "hpsearch"

_FOLDER: Final = Path(tempfile.mkdtemp(prefix="hpsearch-optuna-suite-"))


class Supplier:
    """Gives an empty storage of ours where Optuna's tests ask for one of Optuna's. Stands for `StorageSupplier`."""

    def __init__(self, _mode: str, **options: Any) -> None:
        self._options = {name: option for name, option in options.items() if name != "engine_kwargs"}
        self._path = Path(tempfile.mkdtemp(dir=_FOLDER)) / "optuna.db"
        self.storage: Any = None

    def __enter__(self) -> Any:
        shutil.copyfile(_empty(), self._path)
        self.storage = open_storage(f"sqlite:///{self._path}", **self._options)
        return self.storage

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.storage is not None:
            self.storage.remove_session()
        shutil.rmtree(self._path.parent, ignore_errors=True)


def _empty() -> Path:
    """Return a database with tables and without studies: to make one takes longer than most tests."""
    path = _FOLDER / f"empty-{os.getpid()}.db"
    if not path.exists():
        open_storage(f"sqlite:///{path}").remove_session()
    return path


def pytest_configure(config: pytest.Config) -> None:
    """Put our storage where Optuna's tests look for one, before they are imported."""
    for name, value in {
        "StorageSupplier": Supplier,
        "STORAGE_MODES": [_MODE],
        "STORAGE_MODES_HEARTBEAT": [_MODE],
    }.items():
        setattr(supplied, name, value)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the deviations that are known, and fail when one of them is not there any more."""
    root = config.rootpath
    files = {item.path.relative_to(root).as_posix() for item in items}
    there = {item.nodeid.removeprefix("tests/"): item for item in items}
    for nodeid, reason in json.loads(os.environ["HPSEARCH_OPTUNA_DEVIATIONS"]).items():
        if f"tests/{nodeid.partition('::')[0]}" not in files:
            continue
        if nodeid not in there:
            raise pytest.UsageError(f"{nodeid}: is no test of this Optuna: take it out of the deviations")
        there[nodeid].add_marker(pytest.mark.xfail(reason=reason, strict=True))
    for item in items:
        module = getattr(item, "module", None)
        if item.path.name == "test_heartbeat.py" and module is not None:
            module.RDBStorage = OptunaStorage


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the tests left."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
