"""Stored outcomes: a second call does not repeat the finished trainings of the first."""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.sources import load
from hpsearch.reproduction.laboratory import Lab, Source, study_file
from hpsearch.reproduction.records import Drawing, Outcome, Picture


def key_of(study: str, lab: Lab, source_digest: str) -> str:
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


def kept(folder: Path, study: str, lab: Lab, key: str) -> Outcome | None:
    """Return the outcome stored under that key; None if there is none that can be read."""
    try:
        raw = json.loads(_path(folder, study, lab).read_text(encoding="utf-8"))
        return _outcome(raw["outcome"]) if raw["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(folder: Path, outcome: Outcome, lab: Lab, key: str) -> str:
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
