"""How sure the best result is before anything was trained again."""

import inspect
from collections.abc import Sequence

import pytest

from hpsearch.cli.after import confirm
from hpsearch.report.unconfirmed import CONFIRMED, unconfirmed_words
from hpsearch.storage.records import StoredStudy
from hpsearch.study.configurations import params_of_trial
from hpsearch.study.reader import parse_study
from hpsearch.trials import Trial, TrialState
from tests.report.synthetic import SPEC, study_of

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


def test_seeds_tell_the_best_from_the_next() -> None:
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
    """A study of one configuration has its mean and interval, and nothing to tell it from."""
    study = exact_study(1)
    assert unconfirmed_words(study, ended(study, [TEN])).startswith(
        '"c0" has the mean 0.960 over 10 seeds (95 % interval 0.954 to 0.966). Trial 2, with 0.970, is the luckiest'
    )


def test_what_seeds_explain_is_no_difference() -> None:
    """Means within each other's spread cannot be told apart; the best trial may be of another configuration."""
    study = exact_study(3)
    wide = (0.90, 0.99, 0.95)
    said = unconfirmed_words(study, ended(study, [TEN, wide, [0.2, None, 0.3]]))
    assert 'It cannot be told from the next, "c1", 0.947 over 3 seeds' in said
    assert "seeds explain the difference" in said
    assert 'Trial 4, with 0.990, is the luckiest seed of "c1": expect the mean, 0.947.' in said
    assert "trains all three again" in said
    assert "trained once" not in said


def test_seeds_without_a_result_are_counted() -> None:
    """A mean over some of a configuration's seeds says over how many; with one result nothing is told apart."""
    study = exact_study(2)
    said = unconfirmed_words(study, ended(study, [[0.9, 0.92, None], [0.8]]))
    assert "0.910 over 2 of 3 seeds (95 % interval 0.783 to 1.000)" in said
    assert 'Too few seeds tell it from the next, "c1", 0.800 over 1 seed.' in said


@pytest.mark.parametrize(("count", "which"), [(1, "it"), (2, "both"), (5, "all five"), (6, "the best five")])
def test_what_is_trained_again_is_counted(count: int, which: str) -> None:
    """Where no more than five configurations have a result the command trains all of them."""
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


def test_the_command_trains_as_many_as_are_said() -> None:
    """What `study confirm` does where it is not told is what the words promise."""
    assert inspect.signature(confirm).parameters["best"].default == CONFIRMED
