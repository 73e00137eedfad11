"""The fleet on a launcher that runs nothing: its size, replacements, drains, and failures."""

import os
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.records import Placement, StoredStudy, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.fleet import launcher as launchers
from hpsearch.worker.fleet import supervision
from hpsearch.worker.fleet.launcher import (
    Ended,
    EngineUnavailableError,
    Exit,
    WorkerOrder,
    WorkerProcess,
)
from hpsearch.worker.fleet.local import LocalLauncher
from hpsearch.worker.fleet.supervision import Fleet, FleetSize
from hpsearch.worker.machine import placement_environment, placement_of
from hpsearch.worker.pool import WorkersFailedError
from hpsearch.worker.shutdown import StopRequest
from tests.contract.laboratory import FINGERPRINT, a_spec


@dataclass
class Bench:
    """A launcher that records its calls. Its workers are rows of the database that never claim by themselves."""

    store: Store
    engine: str = "bench"
    jobs: list[str] = field(default_factory=list)
    gone: list[Ended] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    is_away: bool = False
    started: int = 0

    def submit(self, count: int) -> Sequence[str]:
        """Register workers."""
        if self.is_away:
            raise EngineUnavailableError("bench: does not answer")
        new = [f"job-{self.started + i + 1}" for i in range(count)]
        self.started += count
        self.jobs += new
        for job in new:
            placement = Placement(engine=self.engine, node="rack 1", job=job, log="/log")
            self.store.workers.register(
                WorkerIdentity(name=f"w-{job}", host="h", process_id=1, version="0", placement=placement)
            )
        return new

    def ended(self) -> Sequence[Ended]:
        """Return the jobs that tests ended, and those whose worker was asked to stop."""
        asked = {w.identity.placement.job: w.identity.name for w in self.store.workers.all() if w.should_stop}
        for job, name in asked.items():
            if job in self.jobs:
                self.end(job, 0)
                self.store.workers.unregister(name)
        ended, self.gone = self.gone, []
        return ended

    def end(self, job: str, code: int | None) -> None:
        """Let a job end, with the exit code of its worker, or lost."""
        self.jobs.remove(job)
        left = None if code is None else Exit(worker=f"w-{job}", code=code, output="first\nlast")
        self.gone.append(Ended(job=job, exit=left, lost="node down"))

    def cancel(self, jobs: Collection[str]) -> None:
        """Note the jobs."""
        self.cancelled += jobs

    def close(self) -> None:
        """End all."""
        self.jobs.clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Yield an empty database."""
    with open_store(f"sqlite:///{tmp_path}/fleet.db") as store:
        yield store


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "LOOK_EVERY_S", 0.0)


def study_of(store: Store, *, trials: int = 4) -> StoredStudy:
    """Store a study."""
    return store.studies.create(a_spec("placed", trials=trials), fingerprint=FINGERPRINT)


def run(fleet: Fleet, *turns: Callable[[], object]) -> None:
    """Run the fleet: after each of its turns one of `turns`, and a request to stop after the last."""
    stop, left = StopRequest(), list(turns)

    def show() -> None:
        if left:
            left.pop(0)()
        else:
            stop.request()

    fleet.run(stop, show=show)


@pytest.mark.parametrize(
    ("backlog", "share", "wanted"), [(0, 1, 2), (3, 1, 3), (99, 1, 8), (99, 32, 4), (1, 32, 2)]
)
def test_the_size_follows_the_backlog(backlog: int, share: int, wanted: int) -> None:
    """One worker for each share of the unfinished trials, from the least to the most."""
    assert FleetSize(least=2, most=8, trials_per_worker=share).wanted(backlog) == wanted


def test_lost_and_failed_workers_are_replaced(store: Store) -> None:
    """A job that the engine lost or whose worker crashed has a successor, with a message; one that drained has too."""
    bench = Bench(store)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=3, most=3), study=study_of(store))
    run(
        fleet,
        lambda: bench.end("job-1", None),
        lambda: bench.end("job-2", -9),
        lambda: bench.end("job-3", 130),
    )
    assert (fleet.started, fleet.lost) == (6, 2)
    gone = "its trials go back when its worker drains or its leases run out, a new one starts"
    assert fleet.notes == [
        f"bench lost job-1: node down; {gone}",
        "bench job-2: killed by signal 9: last; no trials went back, a new one starts",
    ]


def test_trials_of_a_crashed_worker_go_back_at_once(store: Store) -> None:
    """The fleet saw the worker die, so this counts against its trials."""
    study, bench = study_of(store), Bench(store)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=1, most=1), study=study)

    def crash() -> None:
        store.queue.claim(study, worker="w-job-1", count=2, lease_s=600.0)
        bench.end("job-1", 137)

    run(fleet, crash)
    assert [one.kind for one in store.trials.attempts(study, 0)] == ["crashed"]
    assert store.queue.held(study, worker="w-job-1") == []
    assert "2 trials went back" in fleet.notes[0]


def test_workers_that_keep_failing_end_the_fleet(store: Store) -> None:
    """After more failures in a row than workers, and than five, the last lines of a log are the error."""
    bench = Bench(store)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=1, most=1), study=study_of(store))
    with pytest.raises(WorkersFailedError, match=r"bench: workers failed 6 times .*: first\nlast$"):
        run(fleet, *[lambda: bench.end(bench.jobs[0], 1)] * 9)
    assert bench.jobs == []


def test_surplus_workers_without_trials_are_stopped(store: Store) -> None:
    """If the backlog shrinks, workers that train nothing drain; those with trials stay, whatever their number."""
    study, bench = study_of(store), Bench(store)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=0, most=4))

    def work() -> None:
        store.queue.claim(study, worker="w-job-2", count=1, lease_s=600.0)
        store.studies.pause(study, by="ann")

    seen: list[Sequence[str]] = []
    run(fleet, work, lambda: None, lambda: seen.append(list(bench.jobs)))
    assert seen == [["job-2"]]


def test_a_fleet_of_one_study_ends_with_it(store: Store) -> None:
    """It starts no more workers than trials are left, ends if none is, and asks its workers to drain."""
    study, bench = study_of(store, trials=2), Bench(store)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=9, most=9), study=study)
    run(fleet, lambda: store.studies.pause(study, by="ann"), lambda: pytest.fail("it went on"))
    assert (fleet.started, bench.jobs, store.workers.all()) == (2, [], [])


def test_a_deleted_study_ends_its_fleet(store: Store) -> None:
    """That is an error, as for a worker."""
    study, bench = study_of(store), Bench(store)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=1, most=1), study=study)
    with pytest.raises(StudyNotFoundError):
        run(fleet, lambda: store.studies.delete(study.spec.name))
    assert bench.jobs == []


def test_an_engine_that_is_away_is_waited_for(store: Store) -> None:
    """It is noted once, and workers start when it answers again."""
    bench = Bench(store, is_away=True)
    fleet = Fleet(store=store, launcher=bench, size=FleetSize(least=1, most=1), study=study_of(store))
    run(fleet, lambda: None, lambda: setattr(bench, "is_away", False))
    assert (fleet.notes, fleet.started) == (["bench: does not answer; waiting for it"], 1)


def test_a_placement_passes_through_the_environment() -> None:
    """Engine, node, job and log reach the worker's row, and an unknown one is null."""
    placed = Placement(engine="slurm", node="n7", job="12_3")
    assert placement_environment(placed) == {
        "HPSEARCH_ENGINE": "slurm",
        "HPSEARCH_NODE": "n7",
        "HPSEARCH_JOB": "12_3",
    }
    assert placement_of({**placement_environment(placed), "HPSEARCH_LOG": ""}) == placed


