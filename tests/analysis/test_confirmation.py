"""Fresh seeds: means and their intervals, the order, and the configurations distinguished from the best."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.analysis.confirmation import (
    CONFIRMED,
    SeedResults,
    best_configurations,
    best_confirmed,
    confirmation,
    mean_words,
    ranked_trials,
    rival_of,
    seed_results,
    seeds_words,
    sentence,
    unconfirmed_words,
)
from hpsearch.cli.study import confirm
from hpsearch.storage.records import Evaluation, Part, StoredStudy
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.reader import parse_study
from hpsearch.trials import Trial, TrialState
from tests.report.synthetic import SPEC, study_of

VALUES = st.lists(st.integers(0, 1000).map(lambda thousandths: thousandths / 1000), min_size=2, max_size=20)


def trial(number: int, value: float = 0.5) -> Trial:
    """Return a complete trial."""
    return Trial(number=number, state=TrialState.COMPLETE, params={"learning_rate": 0.1}, value=value)


def evaluations(
    number: int, values: Sequence[float | None], *, part: Part = "validation"
) -> list[Evaluation]:
    """Return one evaluation a value, with the seeds 100, 101, ...; the loss is 1 minus the accuracy."""
    return [
        Evaluation(
            number=number,
            part=part,
            seed=100 + i,
            loss=None if value is None else 1 - value,
            accuracy=value,
            made=datetime.min.replace(tzinfo=UTC),
        )
        for i, value in enumerate(values)
    ]


def confirmed(**of: Sequence[float | None]) -> list[SeedResults]:
    """Return the confirmation of trials `t0`, `t1`, ... by accuracy."""
    numbers = {int(name[1:]): values for name, values in of.items()}
    made = [one for number, values in numbers.items() for one in evaluations(number, values)]
    return confirmation(list(map(trial, numbers)), made, metric="validation_accuracy", maximize=True)


def test_one_value_has_no_interval() -> None:
    """A single seed gives no spread."""
    found = seed_results(trial(0), evaluations(0, [0.5]), part="validation", metric="validation_accuracy")
    assert (found.mean, found.interval) == (0.5, None)


@given(VALUES)
def test_an_accuracy_stays_within_0_and_1(values: list[float]) -> None:
    """No interval of an accuracy leaves 0..1."""
    found = seed_results(trial(0), evaluations(0, values), part="validation", metric="validation_accuracy")
    assert found.interval is not None
    assert 0 <= found.interval[0] <= found.interval[1] <= 1


def test_the_best_mean_comes_first() -> None:
    """The order is that of the means, upwards for a loss and downwards for an accuracy."""
    trials = [trial(0), trial(1), trial(2)]
    made = [*evaluations(0, [0.5, 0.6]), *evaluations(1, [0.8, 0.9]), *evaluations(2, [0.6, 0.7])]
    for metric, maximize in (("validation_accuracy", True), ("validation_loss", False)):
        found = confirmation(trials, made, metric=metric, maximize=maximize)
        assert [(one.rank, one.number) for one in found] == [(1, 1), (2, 2), (3, 0)]
        best = best_confirmed(trials, made, metric=metric, maximize=maximize)
        assert best is trials[1]
    assert best_confirmed(trials, [], metric="validation_loss", maximize=False) is None


def test_differences_are_taken_seed_by_seed() -> None:
    """A difference that all seeds share is significant, even if the seeds themselves differ widely."""
    seeds = [0.2, 0.4, 0.6, 0.8, 0.5]
    jitter = [0.001, -0.001, 0.0, 0.002, -0.002]
    found = confirmed(
        t0=[value + 0.1 for value in seeds],
        t1=[value + small for value, small in zip(seeds, jitter, strict=True)],
        t2=[0.9, 0.1, 0.9, 0.1, 0.9],
    )
    assert {one.number: one.is_behind for one in found} == {0: None, 1: True, 2: False}
    assert sentence(found) == (
        "Trial 0 is better than 1, beyond what seeds explain, and cannot be distinguished from 2."
    )


def test_many_comparisons_need_larger_differences() -> None:
    """A difference that is significant for one competitor is not significant for one among twenty."""
    best, near = [0.5, 0.6, 0.7, 0.6, 0.65], [0.47, 0.56, 0.69, 0.54, 0.64]
    assert [one.is_behind for one in confirmed(t0=best, t1=near)] == [None, True]
    crowd = {f"t{number}": near for number in range(1, 21)}
    assert {one.is_behind for one in confirmed(t0=best, **crowd)[1:]} == {False}


def test_a_configuration_without_a_number_is_last() -> None:
    """A configuration that failed with one seed has no mean, and ranks after one that never failed."""
    found = confirmed(t0=[0.9, None, 0.9], t1=[0.5, 0.6, 0.4])
    assert [(one.number, one.mean, one.broken, one.is_behind) for one in found] == [
        (1, 0.5, 0, None),
        (0, None, 1, True),
    ]
    assert sentence(found) == (
        "Trial 1 is better than all others that were trained again, beyond what seeds explain."
    )
    assert sentence(confirmed(t0=[None, None])) == "No configuration gave a finite number with every seed."


def test_a_mean_is_a_number_or_a_reason() -> None:
    """A mean has the metric's digits; if seeds gave no number, their count replaces it."""
    whole, broken = confirmed(t0=[0.9, 0.8], t1=[0.5, None, None])
    assert mean_words(whole, "validation_accuracy") == "0.850"
    assert mean_words(broken, "validation_accuracy") == "no number with 2 of 3"


