"""The best so far."""

import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.best_so_far import best_so_far
from hpsearch.storage.records import Foreign
from hpsearch.trials import Trial, TrialState
from tests.report.synthetic import CREATED, empty, only_deaths, snapshot_of


def _ended(number: int, value: float | None, second: int, epochs: int = 2) -> Trial:
    finished = CREATED + timedelta(seconds=second)
    state = TrialState.COMPLETE
    return Trial(number=number, state=state, params={}, value=value, epochs=epochs, finished=finished)


def test_trials_are_in_the_order_of_their_ends() -> None:
    """Trials are ordered by the time of their end, then by number; epochs add up in that order."""
    data = best_so_far(snapshot_of([_ended(0, 0.7, 9, 5), _ended(2, 0.6, 3), _ended(1, 0.5, 3)]))
    assert data is not None
    assert [step.number for step in data.steps] == [1, 2, 0]
    assert [step.trials for step in data.steps] == [1, 2, 3]
    assert [step.epochs for step in data.steps] == [2, 4, 9]
    assert [step.best for step in data.steps] == [0.5, 0.6, 0.7]


def test_the_best_only_gets_better(study: Snapshot, regression: Snapshot) -> None:
    """The line rises with an accuracy, falls with a loss, and ends at the study's best."""
    for snapshot, sign in ((study, 1), (regression, -1)):
        data = best_so_far(snapshot)
        assert data is not None
        line = [step.best for step in data.steps if step.best is not None]
        assert all(sign * a <= sign * b for a, b in pairwise(line))
        assert snapshot.progress.best is not None
        assert line[-1] == snapshot.progress.best.value


def test_only_complete_trials_set_records(study: Snapshot) -> None:
    """A pruned trial with a higher last value is drawn, but is not the best."""
    pruned = replace(_ended(0, 0.99, 1), state=TrialState.PRUNED)
    data = best_so_far(snapshot_of([pruned, _ended(1, 0.5, 2), _ended(2, 0.5, 3)]))
    assert data is not None
    assert [step.is_record for step in data.steps] == [False, True, False]
    assert data.steps[0].best is None


def test_an_infinite_value_is_counted_in_the_caption() -> None:
    """It is on the rail and never the best, also if more is better; another client's study has no epochs."""
    drawn = snapshot_of([_ended(0, math.inf, 1), _ended(1, 0.5, 2), _ended(2, -math.inf, 3)])
    foreign = Foreign(metrics=("score",), maximize=(True,))
    data = best_so_far(replace(drawn, study=replace(drawn.study, foreign=foreign, created=None)))
    assert data is not None
    assert [step.place.rail for step in data.steps] == ["infinite", None, "infinite"]
    assert data.caption == (
        "The best was found by trial 1, the 2nd of 3 to end; it never improved after the first result. "
        "Infinite values are on the rail and are never the best: 2 trials."
    )
    assert data.start == CREATED + timedelta(seconds=1)


def test_the_axis_of_trials_is_the_budget(study: Snapshot) -> None:
    """The axis shows the rest of the budget; all ended trials are there, NaN included."""
    data = best_so_far(study)
    assert data is not None
    assert data.trials == 120
    assert len(data.steps) == 114
    assert data.rails == ("NaN", "no epoch")


def test_the_caption_describes_the_best() -> None:
    """The caption has the trial, its rank in the order, the epochs until then and the number of records."""
    data = best_so_far(snapshot_of([_ended(i, value, i) for i, value in enumerate((0.5, 0.4, 0.6, 0.1))]))
    assert data is not None
    assert data.caption == (
        "The best was found by trial 2, the 3rd of 4 to end, when 6 epochs had been begun;"
        " it improved once after the first result."
        " The effect of seeds alone is unknown: no configuration was trained again with fresh seeds."
    )


def test_without_a_result_there_is_no_best() -> None:
    """The caption of a study of deaths states that there is no best; without ended trials there is no figure."""
    deaths = best_so_far(only_deaths())
    assert deaths is not None
    assert deaths.caption == "No trial is complete with a finite result yet, so there is no best."
    assert best_so_far(empty()) is None
