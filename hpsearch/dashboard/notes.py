"""Notes in Markdown, as Optuna's dashboard shows them for a study or a trial. External text is escaped."""

import hashlib
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from hpsearch.analysis.advice import advice
from hpsearch.analysis.best_trials import best_lines, rival_words
from hpsearch.analysis.formats import format_share, format_time
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import fate_rows, state_sentence
from hpsearch.analysis.trial_facts import evidence_facts, suggested_facts, verdict_words
from hpsearch.dashboard.links import STUDIES, WORKERS, study_link, trial_link
from hpsearch.storage.records import StoredStudy
from hpsearch.trials import Trial
from hpsearch.verdicts import Finding

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:/@$^=])")
_KEY: Final = re.compile(r"(?:hpsearch study (?:confirm|narrow) )?[\w.-]+")
"""Text that cannot be markup, even in code, in which escaping is impossible."""


def escaped(text: object) -> str:
    """Return any text as one line of Markdown that shows it literally."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def escaped_with_code(text: str) -> str:
    """Return any text as one line of Markdown; keys of study files between backquotes are set as code.

    If backquotes enclose anything else, or are unpaired, all of it is text.
    """
    parts = " ".join(text.split()).split("`")
    if len(parts) % 2 == 0 or not all(map(_KEY.fullmatch, parts[1::2])):
        return escaped(text)
    return "".join(
        f"`{part}`" if index % 2 else _SPECIAL.sub(r"\\\1", part) for index, part in enumerate(parts)
    )


def trial_note(trial: Trial, study: StoredStudy) -> str:
    """Return the note of a trial that has ended: its verdict, evidence, remedy, and a link to its page."""
    name = study.spec.name
    page = f"[Trial {trial.number} with its curve]({trial_link(name, trial.number)})"
    return f"{published_trial_note(trial)}\n\n{page} · [Report]({study_link(name)})"


def published_trial_note(trial: Trial) -> str:
    """Return the note of a trial that has ended for a server without our pages: without links."""
    parts = [
        f"**{escaped(verdict_words(trial))}** ({escaped(trial.fate.value)})",
        *(_finding_parts(trial.finding) if trial.finding is not None else ()),
    ]
    return "\n\n".join(parts)


def _finding_parts(finding: Finding) -> list[str]:
    parts = [f"Confidence {format_share(finding.confidence, 1)}."]
    if finding.evidence:
        parts.append(_table(("evidence", "value"), _escaped(evidence_facts(finding))))
    if finding.remedy:
        parts.append(f"Remedy: {escaped(finding.remedy)}")
    if finding.suggested:
        parts.append(_table(("suggested", "value"), _escaped(suggested_facts(finding))))
    return parts


def _escaped(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(escaped(name), escaped(value)) for name, value in rows]


def study_note(snapshot: Snapshot) -> str:
    """Return the note of a study: its state, best trial, fates and advice, and a link to its report."""
    name = snapshot.study.spec.name
    links = f"[Report]({study_link(name)}) · [All reports]({STUDIES}) · [Workers]({WORKERS})"
    return _study_note(snapshot, links)


def published_study_note(snapshot: Snapshot) -> str:
    """Return the note of a study for a server without our pages: with the time of the state it describes."""
    command = f"hpsearch report {shlex.quote(snapshot.study.spec.name)} --publish"
    renewed = f"As of {format_time(snapshot.taken)}; renewed by {escaped(command)}."
    return _study_note(snapshot, renewed)


def _study_note(snapshot: Snapshot, second: str) -> str:
    study, progress = snapshot.study, snapshot.progress
    parts = [escaped(state_sentence(progress)), second]
    evaluations = snapshot.evaluations
    if lines := best_lines(snapshot.trials, study, evaluations=evaluations):
        parts.append("\n".join(f"{rank}. {escaped(line)}" for rank, line in enumerate(lines, start=1)))
    if rival := rival_words(snapshot.trials, study, evaluations=evaluations):
        parts.append(escaped(rival.replace("`", "")))
    if rows := fate_rows(progress):
        cells = [(escaped(row.fate.value), f"{row.trials:,}", f"{row.epochs:,}") for row in rows]
        parts.append(_table(("fate", "trials", "epochs"), cells))
    confirmed = bool(evaluations)
    if advised := advice(
        study.present_spec, snapshot.trials, maximize=study.maximize, is_confirmed=confirmed
    ):
        parts.append(f"Advice: {escaped_with_code(advised)}.")
    return "\n\n".join(parts)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = " | ".join("---" for _ in heads)
    return "\n".join(f"| {line} |" for line in (" | ".join(heads), rule, *(" | ".join(row) for row in rows)))


_PIECE: Final = 2045
"""Characters; the maximum length that all versions of Optuna's tables accept."""

_SIGNATURE: Final = "\n\n[hpsearch]: # ({digest})"
"""A definition without references: Markdown does not show it."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class StoredNote:
    """A stored note; version 0 means that there is none."""

    version: int
    body: str
    pieces: int

    @property
    def is_free(self) -> bool:
        """True if the note may be overwritten: there is none, or it is one of ours and unchanged."""
        return self.version == 0 or is_ours(self.body)


def signed(text: str) -> str:
    """Return the text as a note that `is_ours` recognizes as long as it is unchanged."""
    return text + _SIGNATURE.format(digest=_digest(text))


def is_ours(body: str) -> bool:
    """Return True for a result of `signed`; False for everything that a user wrote or changed."""
    text, _, _ = body.rpartition("\n\n")
    return body == signed(text)


def is_published(attributes: Mapping[str, Any]) -> bool:
    """Return True if the study with these system attributes has a note of ours that no user has changed."""
    note = stored_note(attributes, None)
    return note.version > 0 and is_ours(note.body)


def version_key(trial_id: int | None) -> str:
    """Return the key of the version of a trial's note; None is the study itself."""
    return f"{_prefix(trial_id)}note_ver"


def stored_note(attributes: Mapping[str, Any], trial_id: int | None) -> StoredNote:
    """Return the note of a trial, or of the study for None, from its study's system attributes."""
    pieces: list[str] = []
    while (piece := attributes.get(_piece_key(trial_id, len(pieces)))) is not None:
        pieces.append(str(piece))
    version = int(attributes.get(version_key(trial_id), 0))
    return StoredNote(version=version, body="".join(pieces), pieces=len(pieces))


def note_attributes(before: StoredNote, trial_id: int | None, body: str) -> dict[str, Any]:
    """Return the attributes that replace a note by `body`; surplus pieces become empty."""
    count = max(before.pieces, math.ceil(len(body) / _PIECE))
    pieces = {
        _piece_key(trial_id, index): body[index * _PIECE : (index + 1) * _PIECE] for index in range(count)
    }
    return {version_key(trial_id): before.version + 1, **pieces}


def _prefix(trial_id: int | None) -> str:
    return "dashboard:" if trial_id is None else f"dashboard:{trial_id}:"


def _piece_key(trial_id: int | None, index: int) -> str:
    return f"{_prefix(trial_id)}note_str:{index}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