def test_the_sentence_covers_comparisons_without_a_result() -> None:
    """A single trial, equal trials, and trials without common seeds each have a sentence."""
    assert sentence(confirmed(t4=[0.5, 0.6])).startswith("Trial 4 is the only one")
    assert sentence(confirmed(t0=[0.5, 0.7], t1=[0.6, 0.5])).startswith(
        "Trial 0 cannot be distinguished from any"
    )
    assert sentence(confirmed(t0=[0.5], t1=[0.4])).startswith("Trial 0 shares too few seeds")


def test_the_test_part_is_kept_apart() -> None:
    """Nothing that was measured on the test part enters the choice of the best."""
    trials = [trial(0), trial(1)]
    made = [*evaluations(0, [0.5, 0.6]), *evaluations(1, [0.9, 0.9], part="test")]
    found = confirmation(trials, made, metric="validation_accuracy", maximize=True)
    assert [one.number for one in found] == [0]
    assert seed_results(trials[1], made, part="test", metric="validation_accuracy").mean == 0.9


def test_a_configuration_that_was_trained_often_is_listed_once() -> None:
    """The best of several trials with the same parameters represents them."""
    trials = [trial(0, 0.7), trial(1, 0.9), replace(trial(2, 0.8), params={"learning_rate": 0.2})]
    found = best_configurations(trials, maximize=True, count=5)
    assert [one.number for one in found] == [1, 2]
    assert best_configurations(trials, maximize=False, count=1) == [trials[0]]


def numbers(trials: Sequence[Trial], made: Sequence[Evaluation], count: int = 9) -> list[int]:
    """Return the order of trials by accuracy, best first."""
    ranked = ranked_trials(trials, made, metric="validation_accuracy", maximize=True, count=count)
    return [one.number for one in ranked]


def test_fresh_seeds_precede_the_search() -> None:
    """Confirmed trials come first by their means, then the others by the search, then those that failed with a seed."""
    trials = [trial(0, 0.95), trial(1, 0.94), trial(2, 0.93), trial(3, 0.92), trial(4, 0.91)]
    made = [*evaluations(0, [0.80, 0.81]), *evaluations(1, [0.90, 0.91]), *evaluations(2, [0.9, None])]
    assert numbers(trials, made) == [1, 0, 3, 4, 2]
    assert numbers(trials, made, count=1) == [1]
    assert numbers(trials, []) == [0, 1, 2, 3, 4]
    assert numbers(trials, evaluations(3, [0.99, 0.98], part="test")) == [0, 1, 2, 3, 4]


def test_a_better_trial_that_was_not_confirmed_is_named() -> None:
    """A trial that beat all confirmed ones in the search is the rival, unless its configuration was confirmed."""
    first, later = trial(0, 0.95), replace(trial(7, 0.99), params={"learning_rate": 0.2})
    made = evaluations(0, [0.80, 0.81])

    def rival(*trials: Trial) -> Trial | None:
        return rival_of(trials, made, metric="validation_accuracy", maximize=True)

    assert rival(first, later) is later
    assert rival(first, replace(later, params=first.params)) is None
    assert rival(first, replace(later, value=0.94)) is None
    assert rival_of([first, later], [], metric="validation_accuracy", maximize=True) is None


def test_both_results_are_written() -> None:
    """A confirmed result is reported with its seeds and with the search's result."""
    metric = "validation_accuracy"
    one, broken = confirmed(t0=[0.8, 0.9]), confirmed(t0=[0.8, None])
    assert seeds_words(one[0], metric) == "0.850 over 2 fresh seeds, 0.500 in the search"
    assert seeds_words(broken[0], metric) == "no number with 1 of 2 fresh seeds, 0.500 in the search"


