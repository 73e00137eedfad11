"""Notes in Markdown, as Optuna's dashboard shows them for a study or a trial. External text is escaped."""

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Final

from hpsearch.analysis.advice import advice
from hpsearch.analysis.best_trials import best_lines, rival_words
from hpsearch.analysis.formats import format_share, format_time
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.analysis.study_state import fate_rows, state_sentence
from hpsearch.analysis.trial_facts import evidence_facts, suggested_facts, verdict_words
from hpsearch.dashboard.links import REPORTS, WORKERS, report_link, trial_link
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
    return f"{published_trial_note(trial)}\n\n{page} · [Report]({report_link(name)})"


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
    links = f"[Report]({report_link(name)}) · [All reports]({REPORTS}) · [Workers]({WORKERS})"
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
    if advised := advice(study.spec, snapshot.trials, maximize=study.maximize, is_confirmed=confirmed):
        parts.append(f"Advice: {escaped_with_code(advised)}.")
    return "\n\n".join(parts)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = " | ".join("---" for _ in heads)
    return "\n".join(f"| {line} |" for line in (" | ".join(heads), rule, *(" | ".join(row) for row in rows)))
