"""Which trials to compare, and what sets them apart: parameters, verdicts and results side by side."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

from hpsearch.report.confirmation import best_of
from hpsearch.report.figure_data.results import measured
from hpsearch.report.formats import format_metric, format_parameter, format_result
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.words import verdict_words
from hpsearch.search.ranking import is_dead
from hpsearch.trials import Fate, Trial, best_trials

TYPICAL: Final = 4
"""Trials that are compared unless somebody names others."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """A trial to compare, and why: `the best`, `median of the complete`, a cause of death; empty where it was named."""

    trial: Trial
    why: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedRow:
    """One property of the trials, a cell each in their order; `differs` where the cells are not all equal."""

    name: str
    cells: tuple[str, ...]
    differs: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedHead:
    """The head of a trial's column."""

    number: int
    fate: Fate
    why: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedTable:
    """The trials side by side: searched parameters first, then what became of them."""

    heads: tuple[ComparedHead, ...]
    rows: tuple[ComparedRow, ...]


def chosen_trials(snapshot: Snapshot, numbers: Sequence[int]) -> tuple[Chosen, ...]:
    """Return the trials of these numbers, which are there; else the best, a middling one, and the deadliest causes'."""
    if numbers:
        by_number = {trial.number: trial for trial in snapshot.trials}
        return tuple(Chosen(trial=by_number[number], why="") for number in numbers)
    return _typical(snapshot)


def compared_table(snapshot: Snapshot, chosen: Sequence[Chosen]) -> ComparedTable:
    """Return the trials side by side."""
    metric = snapshot.study.spec.metric
    searched = [dimension.name for dimension in snapshot.study.spec.search]
    others = sorted({name for one in chosen for name in one.trial.params} - set(searched))
    properties: list[tuple[str, Callable[[Trial], str]]] = [
        (format_metric(metric), lambda trial: format_result(measured(trial), metric)),
        ("fate", lambda trial: trial.fate.value),
        ("verdict", verdict_words),
        ("epochs begun", lambda trial: f"{trial.epochs:,}"),
    ]
    rows = [
        *(_parameter_row(name, chosen) for name in (*searched, *others)),
        *(_row(name, [say(one.trial) for one in chosen]) for name, say in properties),
    ]
    heads = tuple(ComparedHead(number=one.trial.number, fate=one.trial.fate, why=one.why) for one in chosen)
    return ComparedTable(heads=heads, rows=tuple(rows))


def _typical(snapshot: Snapshot) -> tuple[Chosen, ...]:
    ranked = best_trials(snapshot.trials, maximize=snapshot.study.maximize, count=len(snapshot.trials))
    best = best_of(snapshot, 1)
    others = [trial for trial in ranked if trial not in best]
    chosen = [Chosen(trial=trial, why="the best") for trial in best]
    chosen += [
        Chosen(trial=trial, why="median of the complete") for trial in others[len(ranked) // 2 - 1 :][:1]
    ]
    dead = [trial for trial in snapshot.trials if trial.state.is_final and trial.verdict and is_dead(trial)]
    taken = {one.trial.number for one in chosen}
    for cause, _ in Counter(trial.verdict for trial in dead).most_common():
        own = [trial for trial in dead if trial.verdict is cause and trial.number not in taken]
        # Of a cause's trials the one that lived longest shows most.
        longest = max(own, key=lambda trial: (len(trial.curve), -trial.number), default=None)
        if longest is not None and len(chosen) < TYPICAL:
            chosen.append(Chosen(trial=longest, why=str(cause)))
    return tuple(chosen)


def _parameter_row(name: str, chosen: Sequence[Chosen]) -> ComparedRow:
    """Return a parameter's row. Values that differ where their short forms do not are written out."""
    values = [one.trial.params.get(name) for one in chosen]
    short = ["" if value is None else format_parameter(value) for value in values]
    written = short if len(set(short)) == len(set(values)) else ["" if v is None else str(v) for v in values]
    return _row(name, written)


def _row(name: str, cells: Sequence[str]) -> ComparedRow:
    return ComparedRow(name=name, cells=tuple(cells), differs=len(set(cells)) > 1)
