"""Local workers of one study: start them as processes, watch them, replace crashed ones, and stop them.

Each is a fork of this process, if that is allowed and the study trains networks, or else a new process. It has one BLAS
thread, and gets the database's URL through its environment, which no process list shows. A new process does not import
from the current folder, which may contain a user's own `numpy.py`.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, final

import hpsearch
from hpsearch.data.prepare import PreparedData
from hpsearch.errors import HpsearchError, Problem, StudyFileError, StudyNotFoundError
from hpsearch.storage.foreign_trials import waiting_sentence
from hpsearch.storage.orphans import renamed_sentence
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.messages import format_count
from hpsearch.study.spec import ObjectiveSpec, StudySpec
from hpsearch.worker import fork
from hpsearch.worker.machine import worker_name
from hpsearch.worker.retry import Reconnect
from hpsearch.worker.service import ServiceOptions
from hpsearch.worker.shutdown import INTERRUPTED, DrainWatch, StopRequest, do_nothing

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
POLL_S = 0.1
PROGRESS_EVERY_S = 0.5
MOST_CRASHES_WITHOUT_PROGRESS = 5
DRAIN_WITHIN_S = 6.0
"""Time for the workers to end: each ends within 5 s by itself."""

END_WITHIN_S = 8.8
"""Time for the whole stop after a request. A command that started the pool ends slightly earlier."""

USER_ERROR = 1


class WorkersFailedError(HpsearchError):
    """Workers cannot work, for a reason that a retry would not change."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PoolOptions:
    """The number of worker processes, the number of trials that each trains at once, and the study's database.

    `ends_process` allows the pool to end its own process if stopping takes too long. With `work_in_fork`, which runs a
    worker and returns its exit code, and the study's `data`, workers are forks of this process. `meanwhile` is called
    once while the workers train.
    """

    workers: int
    rows: int | None
    url: str
    environment: Mapping[str, str]
    ends_process: bool = True
    work_in_fork: Callable[[ServiceOptions], int] | None = None
    data: PreparedData | None = None
    meanwhile: Callable[[], None] = do_nothing


@final
@dataclass(kw_only=True, slots=True)
class _Process:
    """One worker process, started for the study whose name was `study` at that time.

    Its error output goes to a file, because an unread pipe would block it.
    """

    name: str
    study: str
    popen: subprocess.Popen[bytes] | fork.Fork
    errors: IO[bytes]
    is_stop_requested: bool = False

    def request_stop(self) -> None:
        """Ask the worker to drain, only once: a second request would stop it immediately."""
        if not self.is_stop_requested and self.popen.poll() is None:
            self.is_stop_requested = True
            self.popen.send_signal(signal.SIGTERM)

    def error_output(self) -> str:
        """Return the last lines that the worker wrote to its error output."""
        self.errors.seek(0)
        return self.errors.read()[-4000:].decode(errors="replace").strip()