def test_long_placements_are_cut(store: Store) -> None:
    """A path that is longer than its column does not keep a worker from starting."""
    placed = Placement(engine="x" * 99, node="y" * 999, job="z" * 999, log="/" * 9999)
    store.workers.register(WorkerIdentity(name="ann", host="h", process_id=1, version="0", placement=placed))
    store.workers.report_problem("ann", "p" * 9999)
    (worker,) = store.workers.all()
    found = worker.identity.placement
    assert [len(str(text)) for text in (found.engine, found.node, found.job, found.log)] == [
        32,
        255,
        190,
        1024,
    ]
    assert (worker.state, len(str(worker.problem))) == ("failing", 1024)


PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(130)); print('up', flush=True); "
)


@pytest.fixture
def _short_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an order run a program that prints its name, and ends with the exit code that its study names."""

    def command(order: WorkerOrder, name: str) -> list[str]:
        end = "signal.pause()" if order.study is None else f"sys.exit({order.study})"
        return [sys.executable, "-c", PROGRAM + end]

    monkeypatch.setattr(launchers.WorkerOrder, "command", command)


@pytest.mark.usefixtures("_short_order")
def test_a_worker_process_ends_as_it_is_told(tmp_path: Path) -> None:
    """`wait` returns its exit code and last output, and drains it once it is cancelled."""
    placement = Placement(log=str(tmp_path / "log"))
    left = WorkerProcess(WorkerOrder(url="x", study="3"), placement).wait()
    assert (left.code, left.output, left.is_failure) == (3, "up", True)
    process = WorkerProcess(WorkerOrder(url="x"), placement)
    left = process.wait(is_cancelled=lambda: (tmp_path / "log").read_text().count("up") == 2)
    assert (left.code, left.is_failure) == (130, False)


@pytest.mark.usefixtures("_short_order")
def test_local_workers_have_a_log_each_and_end_with_the_launcher(tmp_path: Path) -> None:
    """A log in the folder is private to its worker, and `close` leaves no process."""
    launcher = LocalLauncher(WorkerOrder(url="x"), tmp_path / "fleet")
    jobs = launcher.submit(2)
    processes = [launcher._processes[job]._popen for job in jobs]
    launcher.close()
    assert all(process.returncode in (130, -signal.SIGTERM) for process in processes)
    assert len(list((tmp_path / "fleet").iterdir())) == 2


def test_a_workers_command_has_no_url() -> None:
    """Lists of processes show command lines; the URL is in the environment, and not in an order's text."""
    order = WorkerOrder(url="postgresql://ann:secret@db/x", study="a b", rows=3, lease_s=2.0)
    command = order.command("w")
    assert "secret" not in f"{command} {order}"
    assert command[4:] == [
        *("worker", "start", "--name", "w", "--parent", str(os.getpid())),
        *("--study", "a b", "--exit-when-idle", "--cohort", "3", "--lease", "2.0"),
    ]
