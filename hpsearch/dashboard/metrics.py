"""`/metrics`: the metrics for Prometheus, read from the database at each scrape."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hpsearch.analysis.study_state import fate_rows, state_of
from hpsearch.errors import StorageError
from hpsearch.storage.records import Progress, WorkerRecord
from hpsearch.storage.store import Store

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_STATES: Final = ("complete", "pruned", "failed", "running", "waiting")
_WORKER_STATES: Final = ("working", "idle", "failing", "stopping", "lost")


@final
class DatabaseCollector(Collector):
    """Metrics of all studies and workers of a database; if it is unavailable, only that fact."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """Yield the current values of all metrics."""
        try:
            listed = self._store.studies.listing()
            workers = self._store.workers.all()
        except StorageError:
            yield _gauge("hpsearch_database_up", "1 if the database answers.", {(): 0})
            return
        yield _gauge("hpsearch_database_up", "1 if the database answers.", {(): 1})
        yield _gauge(
            "hpsearch_study_unreadable",
            "1 for a study that this version of hpsearch cannot read.",
            {(one.name,): 1 for one in listed if one.unreadable is not None},
            ("study",),
        )
        progresses = [one.progress for one in listed if one.progress is not None]
        yield from study_metrics([progress for progress in progresses if not progress.is_foreign])
        yield worker_metrics(workers)


def metrics_text(store: Store) -> bytes:
    """Return all metrics in the text format of Prometheus."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DatabaseCollector(store))
    return generate_latest(registry)


def study_metrics(progresses: list[Progress]) -> Iterator[Metric]:
    """Yield the metrics of the studies."""
    yield _gauge(
        "hpsearch_study_budget_trials",
        "Budget: the number of trials to finish.",
        {(p.name,): p.budget for p in progresses},
        ("study",),
    )
    yield _gauge(
        "hpsearch_study_open",
        "1 if the study still has trials to run.",
        {(p.name,): state_of(p) in ("open", "running") for p in progresses},
        ("study",),
    )
    yield _gauge(
        "hpsearch_study_trials",
        "Trials by state.",
        {(p.name, state): getattr(p, state) for p in progresses for state in _STATES},
        ("study", "state"),
    )
    yield _gauge(
        "hpsearch_study_fates",
        "Trials by fate.",
        {(p.name, row.fate.value): row.trials for p in progresses for row in fate_rows(p)},
        ("study", "fate"),
    )
    yield _gauge(
        "hpsearch_study_epochs",
        "Started epochs by outcome.",
        {(p.name, cause): epochs for p in progresses for cause, epochs in p.ledger.items()},
        ("study", "cause"),
    )
    yield _gauge(
        "hpsearch_study_best_value",
        "The best value of the study's metric.",
        {(p.name,): p.best.value for p in progresses if p.best is not None and p.best.value is not None},
        ("study",),
    )


def worker_metrics(workers: list[WorkerRecord]) -> Metric:
    """Return the number of workers in each state."""
    counts = Counter(worker.state for worker in workers)
    return _gauge(
        "hpsearch_workers",
        "Registered workers by state; lost ones are listed for a day.",
        {(state,): counts[state] for state in _WORKER_STATES},
        ("state",),
    )


def _gauge(
    name: str, help_text: str, values: dict[tuple[str, ...], float], labels: tuple[str, ...] = ()
) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, float(value))
    return family
