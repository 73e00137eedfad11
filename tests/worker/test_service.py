"""The service: a worker's choice of study, its switches, and its messages about them."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from sqlalchemy import text

import hpsearch
from hpsearch.errors import FingerprintError, StudyNotFoundError, VersionError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.study.spec import DataSpec, NotifySpec, PruningSpec, Range, SamplerSpec, StudySpec, TrainingSpec
from hpsearch.worker import service
from hpsearch.worker.preparation import PreparedStudy, prepare_stored, prepare_study
from hpsearch.worker.service import ServiceOptions
from hpsearch.worker.shutdown import do_nothing

SPEC = StudySpec(
    name="iris",
    data=DataSpec(source="iris"),
    trials=6,
    training=TrainingSpec(epochs=2, batch_size=32),
    search=(Range(name="learning_rate", low=1e-3, high=1.0, log=True),),
    sampler=SamplerSpec(name="random"),
    pruning=PruningSpec(rank="none"),
)


class Bench:
    """A database, and services that work on it in this process until they are idle."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store: Store = open_store(url)
        self.messages: list[str] = []

    def create(self, name: str, *, priority: int = 0, trials: int = 6, epochs: int = 2) -> StoredStudy:
        """Store a study of iris and return it."""
        spec = replace(SPEC, name=name, trials=trials, training=replace(SPEC.training, epochs=epochs))
        prepared = prepare_study(spec)
        study = self.store.studies.create(prepared.spec, fingerprint=prepared.data.fingerprint)
        return self.store.studies.set_priority(study, priority)

    def work(self, study: str | None = None, *, notify: Callable[[str], None] = do_nothing) -> list[str]:
        """Work until nothing is left to do, and return the worker's messages about studies."""
        self.messages.clear()

        def record(line: str) -> None:
            self.messages.append(line.removeprefix("worker ann: "))
            notify(self.messages[-1])

        options = ServiceOptions(
            url=self.url,
            notify=record,
            study=study,
            exit_when_idle=True,
            rows=2,
            name="ann",
            look_every_s=0.05,
        )
        assert service.work(options) == 0
        return [line for line in self.messages if line.startswith(("study", "skips"))]

    def finished(self, study: StoredStudy) -> int:
        """Return the number of finished trials of a study."""
        return self.store.studies.progress(study).finished

    def run(self, statement: str) -> None:
        """Execute a statement in the database."""
        with self.store._transactions.engine.begin() as connection:
            connection.execute(text(statement))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Yield an empty database, and restore the signal handlers."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    bench = Bench(f"sqlite:///{tmp_path}/shift.db")
    yield bench
    bench.store.close()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_data_in_memory_is_not_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker uses the data that its process has, if it is the study's, and reads any other study's."""
    own, other = bench.create("own"), bench.create("other")
    another = prepare_study(replace(SPEC, seed=8)).data
    read: list[str] = []

    def prepare(store: Store, study: StoredStudy) -> PreparedStudy:
        read.append(study.spec.name)
        return prepare_stored(store, study)

    monkeypatch.setattr(service, "prepare_stored", prepare)
    for study, data in ((own, prepare_study(SPEC).data), (other, another)):
        options = ServiceOptions(
            url=bench.url, notify=do_nothing, study=study.spec.name, exit_when_idle=True, data=data
        )
        assert service.work(options) == 0
        assert bench.finished(study) == 6
    assert read == ["other"]


@pytest.mark.parametrize("engine", ["slurm", None])
def test_workers_of_fleets_send_notifications(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, engine: str | None
) -> None:
    """The process that started a worker sends them, unless it is a job of an engine, which watches no study."""
    if engine is not None:
        monkeypatch.setenv("HPSEARCH_ENGINE", engine)
    spec = replace(SPEC, trials=1, notify=NotifySpec(urls=("json://127.0.0.1:9",)))
    prepared = prepare_study(spec)
    bench.store.studies.create(prepared.spec, fingerprint=prepared.data.fingerprint)
    lines: list[str] = []
    options = ServiceOptions(
        url=bench.url, notify=lines.append, study="iris", exit_when_idle=True, parent=os.getppid()
    )
    service.work(options)
    assert any("did not take the notification" in line for line in lines) is (engine is not None)


def test_studies_are_served_by_priority_and_age(bench: Bench) -> None:
    """Without a study of its own a worker takes the one of the highest priority, of equal ones the oldest."""
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", -2)):
        bench.create(name, priority=priority)
    assert [line for line in bench.work() if "ended" in line] == [
        f'study "{name}": 6 trials ended here' for name in "bacd"
    ]
    assert {bench.finished(study) for study in bench.store.studies.all()} == {6}
    assert bench.store.workers.all() == []


def test_a_worker_with_a_study_serves_no_other(bench: Bench) -> None:
    """`--study` restricts the worker to that study, even if others wait; the name must exist."""
    urgent, own = bench.create("urgent", priority=9), bench.create("own")
    bench.work("own")
    assert (bench.finished(urgent), bench.finished(own)) == (0, 6)
    with pytest.raises(StudyNotFoundError, match=r"did you mean own\?$"):
        bench.work("owm")


def test_a_worker_switches_to_a_more_urgent_study(bench: Bench) -> None:
    """When a study of higher priority appears, a worker finishes its trials, switches, and returns later."""
    low = bench.create("low", trials=60, epochs=100)

    def appear(line: str) -> None:
        if line == 'study "low": trains up to 2 trials at once' and len(bench.store.studies.all()) == 1:
            bench.create("high", priority=1)

    lines = bench.work(notify=appear)
    first, *_, last = [line for line in lines if "ended here" in line]
    assert [line.split(":")[0] for line in lines if "ended here" in line] == [
        'study "low"',
        'study "high"',
        'study "low"',
    ]
    before, after = int(first.split()[2]), int(last.split()[2])
    assert before + after == bench.finished(low) == 60
    assert 1 <= before < 60
    assert [bench.store.trials.attempts(low, number) for number in range(60)] == [[]] * 60


def test_a_study_held_by_others_does_not_block_the_next(bench: Bench) -> None:
    """If another worker has the rest of the first study, a worker switches to the next, and returns later."""
    first, second = bench.create("first", priority=1), bench.create("second")
    bench.store.queue.claim(first, worker="bob", count=6, lease_s=600.0)

    def release(line: str) -> None:
        if line == 'study "second": 6 trials ended here':
            bench.store.queue.release(first, worker="bob", numbers=None, why="stopped", crashed=False)

    assert [line for line in bench.work(notify=release) if "ended" in line] == [
        'study "second": 6 trials ended here',
        'study "first": 6 trials ended here',
    ]
    assert (bench.finished(first), bench.finished(second)) == (6, 6)


def test_a_worker_reports_why_studies_stopped(bench: Bench) -> None:
    """A paused study and one with too many failures are reported once, with remedies; the others continue."""
    paused, failed, open_study = bench.create("paused"), bench.create("failed"), bench.create("open")
    why = bench.store.studies.pause(paused, by="ann@node7")
    stock = optuna.load_study(study_name="failed", storage=bench.url)
    for _ in range(3):
        stock.tell(stock.ask(), state=optuna.trial.TrialState.FAIL)
    assert bench.work() == [
        f'study "paused": {why}: `hpsearch study resume paused` continues it',
        (
            'study "failed": stopped: 3 of 6 trials failed: no verdict 3: '
            "see `hpsearch study trials failed --state failed`; `hpsearch study edit failed --trials 40` continues it"
        ),
        'study "open": trains up to 2 trials at once',
        'study "open": 6 trials ended here',
    ]
    assert [bench.finished(study) for study in (paused, failed, open_study)] == [0, 0, 6]


def test_a_study_that_stops_during_work_is_reported(bench: Bench) -> None:
    """A worker of a paused study finishes its trials, reports the reason, and is idle."""
    study = bench.create("long", trials=60, epochs=100)

    def pause(line: str) -> None:
        if "trains up to" in line:
            bench.store.studies.pause(study, by="ann@node7")

    lines = bench.work("long", notify=pause)
    assert '"long": paused by ann@node7' in lines[-1]
    progress = bench.store.studies.progress(study)
    assert (progress.running, progress.waiting) == (0, 0)
    assert progress.finished < 60


def test_a_study_of_another_major_version_is_skipped(bench: Bench) -> None:
    """Trials of another major version may have other numbers: the worker is refused, with both versions."""
    study = bench.create("old")
    bench.run("UPDATE hpsearch_studies SET hpsearch_version = '7.2.1'")
    refusal = (
        f'study "old": was made by hpsearch 7.2.1, and its trials must be trained by hpsearch 7 '
        f"(got {hpsearch.__version__}): use that version"
    )
    with pytest.raises(VersionError) as caught:
        bench.work("old")
    assert str(caught.value) == refusal
    assert bench.store.workers.all() == []
    bench.create("new")
    assert bench.work()[0] == f'skips the study "old": {refusal}'
    assert bench.finished(study) == 0


def test_a_study_with_other_data_is_skipped(bench: Bench) -> None:
    """A worker with data other than the study's is refused, with both fingerprints."""
    study = bench.create("other")
    bench.run("UPDATE hpsearch_studies SET fingerprint = 'feedbeef'")
    refusal = (
        f'study "other": its data has the fingerprint feedbeef (got {study.fingerprint} from '
        f"{prepare_study(SPEC).data.origin}): restore the data that the study was created with, "
        "or create another study"
    )
    with pytest.raises(FingerprintError) as caught:
        bench.work("other")
    assert str(caught.value) == refusal
    assert bench.work() == [f'skips the study "other": {refusal}']
    assert bench.finished(study) == 0


