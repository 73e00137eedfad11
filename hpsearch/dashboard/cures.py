"""Patches of Optuna's dashboard. Each function but `add_links` changes the detail of a study in place.

A detail is the parsed JSON answer of `/api/studies/ID`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from optuna.trial import FrozenTrial, TrialState

from hpsearch.dashboard.links import REPORTS, WORKERS
from hpsearch.dashboard.stored_notes import is_ours

Detail: TypeAlias = dict[str, Any]

MOST_CURVES: Final = 200

_LINKS: Final = f"""<style>
#hpsearch-links {{
  position: fixed; right: 12px; bottom: 12px; z-index: 1050; display: flex; gap: 14px; padding: 6px 14px;
  border: 1px solid #8a939c; border-radius: 999px; background: #ffffff; box-shadow: 0 1px 4px rgba(0, 0, 0, .25);
  font: 14px/1.4 Roboto, system-ui, sans-serif;
}}
#hpsearch-links a {{ color: #1c2126; }}
@media print {{ #hpsearch-links {{ display: none; }} }}
</style>
<nav id="hpsearch-links" aria-label="hpsearch"><a href="{REPORTS}">Reports</a> <a href="{WORKERS}">Workers</a></nav>
"""
"""Outside the element that Optuna's script draws in, so the script does not change it."""


def add_links(page: bytes) -> bytes:
    """Return a page of Optuna's dashboard with links to our reports and workers; anything else unchanged."""
    before, end, after = page.rpartition(b"</body>")
    return before + _LINKS.encode() + end + after if end else page


def name_zones(detail: Detail) -> None:
    """Add the time zone to every time, in place: without it a browser elsewhere interprets it as local time."""
    for trial in (*detail["trials"], *detail["best_trials"]):
        for name in ("datetime_start", "datetime_complete"):
            if name in trial:
                trial[name] = datetime.fromisoformat(trial[name]).astimezone().isoformat()


def keep_axes(detail: Detail, trials: Sequence[FrozenTrial]) -> None:
    """Keep the axes, in place, of parameters that every trial with parameters has.

    Optuna's dashboard drops all axes if there is a waiting trial without parameters.
    """
    chosen = [set(t.params) for t in trials if t.params and t.state is not TrialState.FAIL]
    common = set.intersection(*chosen) if chosen else set()
    detail["intersection_search_space"] = [
        axis for axis in detail["union_search_space"] if axis["name"] in common
    ]


def drop_crowded_curves(detail: Detail, trials: Sequence[FrozenTrial]) -> None:
    """Remove, in place, the plot of intermediate values of a large study: our learning curves replace it.

    It has a line and a legend entry for every trial; 5,000 of them keep a browser busy for half a minute.
    """
    if len(trials) > MOST_CURVES:
        detail["has_intermediate_values"] = False


def add_notes(detail: Detail, study_note: str, trial_notes: Mapping[int, str]) -> None:
    """Add our notes, in place, if no user wrote one. `trial_notes` are by trial number.

    Version 0 has no author: the first that a user writes is version 1, and is kept, even if empty. A published note
    (`publishing`) is ours, and older.
    """
    if _is_free(detail["note"]):
        detail["note"]["body"] = study_note
    for trial in (*detail["trials"], *detail["best_trials"]):
        if trial["number"] in trial_notes and _is_free(trial["note"]):
            trial["note"]["body"] = trial_notes[trial["number"]]


def _is_free(note: Mapping[str, Any]) -> bool:
    return note["version"] == 0 or is_ours(note["body"])


def add_figures(detail: Detail, figures: Mapping[str, str]) -> None:
    """Add our figures, in place, preceding those that others saved; replace one with the same id."""
    others = [one for one in detail["plotly_graph_objects"] if one["id"] not in figures]
    ours = [{"id": name, "graph_object": text} for name, text in figures.items()]
    detail["plotly_graph_objects"] = [*ours, *others]
