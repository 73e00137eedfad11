"""Trials that wait with given parameters, for people."""

import shlex

from hpsearch.analysis.formats import format_count, format_parameters
from hpsearch.cli.output import answer
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.workflows.enqueuing import Enqueued, Grid


def write_enqueued(enqueued: Enqueued) -> None:
    """Write which trial waits with what to stdout, and which budget lets it run."""
    study = enqueued.study
    rest = f"; {', '.join(enqueued.sampled)} will be sampled" if enqueued.sampled else ""
    params = format_parameters(enqueued.params, study.spec.search)
    answer(f'Study "{study.spec.name}": trial {enqueued.number} waits with {params}{rest}')
    if enqueued.grid is not None:
        _write_grid_hint(study, enqueued.grid)
    write_budget_hint(study, enqueued.progress)


def write_budget_hint(study: StoredStudy, progress: Progress) -> None:
    """If trials wait and the budget is spent, write how to raise it."""
    name = study.spec.name
    if progress.is_done and progress.waiting:
        more = progress.finished + progress.waiting  # other clients may have finished more than the budget
        answer(
            f"The budget of {format_count(progress.budget, 'trial')} is spent: "
            f"`hpsearch study edit {shlex.quote(name)} --trials {more}` lets it run"
        )


def _write_grid_hint(study: StoredStudy, grid: Grid) -> None:
    """Write the budget that trains every point of the grid besides the trials with given parameters."""
    points, given = grid.points, grid.given
    if study.spec.trials < points + given:
        budget = format_count(study.spec.trials, "trial")
        answer(
            f"The grid has {format_count(points, 'point')}, and {given} of the {budget} "
            f"{'is' if given == 1 else 'are'} not of it: "
            f"`hpsearch study edit {shlex.quote(study.spec.name)} --trials {points + given}` trains all"
        )