TEN = (0.95, 0.96, 0.97, 0.96, 0.95, 0.96, 0.97, 0.96, 0.95, 0.97)


def exact_study(count: int) -> StoredStudy:
    """Return a study of so many configurations, `c0`, `c1`, ..., with ten seeds each."""
    listed = "".join(
        f'[[configurations]]\nname = "c{place}"\nlearning_rate = 0.{place + 1}\n' for place in range(count)
    )
    text = (
        f'name = "three rates"\nseeds = 10\nmetric = "validation_accuracy"\ndata.source = "digits"\n{listed}'
    )
    return study_of(parse_study(text, source="x"))


def ended(study: StoredStudy, results: Sequence[Sequence[float | None]]) -> list[Trial]:
    """Return complete trials: the n-th number of each of `results` is that of the n-th seed of a configuration."""
    numbered = [
        (place + len(results) * seed, value)
        for place, own in enumerate(results)
        for seed, value in enumerate(own)
    ]
    return [
        Trial(
            number=number,
            state=TrialState.COMPLETE,
            params=params_of_trial(study.spec, number),
            value=value,
        )
        for number, value in sorted(numbered)
    ]


def test_seeds_distinguish_the_best_from_the_next() -> None:
    """The mean has its interval, the next is worse beyond what seeds explain, and the best trial was lucky."""
    study = exact_study(2)
    said = unconfirmed_words(study, ended(study, [[value - 0.05 for value in TEN], TEN]))
    assert said == (
        '"c1" has the best mean of 2 configurations, 0.960 over 10 seeds (95 % interval 0.954 to 0.966).'
        ' It is better than the next, "c0", 0.910 over 10 seeds (95 % interval 0.904 to 0.916), beyond what seeds'
        ' explain. Trial 5, with 0.970, is the luckiest seed of "c1": expect the mean, 0.960.'
        " `hpsearch study confirm 'three rates'` trains both again with fresh seeds."
    )


def test_one_configuration_is_not_compared() -> None:
    """A study of one configuration has its mean and interval, and no comparison."""
    study = exact_study(1)
    assert unconfirmed_words(study, ended(study, [TEN])).startswith(
        '"c0" has the mean 0.960 over 10 seeds (95 % interval 0.954 to 0.966). Trial 2, with 0.970, is the luckiest'
    )


def test_a_difference_that_seeds_explain_is_not_one() -> None:
    """Means within each other's spread are not distinguished; the best trial may be of another configuration."""
    study = exact_study(3)
    wide = (0.90, 0.99, 0.95)
    said = unconfirmed_words(study, ended(study, [TEN, wide, [0.2, None, 0.3]]))
    assert 'It cannot be distinguished from the next, "c1", 0.947 over 3 seeds' in said
    assert "seeds explain the difference" in said
    assert 'Trial 4, with 0.990, is the luckiest seed of "c1": expect the mean, 0.947.' in said
    assert "trains all three again" in said
    assert "trained once" not in said


def test_seeds_without_a_result_are_counted() -> None:
    """A mean states how many of the seeds it covers; a single result is not compared."""
    study = exact_study(2)
    said = unconfirmed_words(study, ended(study, [[0.9, 0.92, None], [0.8]]))
    assert "0.910 over 2 of 3 seeds (95 % interval 0.783 to 1.000)" in said
    assert 'Too few seeds to distinguish it from the next, "c1", 0.800 over 1 seed.' in said


@pytest.mark.parametrize(("count", "which"), [(1, "it"), (2, "both"), (5, "all five"), (6, "the best five")])
def test_the_number_of_trainings_is_written(count: int, which: str) -> None:
    """If no more than five configurations have a result, the command trains all of them."""
    study = study_of(SPEC)
    trials = [
        Trial(number=n, state=TrialState.COMPLETE, params={"learning_rate": 0.1 + n}, value=0.9)
        for n in range(count)
    ]
    said = unconfirmed_words(study, trials)
    assert said == (
        "Not sure yet: each configuration was trained once, and part of the best result is luck."
        f" `hpsearch study confirm digits` trains {which} again with fresh seeds."
    )
    twice = [*trials, Trial(number=count, state=TrialState.COMPLETE, params=trials[0].params, value=0.8)]
    assert "each configuration was trained once" not in unconfirmed_words(study, twice)


def test_the_command_trains_as_many_as_the_sentence() -> None:
    """The defaults of `study confirm` are those in the sentence."""
    assert inspect.signature(confirm).parameters["best"].default == CONFIRMED
