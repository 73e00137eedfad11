"""Judgements from numbers over seeds: holds, holds in part, does not hold, not tested."""

import math
from dataclasses import replace

import pytest

from hpsearch.reproduction.claims import Claim, Condition, Judgement, Needs, judge, measure, measured_words
from hpsearch.reproduction.laboratory import Outcome

ACCURACY = Condition(measure="accuracy", words="accuracy", low=0.9)


def claim_of(*conditions: Condition, needs: Needs = "nothing", answer: str = "") -> Claim:
    """Return a claim about the study `s`."""
    return Claim(
        name="c",
        document="ReLU article",
        study="s",
        text="t",
        stated="s",
        conditions=conditions,
        needs=needs,
        answer=answer,
    )


def outcomes(**values: list[float]) -> dict[str, Outcome]:
    """Return the outcome of the study `s`."""
    return {"s": Outcome(study="s", values=values)}


def test_the_median_over_seeds_decides() -> None:
    """One seed that fails changes nothing while the median is in range; the range of all seeds is written."""
    judged = judge(claim_of(ACCURACY), outcomes(accuracy=[0.1, 0.95, 0.97]), is_mnist=True, is_full=False)
    assert judged.judgement is Judgement.HOLDS
    (measured,) = judged.measured
    assert (measured.value, measured.low, measured.high, measured.count) == (0.95, 0.1, 0.97, 3)


def test_every_condition_must_be_met() -> None:
    """A claim of two numbers fails if one of them is out of range."""
    loss = Condition(measure="loss", words="loss", high=1.0)
    judged = judge(
        claim_of(ACCURACY, loss), outcomes(accuracy=[0.95], loss=[2.0]), is_mnist=True, is_full=True
    )
    assert judged.judgement is Judgement.FAILS
    assert [one.is_met for one in judged.measured] == [True, False]


def test_a_claim_whose_detail_is_off_holds_in_part() -> None:
    """If only a detail is out of range the claim holds in part, with both numbers; else it fails."""
    step = Condition(measure="step", words="first step with NaN", low=300, high=400, is_detail=True)
    for steps, accuracy, judgement, reason in (
        (
            [123.0, 188.0, 327.0],
            0.95,
            Judgement.PARTLY,
            "first step with NaN: 188 [123, 327], 3 seeds, not 300 to 400",
        ),
        ([310.0, 350.0, 390.0], 0.95, Judgement.HOLDS, ""),
        ([123.0, 188.0, 327.0], 0.1, Judgement.FAILS, ""),
        ([math.nan], 0.95, Judgement.UNTESTED, "no seed shows first step with NaN"),
    ):
        judged = judge(
            claim_of(ACCURACY, step), outcomes(accuracy=[accuracy], step=steps), is_mnist=True, is_full=True
        )
        assert (judged.judgement, judged.reason) == (judgement, reason)


def test_bounds_belong_to_the_range() -> None:
    """A number on a bound is in range: counts and exact zeros are bounds of claims."""
    exact = Condition(measure="x", words="x", low=0.0, high=0.0)
    assert measure(exact, {"x": [0.0]}).is_met
    assert not measure(exact, {"x": [1e-12]}).is_met


def test_seeds_without_a_number_do_not_count() -> None:
    """NaN means that a seed does not show the event; if none does, there is no number."""
    assert measure(ACCURACY, {"accuracy": [math.nan, 0.95]}).count == 1
    nothing = measure(ACCURACY, {"accuracy": [math.nan]})
    assert (nothing.count, math.isnan(nothing.value), nothing.is_met) == (0, True, False)


SLOWER = Condition(measure="times", words="times", low=2, beyond="than", never="85 % was not reached")


