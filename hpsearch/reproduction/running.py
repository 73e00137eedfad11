"""Experiments run side by side, in separate processes with one thread each."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from threadpoolctl import threadpool_limits

from hpsearch.errors import HpsearchError
from hpsearch.reproduction.catalogue import EXPERIMENTS
from hpsearch.reproduction.keeping import keep, kept, key_of, source_digest
from hpsearch.reproduction.laboratory import Lab
from hpsearch.reproduction.records import Outcome


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A study whose experiment has finished, now or in an earlier call, and the number `wanted` in all.

    `unkept` is the reason if it could not be stored for the next call.
    """

    study: str
    seconds: float
    was_kept: bool
    done: int
    wanted: int
    unkept: str = ""


def keys_of(studies: Sequence[str], lab: Lab) -> dict[str, str]:
    """Return the storage key of each study's outcome. Raises DataError if the lab's source cannot be read."""
    digest = source_digest(lab.source)
    return {study: key_of(study, lab, digest) for study in studies}


def reproduce(
    keys: Mapping[str, str], lab: Lab, *, folder: Path, workers: int, show: Callable[[Ended], None]
) -> dict[str, Outcome]:
    """Return the outcomes of the studies of `keys_of`, by name; those stored under `folder` are not run again.

    Each is stored as soon as it is complete. An interrupt ends the processes and leaves no partial file.
    """
    outcomes: dict[str, Outcome] = {}

    def note(outcome: Outcome, *, was_kept: bool, unkept: str = "") -> None:
        outcomes[outcome.study] = outcome
        show(
            Ended(
                study=outcome.study,
                seconds=outcome.seconds,
                was_kept=was_kept,
                done=len(outcomes),
                wanted=len(keys),
                unkept=unkept,
            )
        )

    for study, key in keys.items():
        if (found := kept(folder, study, lab, key)) is not None:
            note(found, was_kept=True)
    missing = [study for study in EXPERIMENTS if study in keys and study not in outcomes]
    for outcome in _run_all(missing, lab, workers=workers):
        unkept = keep(folder, outcome, lab, keys[outcome.study])
        note(outcome, was_kept=False, unkept=unkept)
    return outcomes


def run_one(study: str, lab: Lab) -> Outcome:
    """Return the outcome of one study, run in this process with one thread."""
    began = time.monotonic()
    with threadpool_limits(limits=1):
        outcome = EXPERIMENTS[study](lab)
    return replace(outcome, seconds=time.monotonic() - began)


def _run_all(studies: Sequence[str], lab: Lab, *, workers: int) -> Iterator[Outcome]:
    """Yield the outcomes as they complete. Raises HpsearchError if a process dies."""
    if workers == 1 or len(studies) <= 1:
        yield from (run_one(study, lab) for study in studies)
        return
    with _processes(min(workers, len(studies))) as executor:
        running: Mapping[Future[Outcome], str] = {
            executor.submit(run_one, study, lab): study for study in studies
        }
        for future in as_completed(running):
            try:
                yield future.result()
            except BrokenProcessPool as error:
                raise HpsearchError(
                    f"{running[future]}: a process of it died, perhaps for lack of memory: "
                    "run it again with --workers 1; what was finished is kept"
                ) from error


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that are terminated on exit, even after an error."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_belong_to_the_parent)
    try:
        yield executor
        executor.shutdown()
    finally:
        # Also after an interrupt, since processes that train would continue.
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _belong_to_the_parent() -> None:
    """Ignore interrupts, and end when the parent ends, even if it is killed and cannot end its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)  # from its own thread, nothing else ends a process that trains
