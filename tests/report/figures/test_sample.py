"""The sample of trials that figures of large studies draw."""

from collections import Counter

from hpsearch.analysis.confirmation import best_of
from hpsearch.report.figures.best_so_far import best_so_far
from hpsearch.report.figures.sample import MOST_MARKS, sample
from hpsearch.report.figures.search_map import search_map
from hpsearch.trials import TrialState
from tests.report.synthetic import synthetic


def test_a_large_study_is_sampled_with_all_that_matters() -> None:
    """About 1,000 trials of 3,000 are drawn: the best, the running ones, every fate by its share or 30 of it."""
    study = synthetic(3000)
    drawn = sample(study)
    numbers = {trial.number for trial in drawn}
    assert MOST_MARKS <= len(numbers) == len(drawn) < 1.1 * MOST_MARKS
    assert [trial.number for trial in drawn] == sorted(numbers)
    assert {trial.number for trial in best_of(study, 20)} <= numbers
    assert {trial.number for trial in study.trials if trial.state is TrialState.RUNNING} <= numbers
    whole, part = Counter(trial.fate for trial in study.trials), Counter(trial.fate for trial in drawn)
    assert all(part[fate] >= min(max(count // 3, 30), count) for fate, count in whole.items())
    thirds = Counter(number // 1000 for number in numbers)
    assert all(0.9 * len(numbers) / 3 < count < 1.1 * len(numbers) / 3 for count in thirds.values())


def test_a_sample_is_said_and_changes_no_result() -> None:
    """The captions name the sample; the best line has every record, and the star is the best trial."""
    study = synthetic(3000)
    places, line = search_map(study), best_so_far(study)
    assert places is not None
    assert line is not None
    assert f"{len(places.marks):,} of 2,99" in places.caption
    assert "trials (a sample with the best of them) over" in places.caption
    assert places.best is not None
    assert places.best.number == best_of(study, 1)[0].number
    assert len(line.steps) == sum(trial.state.is_final for trial in study.trials)
    assert all(step.is_drawn for step in line.steps if step.is_record)
    assert "(a sample with the best of them); the line is the best of all." in line.caption
