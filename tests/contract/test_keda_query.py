"""The query on our tables by which KEDA counts workers."""

from collections.abc import Callable
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # its types are not worth another package
from sqlalchemy import text

from hpsearch.storage.engine import read_transaction
from hpsearch.storage.store import open_store
from hpsearch.study.spec import BudgetSpec, ObjectiveSpec
from hpsearch.trials import TrialState
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec


def test_kedas_query_counts_unfinished_trials(repository: Path, new_database: Callable[[str], str]) -> None:
    """It is the sum over open studies: finished, paused and failed ones add nothing, trials in training count."""
    path = repository / "storage/kubernetes/keda/scaled-job.yaml"
    job = next(one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "ScaledJob")
    query = job["spec"]["triggers"][0]["metadata"]["query"]
    url = new_database("postgresql")
    with open_store(url) as store:

        def unfinished() -> int:
            with read_transaction(store._transactions.engine) as connection:
                return int(connection.execute(text(query)).scalar_one())

        assert unfinished() == 0
        labs = {}
        for name, trials in (("open", 10), ("done", 2), ("paused", 7), ("failed", 30)):
            study = store.studies.create(a_spec(name, trials=trials), fingerprint=FINGERPRINT)
            labs[name] = Lab(store=store, url=url, study=study, worker="ann")
        labs["open"].finish(3)
        labs["open"].finish(1, state=TrialState.PRUNED)
        labs["open"].claim(2, lease_s=1e10)
        labs["done"].finish(2)
        store.studies.pause(labs["paused"].study, by="ann")
        labs["failed"].finish(3, state=TrialState.FAILED, value=None)
        assert unfinished() == 6
        objective = ObjectiveSpec(function="a:b")
        store.studies.create(a_spec("function", trials=5, objective=objective), fingerprint=FINGERPRINT)
        assert unfinished() == 11
        for name, limits in (
            ("epochs", BudgetSpec(epochs=6)),
            ("until", BudgetSpec(until=0.5)),
            ("patience", BudgetSpec(patience=2)),
            ("hours", BudgetSpec(hours=1e-9)),
        ):
            study = store.studies.create(a_spec(name, trials=9), fingerprint=FINGERPRINT)
            lab = Lab(store=store, url=url, study=study, worker="ann")
            lab.finish(3, value=0.5)
            assert unfinished() == 17
            store.studies.set_limits(study, limits)
            assert store.studies.progress(study).ended_by is not None, name
            assert unfinished() == 11, name
            store.studies.set_limits(study, BudgetSpec(epochs=10**6, until=2.0, patience=3, hours=100))
            assert store.studies.progress(study).ended_by is None, name
            assert unfinished() == 17, name
            store.studies.pause(study, by="ann")