@final
@dataclass(slots=True)
class Pool:
    """Keeps `options.workers` processes at work on one study, which is followed if it is renamed.

    `notes` collects messages for users: crashes and the reactions to them. `crashed` names the workers that died.
    """

    store: Store
    study: StoredStudy
    options: PoolOptions
    notes: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    _processes: list[_Process] = field(default_factory=list)
    _started: int = 0
    _crashes_without_progress: int = 0
    _ended: int = -1
    _waited_for: frozenset[int] = frozenset()

    def run(self, stop: StopRequest, *, show: Callable[[Progress], None]) -> Progress:
        """Work until the study is done or stopped, or `stop` is requested; call `show` about twice a second.

        Afterwards no process is left and none holds a trial, unless the database does not answer: then this process
        ends within 10 s of a request to stop, and leases expire by themselves. Raises WorkersFailedError if workers
        report an error of the user's, or crash repeatedly without finishing a trial.
        """
        watch = DrainWatch(
            stop,
            on_request=self._request_stop_of_all,
            hand_back=self._kill_all,
            within_s=END_WITHIN_S,
            ends_process=self.options.ends_process,
        )
        with watch:
            try:
                self._watch(stop, show)
            finally:
                self._stop_all(stop)
            progress = self._progress(stop)
            show(progress)
            return progress

    def _watch(self, stop: StopRequest, show: Callable[[Progress], None]) -> None:
        shown_at = -PROGRESS_EVERY_S
        progress = self._progress(stop)
        wanted = 0 if progress.is_done or progress.stopped is not None else self.options.workers
        self._processes = [self._start() for _ in range(wanted)]
        if self._processes and not stop.is_requested:
            self.options.meanwhile()
        while self._processes and not stop.is_requested:
            self._reap()
            if time.monotonic() - shown_at >= PROGRESS_EVERY_S:
                shown_at = time.monotonic()
                progress = self._progress(stop)
                self._note_progress(progress)
                self._note_waiting(progress)
                show(progress)
            stop.wait(POLL_S)

    def _progress(self, stop: StopRequest) -> Progress:
        """Return the study's progress. Waits for a database that is temporarily gone, as workers do."""
        reconnect = Reconnect(stop=stop, notify=self.notes.append)
        return reconnect.call(self._look)

    def _look(self) -> Progress:
        try:
            return self.store.studies.progress(self.study, living=self.live_workers())
        except StudyNotFoundError:
            self._follow()
            return self.store.studies.progress(self.study, living=self.live_workers())

    def live_workers(self) -> list[str]:
        """Return the names of the running workers, regardless of clocks and leases."""
        return [process.name for process in self._processes if process.popen.poll() is None]

    def _follow(self) -> None:
        """Continue the study under the name or id that another Optuna client gave it. Raises StudyNotFoundError."""
        found = self.store.studies.current(self.study)
        if found.spec.name != self.study.spec.name:
            self.notes.append(renamed_sentence(self.study, found))
        self.study = found

    def _release(self, name: str, why: str, *, crashed: bool) -> list[int]:
        """Hand back the trials of an ended process; a deleted study has none."""
        try:
            return self.store.queue.release(self.study, worker=name, numbers=None, why=why, crashed=crashed)
        except StudyNotFoundError:
            return []

    def _start(self) -> _Process:
        self._started += 1
        name, study, errors = f"{worker_name()}-{self._started}", self.study.spec.name, _errors_file()
        start = self._fork if self._can_fork() else self._spawn
        return _Process(name=name, study=study, popen=start(name, errors), errors=errors)

    def _can_fork(self) -> bool:
        return fork.IS_POSSIBLE and self.options.work_in_fork is not None and self.options.data is not None

    def _fork(self, name: str, errors: IO[bytes]) -> fork.Fork:
        work = self.options.work_in_fork
        assert work is not None
        options = ServiceOptions(
            url=self.options.url,
            notify=do_nothing,  # this process shows the progress
            study=self.study.spec.name,
            exit_when_idle=True,
            rows=self.options.rows,
            name=name,
            parent=os.getpid(),
            data=self.options.data,
        )
        environment = worker_environment({}, self.options.url)
        return fork.Fork(lambda: work(options), environment=environment, errors=errors)

    def _spawn(self, name: str, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 # our own interpreter, our own program
            worker_command(name, study=self.study.spec.name, rows=self.options.rows),
            env=worker_environment(self.options.environment, self.options.url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches only us: we pass it on
        )

    def _reap(self) -> None:
        """Record workers that ended; replace those that crashed."""
        for process in list(self._processes):
            code = process.popen.poll()
            if code is None:
                continue
            self._processes.remove(process)
            with process.errors:
                self._handle_exit(process, code)

    def _handle_exit(self, process: _Process, code: int) -> None:
        """Record how a worker ended, and start another one if it crashed."""
        if code == INTERRUPTED:
            self.notes.append(f"{process.name}: was stopped by another program; its trials wait again")
        elif code == USER_ERROR and self._was_renamed(process):
            self._processes.append(self._start())
        elif code == USER_ERROR:
            raise WorkersFailedError(process.error_output() or f"worker {process.name}: exit code {code}")
        elif code != 0:
            self._return_trials(process, code)
            self._processes.append(self._start())

    def _was_renamed(self, process: _Process) -> bool:
        """Return True if the study was renamed before the process could find it. Raises StudyNotFoundError."""
        self._follow()
        return self.study.spec.name != process.study

    def _return_trials(self, process: _Process, code: int) -> None:
        """Return a crashed worker's trials to the budget immediately, without waiting for its leases."""
        why = exit_words(code)
        numbers = self._release(process.name, why, crashed=True)
        self.crashed.append(process.name)
        words = process.error_output().splitlines()
        reason = f": {words[-1]}" if words else ""
        trials = format_count(len(numbers), "trial")
        self.notes.append(f"{process.name}: {why}{reason}; {trials} went back, a new one starts")
        self._crashes_without_progress += 1
        if self._crashes_without_progress > MOST_CRASHES_WITHOUT_PROGRESS:
            raise WorkersFailedError(
                f"study {self.study.spec.name}: workers crashed {self._crashes_without_progress} times "
                f"without finishing a trial; the last one: {why}{reason}"
            )

    def _note_progress(self, progress: Progress) -> None:
        """Forget earlier crashes once trials have ended again, including those that failed with their third worker."""
        ended = progress.finished + progress.failed
        if ended > self._ended:
            self._ended = ended
            self._crashes_without_progress = 0

    def _note_waiting(self, progress: Progress) -> None:
        """Note once that only trials of other Optuna clients are left."""
        numbers = frozenset(trial.number for trial in progress.waits_for)
        if numbers - self._waited_for:
            self.notes.append(waiting_sentence(progress.name, progress.waits_for))
        self._waited_for = numbers

    def _stop_all(self, stop: StopRequest) -> None:
        """Drain all workers, kill those that do not end in time, and hand back their trials.

        A second request to stop, raised as StopNowError, kills them immediately. Later ones have no effect.
        """
        try:
            self._drain()
        finally:
            with stop.shield():
                self._end_all()
                self._hand_back()

    def _end_all(self) -> None:
        self._kill_all()
        for process in self._processes:
            process.popen.wait()
            process.errors.close()

    def _hand_back(self) -> None:
        """Hand back the trials of killed workers. If the database does not answer, the leases expire, without blame."""
        why = "the worker was stopped before it handed its trials back"
        killed = [p.name for p in self._processes if p.popen.returncode not in (0, INTERRUPTED)]
        self._processes.clear()
        for name in killed:
            try:
                self._release(name, why, crashed=False)
            except HpsearchError as error:
                self.notes.append(f"{name}: its trials go back when their leases run out: {error}")
                return

    def _request_stop_of_all(self) -> None:
        for process in list(self._processes):
            process.request_stop()

    def _kill_all(self) -> None:
        for process in list(self._processes):
            process.popen.kill()

    def _drain(self) -> None:
        """Ask all workers to hand back their trials, and wait for them at most `DRAIN_WITHIN_S`."""
        self._request_stop_of_all()
        deadline = time.monotonic() + DRAIN_WITHIN_S
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, deadline - time.monotonic()))


