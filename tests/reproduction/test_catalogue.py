"""The catalogue of experiments, and the claims that they test."""

from pathlib import Path

from hpsearch.reproduction.catalogue import EXPERIMENTS, ONLY_FULL
from hpsearch.reproduction.claims import documents, every_claim
from hpsearch.reproduction.experiments.measures import LARGEST_LOGIT

STUDIES = Path(__file__).parents[2] / "studies"
FOR_USERS = {"digits", "mnist"}


def test_each_claim_has_a_unique_name_and_a_study_file() -> None:
    """No two claims share a name, and every study of a claim has a file in studies/ and an experiment."""
    names = [claim.name for claim in every_claim()]
    assert len(set(names)) == len(names)
    for claim in every_claim():
        assert (STUDIES / f"{claim.study}.toml").is_file(), claim.name
        assert claim.study in EXPERIMENTS, claim.name


def test_each_study_file_belongs_to_a_claim() -> None:
    """Every study file, except those for users, belongs to a claim and to an experiment."""
    files = {path.stem for path in STUDIES.glob("*.toml")} - FOR_USERS
    assert files == {claim.study for claim in every_claim()} == set(EXPERIMENTS)


def test_each_claim_can_be_judged() -> None:
    """A claim has conditions or an answer, never both, and bounds in their order."""
    for claim in every_claim():
        assert bool(claim.conditions) != bool(claim.answer), claim.name
        assert all(condition.low <= condition.high for condition in claim.conditions), claim.name


def test_claims_that_need_a_full_run_are_marked() -> None:
    """Claims of studies that the quick set omits need a full run, and no others do."""
    assert {claim.study for claim in every_claim() if claim.needs == "full"} == ONLY_FULL


def test_each_range_has_its_reason() -> None:
    """A claim with ranges has the reason for them, and no claim is about what we draw or print."""
    for claim in every_claim():
        assert bool(claim.why) == bool(claim.conditions), claim.name
        assert any(not one.is_detail for one in claim.conditions) == bool(claim.conditions), claim.name
    measures = {condition.measure for claim in every_claim() for condition in claim.conditions}
    assert not {name for name in measures if "drawn" in name or "printed" in name}


def test_the_article_is_not_given_its_number_by_our_seeds() -> None:
    """The range of the step at which LeakyReLU diverges is around the article's 350, so that our seeds can miss it."""
    (claim,) = (one for one in every_claim() if one.name == "leaky-diverges")
    (step,) = (one for one in claim.conditions if one.measure == "LeakyReLU, 0.057: NaN step")
    assert step.low <= 350 <= step.high
    assert not step.low <= 188 <= step.high


def test_documents_have_names_that_readers_understand() -> None:
    """No document is a number."""
    about = {document.name: document.about for document in documents()}
    assert not [name for name in about if any(letter.isdigit() for letter in name)]
    assert "Bjorck et al. (2018), Understanding Batch Normalization" in about["normalization slides"]


def test_each_file_of_claims_is_a_document() -> None:
    """Every file in studies/claims/ is read, and stated setups are filled in."""
    assert len(list((STUDIES / "claims").glob("*.toml"))) == len(documents())
    for claim in every_claim():
        assert "{" not in claim.stated, claim.name


def test_the_stable_loss_is_tested_up_to_the_largest_logit() -> None:
    """The bound of the claim about log 0 is the largest logit that the experiment tries."""
    (claim,) = (one for one in every_claim() if one.name == "log-zero")
    bounds = {one.low for one in claim.conditions if one.measure.startswith("stable breaks")}
    assert bounds == {LARGEST_LOGIT}
