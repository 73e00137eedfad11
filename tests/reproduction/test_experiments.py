"""Every experiment in its smallest version, on digits."""

import pytest

from hpsearch.reproduction.catalogue import EXPERIMENTS
from hpsearch.reproduction.claims import Judgement, every_claim, judge
from hpsearch.reproduction.laboratory import Lab
from hpsearch.reproduction.runner import run_one

SMALL = Lab(source="digits", size="small", seed=11)


@pytest.mark.parametrize("study", EXPERIMENTS)
def test_an_experiment_measures_what_its_claims_need(study: str) -> None:
    """A small version runs, its figures have names of their own, and each claim is judged by all of its measures."""
    outcome = run_one(study, SMALL)
    drawings = [drawing.name for picture in outcome.pictures for drawing in picture.drawings]
    assert len(set(drawings)) == len(drawings)
    for claim in every_claim():
        if claim.study == study:
            judged = judge(claim, {study: outcome}, is_mnist=True, is_full=True)
            assert [one.condition for one in judged.measured] == list(claim.conditions)
            seen = all(one.count for one in judged.measured)
            if judged.judgement is Judgement.UNTESTED:
                assert judged.reason == claim.answer or (
                    judged.reason.startswith("no seed shows") and not seen
                )


def test_a_huge_rate_answers_with_the_first_class() -> None:
    """At 1e9 the network is NaN, and its accuracy is exactly the share of class 0, on other images than MNIST's too."""
    values = run_one("huge-learning-rate", SMALL).values
    assert values["NaN"] == [1.0]
    assert values["training off class 0"] == values["held-back off class 0"] == [0.0]
    assert 0 < values["training accuracy"][0] < 0.2
