"""Experiments run side by side in separate processes, and their outcomes stored for the next call."""

import contextlib
import hashlib
import json
import multiprocessing
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, final

import numpy as np
from threadpoolctl import threadpool_limits

from hpsearch.data.sources import load
from hpsearch.errors import HpsearchError
from hpsearch.reproduction.catalogue import EXPERIMENTS
from hpsearch.reproduction.charts import Drawing, Picture
from hpsearch.reproduction.laboratory import Lab, Outcome, Source, study_file


def outcome_key(study: str, lab: Lab, source_digest: str) -> str:
    """Return a digest of everything that an outcome depends on: data, study file, size, seed, and the program."""
    parts = (study, lab.source, lab.size, str(lab.seed), source_digest, code_digest(), np.__version__)
    whole = hashlib.sha256("\n".join(parts).encode())
    whole.update(study_file(study).read_bytes())
    return whole.hexdigest()


def source_digest(source: Source) -> str:
    """Return a digest of the examples of a source. Raises DataError if they cannot be read."""
    dataset = load(source, target=None, task="auto", environment=os.environ)
    whole = hashlib.sha256()
    for array in (dataset.inputs, dataset.targets):
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def code_digest() -> str:
    """Return a digest of the program's source: another version may produce other numbers."""
    package = Path(str(resources.files("hpsearch")))
    whole = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        whole.update(path.relative_to(package).as_posix().encode())
        whole.update(path.read_bytes())
    return whole.hexdigest()


def load_outcome(folder: Path, study: str, lab: Lab, key: str) -> Outcome | None:
    """Return the outcome stored under that key; None if there is none that can be read."""
    try:
        raw = json.loads(_path(folder, study, lab).read_text(encoding="utf-8"))
        return _outcome(raw["outcome"]) if raw["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def store_outcome(folder: Path, outcome: Outcome, lab: Lab, key: str) -> str:
    """Store an outcome in place of an older one; return the error if writing failed, else an empty text."""
    text = json.dumps({"key": key, "outcome": asdict(outcome)}, separators=(",", ":"))
    path = _path(folder, outcome.study, lab)
    unfinished = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        return f"{path}: {error.strerror}"
    return ""


def _path(folder: Path, study: str, lab: Lab) -> Path:
    return folder / f"{study}-{lab.source}-{lab.size}-{lab.seed}.json"


def _outcome(raw: dict[str, Any]) -> Outcome:
    return Outcome(
        study=raw["study"],
        values={name: tuple(map(float, numbers)) for name, numbers in raw["values"].items()},
        pictures=tuple(_pictures(raw["pictures"])),
        lines={title: tuple(map(str, lines)) for title, lines in raw["lines"].items()},
        seconds=float(raw["seconds"]),
    )


def _pictures(raw: list[dict[str, Any]]) -> Iterator[Picture]:
    for one in raw:
        drawings = tuple(Drawing(**drawing) for drawing in one["drawings"])
        yield Picture(name=one["name"], title=one["title"], caption=one["caption"], drawings=drawings)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedStudy:
    """A study whose experiment has finished, now or in an earlier call; `done` of `wanted` studies have.

    `storage_error` is the reason if its outcome could not be stored for the next call.
    """

    study: str
    seconds: float
    was_stored: bool
    done: int
    wanted: int
    storage_error: str = ""


def outcome_keys(studies: Sequence[str], lab: Lab) -> dict[str, str]:
    """Return the storage key of each study's outcome. Raises DataError if the lab's source cannot be read."""
    digest = source_digest(lab.source)
    return {study: outcome_key(study, lab, digest) for study in studies}


def reproduce(
    keys: Mapping[str, str], lab: Lab, *, folder: Path, workers: int, show: Callable[[FinishedStudy], None]
) -> dict[str, Outcome]:
    """Return the outcomes of the studies of `outcome_keys`, by name; those stored under `folder` are not run again.

    Each is stored as soon as it is complete. An interrupt ends the processes and leaves no partial file.
    """
    outcomes: dict[str, Outcome] = {}

    def note(outcome: Outcome, *, was_stored: bool, storage_error: str = "") -> None:
        outcomes[outcome.study] = outcome
        show(
            FinishedStudy(
                study=outcome.study,
                seconds=outcome.seconds,
                was_stored=was_stored,
                done=len(outcomes),
                wanted=len(keys),
                storage_error=storage_error,
            )
        )

    for study, key in keys.items():
        if (found := load_outcome(folder, study, lab, key)) is not None:
            note(found, was_stored=True)
    missing = [study for study in EXPERIMENTS if study in keys and study not in outcomes]
    for outcome in _run_all(missing, lab, workers=workers):
        storage_error = store_outcome(folder, outcome, lab, keys[outcome.study])
        note(outcome, was_stored=False, storage_error=storage_error)
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
                    f"{running[future]}: its process died, perhaps because memory ran out: "
                    "run it again with --workers 1; finished studies are stored"
                ) from error


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that are terminated on exit, even after an error."""
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)
    try:
        yield executor
        executor.shutdown()
    finally:
        # Also after an interrupt, since processes that train would continue.
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _end_with_parent() -> None:
    """Ignore interrupts, and end when the parent ends, even if it is killed and cannot end its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)  # from its own thread, nothing else ends a process that trains
