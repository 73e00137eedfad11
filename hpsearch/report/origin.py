"""Which study a report is of, and what was asked for it: kept in its head, so that it can be written again."""

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.request import Request

_HEAD_BYTES: Final = 4096
"""The mark stands within so many bytes of the file's beginning."""

_MARK: Final = re.compile(r'<meta name="hpsearch-report" content="([^"]*)">')


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """The key of a report's study, the trials that stand side by side in it, and the keys of the studies compared."""

    study: str
    trials: tuple[int, ...]
    others: tuple[str, ...]


def origin_mark(snapshot: Snapshot, request: Request) -> str:
    """Return the HTML that `origin_of` finds."""
    kept = {
        "study": snapshot.study.key,
        "trials": request.trials,
        "others": [other.study.key for other in request.others],
    }
    return f'<meta name="hpsearch-report" content="{html.escape(json_text(kept), quote=True)}">'


def origin_of(path: Path) -> Origin | None:
    """Return what the report at `path` is of; None if there is no file, or one that is not a report with a mark."""
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
