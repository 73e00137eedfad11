"""`hpsearch worker start`: one worker, which goes from study to study."""

from dataclasses import dataclass, field
from typing import Final, final

from threadpoolctl import threadpool_limits

from hpsearch.cli.output import say
from hpsearch.cli.preparation import PreparedStudy, largest_row_bytes, prepare_study, rows_per_worker
from hpsearch.errors import HpsearchError, StorageError, StudyNotFoundError
from hpsearch.report.formats import format_count
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.machine import core_count, worker_name
from hpsearch.worker.stopping import StopRequest

DONE: Final = 0
INTERRUPTED: Final = 130
POLL_S: Final = 2.0
"""How often a worker without work looks for some."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOptions:
    """The options of `worker start`. A `parent` is the process that started this one and reads its stderr."""

    url: str
    study: str | None = None
    exit_when_idle: bool = False
    rows: int | None = None
    name: str | None = None
    parent: int | None = None


def work(options: WorkOptions) -> int:
    """Work until there is nothing left to do, or somebody asks to stop; return the exit code."""
    stop = StopRequest(parent=options.parent)
    stop.listen()
    with threadpool_limits(limits=1), open_store(options.url) as store:
        shift = _Shift(store=store, options=options, name=options.name or worker_name(), stop=stop)
        shift.say(f"started on {store.url_shown}; Ctrl-C ends it")
        shift.run()
        shift.say("stopped" if stop.is_asked else "nothing is left to do")
    return INTERRUPTED if stop.is_asked else DONE


@final
@dataclass(kw_only=True, slots=True)
class _Shift:
    """One worker's way from study to study. `refused` are those that cannot run here, for want of data perhaps."""

    store: Store
    options: WorkOptions
    name: str
    stop: StopRequest
    refused: set[str] = field(default_factory=set)

    def say(self, line: str) -> None:
        """Write a line to stderr, unless a parent shows what matters."""
        if self.options.parent is None:
            say(f"worker {self.name}: {line}")

    def run(self) -> None:
        """Work on one open study after the other. One that somebody deletes meanwhile is gone, no more."""
        while not self.stop.is_asked:
            try:
                study = self._open_study()
                if study is not None:
                    self._work(study)
                elif self.options.exit_when_idle:
                    return
                else:
                    self.stop.wait(POLL_S)
            except StudyNotFoundError:
                if self.options.study is not None:
                    raise

    def _open_study(self) -> StoredStudy | None:
        """Return the oldest study that still takes trials and was not refused."""
        named = self.options.study
        studies = self.store.studies() if named is None else [self.store.study(named)]
        for study in sorted(studies, key=lambda study: study.created):
            progress = self.store.progress(study)
            if study.key not in self.refused and not progress.is_done and progress.stopped is None:
                return study
        return None

    def _work(self, study: StoredStudy) -> None:
        """Train trials of `study` until it has none left. One that cannot run here is left to others."""
        try:
            prepared = prepare_study(study.spec)
            rows = self.options.rows or _rows(prepared)
            worker = self._worker(study, prepared, rows)
        except HpsearchError as error:
            if self.options.study is not None or isinstance(error, StorageError):
                raise
            self.refused.add(study.key)
            self.say(f'leaves the study "{study.spec.name}" to others: {error}')
            return
        self.say(f'study "{study.spec.name}": trains up to {format_count(rows, "trial")} at once')
        worker.run()
        ended = sum(trial.worker == self.name and trial.state.is_final for trial in self.store.trials(study))
        self.say(f'study "{study.spec.name}": {format_count(ended, "trial")} ended here')

    def _worker(self, study: StoredStudy, prepared: PreparedStudy, rows: int) -> Worker:
        return Worker(
            self.store,
            study,
            prepared.data,
            options=WorkerOptions(name=self.name, rows=rows, tell=self.say),
            stop=self.stop,
        )


def _rows(study: PreparedStudy) -> int:
    """Return how many trials to train at once, as one of as many workers as there are cores here."""
    return rows_per_worker(largest_row_bytes(study), budget=study.spec.trials, workers=core_count())