CHECK_WITHIN_S = 120.0
"""Time for the import of a training function's module."""

_CHECK = (
    "import sys; from hpsearch.objective.child import load_function; load_function(sys.argv[1], sys.argv[2:])"
)


def check_function(spec: StudySpec, objective: ObjectiveSpec, environment: Mapping[str, str]) -> None:
    """Raise StudyFileError unless a process like a worker's can import the study's training function."""
    command = [sys.executable, "-P", "-c", _CHECK, objective.function, *objective.python_path]
    try:
        done = subprocess.run(  # noqa: S603 # our own interpreter, our own program
            command,
            env=worker_environment(environment, ""),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHECK_WITHIN_S,
            check=False,
        )
        lines, is_right = done.stderr.decode(errors="replace").strip().splitlines(), done.returncode == 0
    except subprocess.TimeoutExpired:
        lines, is_right = [f"no end within {CHECK_WITHIN_S:g} s"], False
    if not is_right:
        why = lines[-1] if lines else "the process ended early"
        searched = f", also in {', '.join(objective.python_path)}" if objective.python_path else ""
        message = (
            f'must be a function that workers can import (got "{objective.function}"{searched}: {why}): '
            "correct it, or set objective.python_path"
        )
        raise StudyFileError(spec.name, [Problem(where="objective.function", message=message)])


def _errors_file() -> IO[bytes]:
    """Return a file for a worker's error output; on a full disk the output is discarded."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return Path(os.devnull).open("r+b")


def worker_command(name: str, *, study: str | None, rows: int | None) -> list[str]:
    """Return the command of a worker that ends with this process, and with its `study` unless it serves all (None)."""
    # -P: do not import from the current folder, which is the user's.
    command = [sys.executable, "-P", "-m", "hpsearch", "worker", "start"]
    command += ["--name", name, "--parent", str(os.getpid())]
    command += [] if study is None else ["--study", study, "--exit-when-idle"]
    return command + ([] if rows is None else ["--cohort", str(rows)])


def exit_words(code: int) -> str:
    """Return how a worker with that exit code ended; a negative one is the number of a signal."""
    return (
        f"the worker was killed by signal {-code}" if code < 0 else f"the worker ended with exit code {code}"
    )


def worker_environment(environment: Mapping[str, str], url: str) -> dict[str, str]:
    """Return a worker's environment: one BLAS thread, the database's URL, and the path of this package."""
    threads = dict.fromkeys(THREAD_VARIABLES, "1")
    return {**environment, **threads, **_python_path(environment), "HPSEARCH_STORAGE": url}


def _python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the PYTHONPATH on which a worker finds this package; empty if it needs none.

    A source checkout that is not installed is found only because its folder, the current one or the script's, is the
    first entry of `sys.path`, which a worker lacks.
    """
    folder = Path(hpsearch.__file__).resolve().parents[1]
    lasting = sys.path if sys.flags.safe_path else sys.path[1:]
    if any(Path(entry).resolve() == folder for entry in lasting if entry):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH")]))}
