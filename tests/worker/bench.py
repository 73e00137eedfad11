"""A database with a study of iris, workers for it, and the numbers that must not depend on them."""

from typing import Any

from hpsearch.data.prepare import PreparedData, prepare
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import (
    DataSpec,
    PruningSpec,
    Range,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
    resolve,
)
from hpsearch.trials import Trial
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.shutdown import StopRequest

RATES = (
    Range(name="learning_rate", low=1e-6, high=1e3, log=True),
    Range(name="weight_decay", low=1e-8, high=1e-1, log=True),
)
SPEC = StudySpec(
    name="iris",
    data=DataSpec(source="iris"),
    trials=24,
    seed=7,
    training=TrainingSpec(epochs=6, batch_size=32),
    search=RATES,
    sampler=SamplerSpec(name="random"),
    pruning=PruningSpec(rank="none"),
)


class Bench:
    """A database with one study of iris, and workers for it.

    `through` is another URL of the same database, which workers use.
    """

    def __init__(self, url: str, spec: StudySpec = SPEC, *, through: str | None = None) -> None:
        self.url = through or url
        self.data: PreparedData = prepare(spec.data, seed=spec.seed, precision="float32", environment={})
        self.store: Store = open_store(url)
        self._stores = [self.store]
        self.study: StoredStudy = self.store.studies.create(
            resolve(spec, task=self.data.task), fingerprint=self.data.fingerprint
        )

    def worker(self, name: str, *, rows: int = 5, stop: StopRequest | None = None, **options: Any) -> Worker:
        """Return a worker with a database connection of its own, and `options` of `WorkerOptions`."""
        chosen = WorkerOptions(name=name, rows=rows, **options)
        self._stores.append(open_store(self.url))
        return Worker(self._stores[-1], self.study, self.data, options=chosen, stop=stop or StopRequest())

    def close(self) -> None:
        """Close all connections, those of the workers too."""
        for store in self._stores:
            store.close()

    def progress(self) -> Progress:
        """Return the progress of the study."""
        return self.store.studies.progress(self.study)

    def trials(self) -> list[Trial]:
        """Return all trials by number."""
        return self.store.trials.all(self.study)


def numbers_of(trial: Trial) -> tuple[object, ...]:
    """Return all facts of a trial that must not depend on its worker or time, as comparable text."""
    curve = {epoch: repr(value) for epoch, value in trial.curve.items()}
    finding = trial.finding
    evidence = None if finding is None else {name: repr(value) for name, value in finding.evidence.items()}
    return (
        trial.number,
        trial.state,
        dict(trial.params),
        repr(trial.value),
        curve,
        trial.verdict,
        trial.steps,
        evidence,
    )
