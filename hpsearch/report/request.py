"""The comparisons of a report, and the mark in its file from which it can be written again."""

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from hpsearch.analysis.formats import format_metric
from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.errors import HpsearchError, TrialNotFoundError, UsageError

FEWEST_COMPARED: Final = 2
MOST_COMPARED: Final = 6
"""Maximum number of trials distinguishable side by side."""
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRequest:
    """The numbers of trials to compare, empty for an automatic choice, and the studies to compare with, in order."""

    trials: tuple[int, ...] = ()
    others: tuple[Snapshot, ...] = ()


def parse_trials(text: str) -> tuple[int, ...]:
    """Return the trials of `3,17,42`, each once, in this order. Raises UsageError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    numbers = tuple(dict.fromkeys(int(part) for part in parts if _NUMBER.fullmatch(part)))
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise UsageError(f'--trials: must be numbers of trials (got "{text}"): write 3,17,42')
    if not FEWEST_COMPARED <= len(numbers) <= MOST_COMPARED:
        raise UsageError(
            f"--trials: must be {FEWEST_COMPARED} to {MOST_COMPARED} different trials (got {len(numbers)}): "
            "write 3,17,42"
        )
    return numbers


def check_request(snapshot: Snapshot, request: ReportRequest) -> None:
    """Raise HpsearchError if the request does not fit the study: unknown trials, or another metric."""
    known = {trial.number for trial in snapshot.trials}
    missing = [number for number in request.trials if number not in known]
    if missing:
        raise TrialNotFoundError(
            f'study "{snapshot.study.spec.name}": has no trial {missing[0]} (got {_numbers(request.trials)}): '
            "`hpsearch study trials` lists them"
        )
    for other in request.others:
        _check_other(snapshot, other)


def _check_other(snapshot: Snapshot, other: Snapshot) -> None:
    name, metric = snapshot.study.spec.name, snapshot.study.spec.metric
    if other.study.key == snapshot.study.key:
        raise UsageError(f'--compare: must be another study (got "{name}" itself): name another')
    if other.study.spec.metric != metric:
        raise HpsearchError(
            f'--compare {other.study.spec.name}: must have the metric of "{name}", {format_metric(metric)} '
            f"(got {format_metric(other.study.spec.metric)}): compare studies of one metric"
        )
    scales = [one.study.spec.data.target_scale for one in (snapshot, other)]
    if metric == "validation_loss" and snapshot.study.spec.data.task == "regression" and len(set(scales)) > 1:
        raise HpsearchError(
            f'--compare {other.study.spec.name}: must have losses in the unit of "{name}", data.target_scale = '
            f'"{scales[0]}" (got "{scales[1]}"): compare studies that rank by rmse'
        )


def _numbers(numbers: Sequence[int]) -> str:
    return ",".join(str(number) for number in numbers)


_HEAD_BYTES: Final = 4096
"""The mark is within this many bytes of the file's beginning."""

_MARK: Final = re.compile(r'<meta name="hpsearch-report" content="([^"]*)">')


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The key of a report's study, the numbers of its compared trials, and the keys of the compared studies."""

    study: str
    trials: tuple[int, ...]
    others: tuple[str, ...]


def origin_text(snapshot: Snapshot, request: ReportRequest) -> str:
    """Return the text of the mark that `origin_of` finds in a report."""
    kept = {
        "study": snapshot.study.key,
        "trials": request.trials,
        "others": [other.study.key for other in request.others],
    }
    return json_text(kept)


def origin_of(path: Path) -> Origin | None:
    """Return the origin of the report at `path`; None if there is no file, or it is not a report with a mark."""
    try:
        with path.open("rb") as file:
            found = _MARK.search(file.read(_HEAD_BYTES).decode("utf-8", errors="replace"))
        kept: dict[str, Any] = {} if found is None else json.loads(html.unescape(found[1]))
        return Origin(
            study=str(kept["study"]),
            trials=tuple(int(number) for number in kept["trials"]),
            others=tuple(map(str, kept["others"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
