"""A database with data of every kind, and the facts that can be read from it: see `golden/README.md`.

Run as `python -m tests.contract.golden_database FOLDER`, it adds the pair of the present revision to a folder.
"""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpsearch.storage import schema
from hpsearch.storage.records import StoredStudy, Update, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import TrialState
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, evaluation


def fill(url: str) -> None:
    """Create a study with trials of every kind, one that waits, and one of another client."""
    with open_store(url) as store:
        study = store.studies.create(a_spec("golden", trials=40, seed=7), fingerprint=FINGERPRINT)
        lab = Lab(store=store, url=url, study=store.studies.set_priority(study, 3), worker="ann")
        lab.finish(3)
        lab.finish(1, state=TrialState.PRUNED, value=float("-inf"), reports={0: float("nan"), 1: 1e-300})
        lab.finish(1, state=TrialState.FAILED, value=None)
        back, crashed, _ = claims = lab.claim(3, lease_s=1e10)  # centuries: no reader may sweep it
        lab.assign(claims)
        store.trials.record(study, [Update(claim=crashed, reports={0: 0.5}, epochs=1, steps=9)])
        store.queue.release(study, worker="ann", numbers=[crashed.number], why="out of memory", crashed=True)
        store.queue.release(study, worker="ann", numbers=[back.number], why="stopped", crashed=False)
        store.studies.create(a_spec("later", trials=5), fingerprint=FINGERPRINT, parent=study)
        again = [
            evaluation(0, seed=1),
            evaluation(0, seed=2, accuracy=None, score=-0.25),
            evaluation(1, part="test"),
        ]
        store.evaluations.write(study, again)
        store.evaluations.unseal(study, number=1, command="hpsearch study test golden")
        identity = WorkerIdentity(name="ann", host="laboratory", process_id=7, version="0.1.0")
        store.workers.register(identity)
        stock = lab.stock()
        stock.enqueue_trial({"learning_rate": 0.5}, user_attrs={"note": "\N{SNOWMAN}"})
        lab.opened[0].create_new_study([*stock.directions], "theirs")
        lab.close()


def facts(store: Store) -> Any:
    """Return all facts that can be read from a database, as plain JSON with names for NaN and the infinities."""
    read = {
        "studies": {study.spec.name: _facts_of(store, study) for study in store.studies.all()},
        "foreign": store.studies.foreign_names(),
        "workers": [asdict(worker.identity) for worker in store.workers.all()],
    }
    return json.loads(json.dumps(read, default=str), parse_constant=str)


def _facts_of(store: Store, study: StoredStudy) -> dict[str, Any]:
    trials = store.trials.all(study)
    numbers = [trial.number for trial in trials]
    return {
        "study": asdict(study),
        "progress": asdict(store.studies.progress(study)),
        "trials": [asdict(trial) for trial in trials],
        "series": store.trials.series(study, numbers),
        "evaluations": [asdict(evaluation) for evaluation in store.evaluations.all(study)],
        "unsealing": None if (unsealing := store.evaluations.unsealing(study)) is None else asdict(unsealing),
        "attempts": {number: [asdict(a) for a in store.trials.attempts(study, number)] for number in numbers},
    }


def missing(golden: Any, present: Any, where: str = "") -> list[str]:
    """Return the places at which `present` lacks or changes values of `golden`. New values in `present` are ignored."""
    if isinstance(golden, Mapping) and isinstance(present, Mapping):
        pairs = [(key, golden[key], present.get(key, "nothing")) for key in golden]
    elif isinstance(golden, list) and isinstance(present, list) and len(golden) == len(present):
        pairs = [(str(i), old, new) for i, (old, new) in enumerate(zip(golden, present, strict=True))]
    else:
        return [] if golden == present else [f"{where}: {golden!r} (got {present!r})"]
    return [line for key, old, new in pairs for line in missing(old, new, f"{where}.{key}" if where else key)]


def load(script: Path, path: Path) -> str:
    """Create a database from a dump; return its URL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script.read_text())
    return f"sqlite:///{path}"


def main(folder: Path) -> None:
    """Write the pair of the present revision."""
    golden = folder / f"hpsearch-{schema.REVISION}.sql"
    with tempfile.TemporaryDirectory() as name:
        made = Path(name) / "made.db"
        fill(f"sqlite:///{made}")
        with closing(sqlite3.connect(made)) as connection:
            golden.write_text("\n".join(connection.iterdump()) + "\n")
        with open_store(load(golden, Path(name) / "read.db")) as store:
            golden.with_suffix(".json").write_text(json.dumps(facts(store), indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
