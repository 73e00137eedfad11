"""The page of a reproduction."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hpsearch.reproduction.catalogue import EXPERIMENTS
from hpsearch.reproduction.claims import Condition, Judgement, every_claim, judge, judgement_words
from hpsearch.reproduction.laboratory import Lab
from hpsearch.reproduction.page import Reproduction, render
from hpsearch.reproduction.runner import run_one
from tests.report.synthetic import drawings_of

LAB = Lab(source="digits", size="small", seed=11)
STUDIES = ("relu-learning-rates", "training-troubles")


@pytest.fixture(scope="module")
def shown() -> Reproduction:
    """Return a small reproduction: two studies run, and every claim judged."""
    outcomes = {study: run_one(study, LAB) for study in STUDIES}
    judged = [judge(claim, outcomes, is_mnist=False, is_full=False) for claim in every_claim()]
    return Reproduction(lab=LAB, judged=judged, outcomes=outcomes, taken=datetime(2026, 7, 26, tzinfo=UTC))


def test_every_claim_has_its_row(shown: Reproduction) -> None:
    """Each claim has one row, with its judgement in words, and the page states which images it used."""
    page = render(shown)
    for judged in shown.judged:
        (row,) = re.findall(rf'<tr id="claim-{judged.claim.name}">.*?</tr>', page)
        assert judgement_words(judged).replace('"', "&quot;") in row
        assert f"{judged.claim.study}.toml" in row
    assert "in place of MNIST" in page


def test_the_page_needs_no_network_and_runs_only_its_own_scripts(shown: Reproduction) -> None:
    """The policy of the report applies here too, and nothing is loaded from elsewhere."""
    page = render(shown)
    assert "default-src 'none'; script-src 'sha256-" in page
    assert not re.search(r"""(?:src|href)=["']?https?:""", page.partition("<script")[0])


def test_every_drawing_has_its_place_and_its_data(shown: Reproduction) -> None:
    """The figures of the studies that were run are on the page, each once, under a name that finds its data."""
    page = render(shown)
    names = [drawing.name for one in shown.outcomes.values() for p in one.pictures for drawing in p.drawings]
    places = re.findall(r'data-figure="([^"]+)"', page)
    assert sorted(places) == sorted(names)
    drawings = drawings_of(page)
    assert all(f'"{name}":{{' in drawings for name in names)


def test_text_from_outside_is_shown_and_not_run(shown: Reproduction) -> None:
    """A claim with markup in it is escaped."""
    first = shown.judged[0]
    evil = replace(first, claim=replace(first.claim, text="<script>alert(1)</script>"))
    page = render(replace(shown, judged=[evil]))
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize(
    ("number", "judgement", "is_marked"),
    [
        (0.95, Judgement.HOLDS, False),
        (0.5, Judgement.FAILS, True),
        (math.nan, Judgement.UNTESTED, False),
    ],
)
def test_an_unmet_range_is_marked(
    shown: Reproduction,
    number: float,
    judgement: Judgement,
    is_marked: bool,  # noqa: FBT001 - a parametrized case
) -> None:
    """A number out of its range is marked in the claim's row; one in range, or none at all, is not."""
    condition = Condition(measure="accuracy", words="accuracy", low=0.9)
    claim = replace(every_claim()[0], conditions=(condition,), needs="nothing")
    outcome = replace(shown.outcomes[STUDIES[0]], values={"accuracy": [number]})
    judged = judge(claim, {claim.study: outcome}, is_mnist=False, is_full=False)
    assert judged.judgement is judgement
    (row,) = re.findall(rf'<tr id="claim-{claim.name}">.*?</tr>', render(replace(shown, judged=[judged])))
    assert ("(<b>not</b> at least 0.9)" in row) is is_marked
    assert "at least 0.9" in row


def test_the_page_has_the_command_that_makes_it_again(shown: Reproduction) -> None:
    """The command names the studies unless the whole set was run, and always the data."""
    every = dict.fromkeys(EXPERIMENTS, shown.outcomes[STUDIES[0]])
    named = "<code>hpsearch reproduce relu-learning-rates training-troubles --small --seed 11 --data digits</code>"
    assert named in render(shown)
    whole = replace(shown, lab=replace(LAB, size="full"), outcomes=every)
    assert "<code>hpsearch reproduce --full --seed 11 --data digits</code>" in render(whole)