@pytest.mark.parametrize(
    ("times", "than", "judgement", "words"),
    [
        (
            [math.inf, math.inf, 9.0],
            [20.0, 12.5, 30.0],
            Judgement.HOLDS,
            "times: more than 12.5 [9, more than 20], 3 seeds (85 % was not reached in 2 of 3 seeds)",
        ),
        (
            [math.inf, 3.0, 4.0],
            [20.0, 20.0, 20.0],
            Judgement.HOLDS,
            "times: 4 [3, more than 20], 3 seeds (85 % was not reached in 1 of 3 seeds)",
        ),
        ([math.inf], [1.2], Judgement.UNTESTED, "times: more than 1.2 (85 % was not reached)"),
        ([1.5], [5.0], Judgement.FAILS, "times: 1.5"),
    ],
)
def test_an_event_that_a_run_was_too_short_for_has_a_lower_bound(
    times: list[float], than: list[float], judgement: Judgement, words: str
) -> None:
    """A run without the event counts with its lower bound, in words, and can meet a condition by it."""
    judged = judge(claim_of(SLOWER), outcomes(times=times, than=than), is_mnist=True, is_full=True)
    assert judged.judgement is judgement
    assert measured_words(judged.measured[0]) == words
    assert judged.reason == ("the runs were too short for times" if judgement is Judgement.UNTESTED else "")


def test_a_lower_bound_is_in_no_range_with_an_upper_end() -> None:
    """The value above a lower bound may exceed the range; if the bound exceeds it, it is out of range."""
    ended = replace(SLOWER, high=10.0)
    inside, beyond = (measure(ended, {"times": [math.inf], "than": [than]}) for than in (5.0, 11.0))
    assert (inside.is_met, inside.is_undecided) == (False, True)
    assert (beyond.is_met, beyond.is_undecided) == (False, False)


@pytest.mark.parametrize("seeds", [[], [math.nan, math.nan]])
def test_an_event_that_no_seed_shows_is_not_judged(seeds: list[float]) -> None:
    """Without a number a claim is not tested, with the reason; another number may refute it."""
    speed = Condition(measure="speed", words="steps to 85 %", low=1.0)
    for accuracy, judgement, reason in (
        (0.95, Judgement.UNTESTED, "no seed shows steps to 85 %"),
        (0.1, Judgement.FAILS, ""),
    ):
        found = outcomes(accuracy=[accuracy], speed=seeds)
        judged = judge(claim_of(ACCURACY, speed), found, is_mnist=True, is_full=True)
        assert (judged.judgement, judged.reason) == (judgement, reason)
        assert [one.count for one in judged.measured] == [1, 0]


def test_shares_are_means_with_wilsons_interval() -> None:
    """A share of 3 in 4 seeds is 0.75, and its interval is that of Wilson's equation."""
    share = Condition(measure="nan", words="NaN", low=0.5, is_share=True)
    measured = measure(share, {"nan": [1.0, 1.0, 0.0, 1.0]})
    assert measured.value == 0.75
    assert (measured.low, measured.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)


@pytest.mark.parametrize(
    ("needs", "run", "reason"),
    [
        ("mnist", {"is_mnist": False, "is_full": True}, "needs MNIST"),
        ("full", {"is_mnist": True, "is_full": False}, "needs --full"),
        ("full", {"is_mnist": False, "is_full": True}, "needs MNIST"),
    ],
)
def test_an_untested_claim_has_a_reason(needs: Needs, run: dict[str, bool], reason: str) -> None:
    """Claims about MNIST are not judged on other images, nor long ones by a quick run, with the reason."""
    judged = judge(claim_of(ACCURACY, needs=needs), outcomes(accuracy=[0.1]), **run)
    assert (judged.judgement, judged.reason) == (Judgement.UNTESTED, reason)


def test_a_study_that_was_not_run_and_a_rule_are_not_tested() -> None:
    """Without an outcome nothing is judged; a claim that is no measurement gives its answer."""
    judged = judge(claim_of(ACCURACY), {}, is_mnist=True, is_full=True)
    assert (judged.judgement, judged.reason) == (Judgement.UNTESTED, "s was not run")
    judged = judge(claim_of(answer="a rule"), outcomes(), is_mnist=True, is_full=True)
    assert (judged.judgement, judged.reason) == (Judgement.UNTESTED, "a rule")
