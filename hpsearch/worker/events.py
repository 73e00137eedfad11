"""Events of a study for programs, as lines of JSON or calls of a function.

A watcher compares the present state of the database with the one that it read before. So its stream has every event of
the study once, from all workers, also of those that were killed, in the order of the database.
"""

import json
import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias, final

from hpsearch.errors import UsageError
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.storage.trials import Mark
from hpsearch.trials import Trial, TrialState

EventName: TypeAlias = Literal[
    "study_started",
    "study_finished",
    "study_failed",
    "study_paused",
    "trial_finished",
    "trial_failed",
    "new_best",
    "worker_joined",
    "worker_left",
    "worker_lost",
]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One event of a study. `time` is in UTC; fields without a meaning for the event are None.

    `trial`, `state`, `value`, `verdict` and `worker` describe a trial or a worker; `value` is None unless it is finite.
    `reason` is why a study is paused or failed. `finished` and `budget` are the counts of trials at that time.

    >>> def note(event: hpsearch.Event) -> None:
    ...     print(event.event, event.trial)
    """

    time: datetime
    event: EventName
    study: str
    trial: int | None = None
    state: str | None = None
    value: float | None = None
    verdict: str | None = None
    worker: str | None = None
    reason: str | None = None
    finished: int | None = None
    budget: int | None = None

    def to_json(self) -> str:
        """Return the event as one line of JSON with all of its fields."""
        fields: dict[str, Any] = asdict(self) | {"time": self.time.isoformat()}
        return json.dumps(fields, allow_nan=False, separators=(",", ":"))


Emit: TypeAlias = Callable[[Event], None]


@final
class StudyWatcher:
    """Finds the events of one study since the last look. Trials that had ended before the first look are none.

    `lost` returns the names of workers that have died by what the caller sees; the registry notices that later.
    """

    def __init__(self, store: Store, lost: Callable[[], Collection[str]] = tuple) -> None:
        self._store = store
        self._lost_names = lost
        self._mark: Mark | None = None
        self._best: float | None = None
        self._state: str | None = None
        self._workers: set[str] = set()
        self._gone: set[str] = set()

    def look(self, study: StoredStudy, progress: Progress) -> list[Event]:
        """Return the events since the last look, in order; `progress` was read just now.

        The first look returns at most that the study started.
        """
        is_first = self._mark is None
        # Read after the progress: a study is finished after all of its trials.
        changed, self._mark = self._store.trials.changes(study, self._mark)
        ended = sorted((t for t in changed if t.state.is_final), key=_end_of)
        started = [_of_study("study_started", progress)] if is_first and _is_open(progress) else []
        workers = list(self._worker_events(study))
        trials = [event for trial in ended for event in self._trial_events(study, trial, progress)]
        return [
            *started,
            *workers,
            *([] if is_first else trials),
            *self._state_events(progress, is_first=is_first),
        ]

    def _trial_events(self, study: StoredStudy, trial: Trial, progress: Progress) -> Iterator[Event]:
        event = Event(
            time=trial.finished or datetime.now(UTC),
            event="trial_failed" if trial.state is TrialState.FAILED else "trial_finished",
            study=study.name,
            trial=trial.number,
            state=trial.state.value,
            value=trial.value if trial.value is not None and math.isfinite(trial.value) else None,
            verdict=None if trial.verdict is None else trial.verdict.value,
            worker=trial.worker,
            finished=progress.finished,
            budget=progress.budget,
        )
        yield event
        if trial.is_ranked and trial.value is not None and self._is_better(trial.value, study):
            self._best = trial.value
            yield replace(event, event="new_best")

    def _is_better(self, value: float, study: StoredStudy) -> bool:
        return self._best is None or (value > self._best if study.maximize else value < self._best)

    def _worker_events(self, study: StoredStudy) -> Iterator[Event]:
        """Yield the workers of this study that came and went."""
        workers = self._store.workers.all(sweep=False)
        dead = set(self._lost_names())
        there = {worker.identity.name for worker in workers}
        here = {w.identity.name for w in workers if study.name in w.running and not w.is_lost}
        for name in sorted(here - self._workers - self._gone):
            self._workers.add(name)
            yield _of_worker("worker_joined", study, name)
        lost = {worker.identity.name for worker in workers if worker.is_lost} | dead
        for name in sorted(self._workers & (lost | (self._workers - there))):
            self._workers.remove(name)
            self._gone.add(name)
            yield _of_worker("worker_lost" if name in lost else "worker_left", study, name)

    def _state_events(self, progress: Progress, *, is_first: bool) -> Iterator[Event]:
        state = state_event(progress)
        if state is not None and state != self._state and not is_first:
            yield _of_study(state, progress)
        self._state = state


def state_event(progress: Progress) -> EventName | None:
    """Return the event that led to a study's present state; None while it takes trials."""
    if progress.is_done:
        return "study_finished"
    if progress.stopped is None:
        return None
    return "study_paused" if progress.is_paused else "study_failed"


def failed_event(study: StoredStudy, progress: Progress, reason: str) -> Event:
    """Return the event of a run that ended with an error."""
    return Event(
        time=datetime.now(UTC),
        event="study_failed",
        study=study.name,
        reason=reason,
        finished=progress.finished,
        budget=progress.budget,
    )


def _is_open(progress: Progress) -> bool:
    return state_event(progress) is None


def _end_of(trial: Trial) -> tuple[datetime, int]:
    return trial.finished or datetime.max.replace(tzinfo=UTC), trial.number


def _of_study(name: EventName, progress: Progress) -> Event:
    return Event(
        time=datetime.now(UTC),
        event=name,
        study=progress.name,
        reason=progress.stopped if name in ("study_paused", "study_failed") else None,
        finished=progress.finished,
        budget=progress.budget,
    )


def _of_worker(name: EventName, study: StoredStudy, worker: str) -> Event:
    return Event(time=datetime.now(UTC), event=name, study=study.name, worker=worker)


@final
class EventFile:
    """A file of events, one line each, which several processes may append to at the same time."""

    def __init__(self, path: str) -> None:
        """Open the file, or the standard output for `-`. Raises UsageError if it cannot be written."""
        try:
            self._descriptor = (
                os.dup(1) if path == "-" else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            )
        except OSError as error:
            raise UsageError(
                f"--events: must be a file that can be written, or - for standard output (got {path}:"
                f" {error.strerror}): name another one"
            ) from error

    def write(self, event: Event) -> None:
        """Append the event, in one write, so that lines of several processes do not mix."""
        with suppress(BrokenPipeError):  # such as of `| head`
            os.write(self._descriptor, event.to_json().encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