def test_a_worker_follows_a_study_that_another_client_renames(bench: Bench) -> None:
    """It prints the study's new name and continues to the exact budget, even without `--study`."""
    for study in ("iris", None):
        name = bench.create(f"from-{study}", trials=8, epochs=30)

        def rename(line: str, old: str = name.spec.name) -> None:
            if line == f'study "{old}": trains up to 2 trials at once':
                storage = optuna.storages.RDBStorage(bench.url)
                optuna.copy_study(
                    from_study_name=old, from_storage=storage, to_storage=storage, to_study_name=f"{old}-new"
                )
                optuna.delete_study(study_name=old, storage=storage)
                storage.remove_session()
                storage.engine.dispose()

        lines = bench.work(None if study is None else name.spec.name, notify=rename)
        if study is not None:
            assert f'study "{name.spec.name}": was renamed to "{name.spec.name}-new"' in lines
        renamed = bench.store.studies.get(f"{name.spec.name}-new")
        assert (renamed.key, bench.finished(renamed)) == (name.key, 8)


def test_a_worker_reports_the_trials_that_it_waits_for(bench: Bench) -> None:
    """It reports another client's trial once, with the command that ends the wait, and then continues."""
    for named in (True, False):
        study = bench.create(f"waits-{named}", trials=3)
        optuna.load_study(study_name=study.spec.name, storage=bench.url).ask()

        def clear(line: str, study: StoredStudy = study) -> None:
            if "waits for trial 0" in line:
                bench.store.queue.retry(study, 0)

        lines = bench.work(study.spec.name if named else None, notify=clear)
        (message,) = (line for line in lines if "waits for" in line)
        assert f"`hpsearch trial retry {study.spec.name} 0` trains it here" in message
        assert bench.finished(study) == 3
