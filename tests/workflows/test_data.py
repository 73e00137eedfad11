"""Data that a study has in its database."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.errors import DataError, FingerprintError
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import DataSpec
from hpsearch.worker.preparation import check_data, prepare_stored, prepare_study
from hpsearch.workflows.data import data_cache_contents, push_data
from tests.worker.bench import SPEC

CSV = "a,b,y\n" + "".join(f"{i},{i * i % 7},{'yes' if i % 2 else 'no'}\n" for i in range(60))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Provide a database."""
    with open_store(f"sqlite:///{tmp_path}/a.db") as opened:
        yield opened


def test_a_worker_needs_no_file(store: Store, tmp_path: Path) -> None:
    """Without the file, a study with pushed data trains on the same numbers; without that, it is refused."""
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    prepared = prepare_study(replace(SPEC, data=DataSpec(source=str(path))))
    study = store.studies.create(prepared.spec, fingerprint=prepared.data.fingerprint)
    assert push_data(store, study.name).files == 1
    path.write_text(CSV + "7,8,no\n")
    with pytest.raises(FingerprintError):
        push_data(store, study.name)
    path.unlink()
    for _ in range(2):  # the second time from the cache
        found = prepare_stored(store, study)
        check_data(study, found.data)
        assert found.files is not None
    (item,) = data_cache_contents(clear=True).items
    assert (item.files, item.url) == (("t.csv",), None)
    with pytest.raises(DataError, match="the file must exist"):
        prepare_study(study.spec)
