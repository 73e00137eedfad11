"""Explanations of verdicts and fates: complete, true to the code, and the same as in studies/README.md."""

import re
from pathlib import Path

import pytest

from hpsearch.analysis.explanations import (
    EXPLANATIONS,
    Explanation,
    FateExplanation,
    Stops,
    explain,
    explain_fate,
)
from hpsearch.diagnosis.verdicts import CATALOGUE
from hpsearch.errors import UsageError
from hpsearch.study.spec import DEFAULT_FATAL
from hpsearch.trials import Fate, TrialState, fate_of
from hpsearch.verdicts import Cause


def test_every_verdict_is_explained() -> None:
    """Each cause has a meaning, its detection as sentences, and, unless nothing is wrong, a remedy."""
    assert list(EXPLANATIONS) == list(Cause)
    for cause, one in EXPLANATIONS.items():
        assert one.cause is cause
        assert one.meaning[0].islower()
        assert not one.meaning.endswith(".")
        assert one.detection.endswith(".")
        assert bool(one.remedy) == (cause is not Cause.HEALTHY)


def test_the_table_of_the_readme_has_the_same_texts(repository: Path) -> None:
    """The table of verdicts in studies/README.md has the meanings, the remedies, and which of them stop a trial."""
    readme = (repository / "studies/README.md").read_text()
    table = readme.partition("## Verdicts\n")[2].partition("\n## ")[0]
    rows = [
        tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in table.splitlines() if "|" in line
    ]
    expected = [
        (f"`{one.cause}`", "yes" if one.stops is Stops.BY_DEFAULT else "", one.meaning, one.remedy)
        for one in EXPLANATIONS.values()
        if one.stops is not Stops.EXTERNAL
    ]
    assert rows[2:] == expected
    external = [one.cause for one in EXPLANATIONS.values() if one.stops is Stops.EXTERNAL]
    assert all(f"`{cause}` (" in readme for cause in external)


def test_what_stops_a_trial_can_be_found_during_training() -> None:
    """Only verdicts that a rule finds during training stop a trial, and exactly the default ones by default."""
    found = {cause for entry in CATALOGUE for cause in entry.causes}
    stopping = {one.cause for one in EXPLANATIONS.values() if one.stops in (Stops.BY_DEFAULT, Stops.IF_FATAL)}
    assert stopping <= found
    by_default = tuple(one.cause for one in EXPLANATIONS.values() if one.stops is Stops.BY_DEFAULT)
    assert by_default == DEFAULT_FATAL


def test_fates_group_the_verdicts_that_lead_to_them() -> None:
    """A fate's verdicts are those with which a trial ends so; running and waiting trials have none."""
    grouped = {fate: {one.cause for one in explain_fate(fate).verdicts} for fate in Fate}
    assert grouped[Fate.DYING] == {
        Cause.DEAD_RELU_TOTAL,
        Cause.DEAD_RELU_PARTIAL,
        Cause.BORN_DEAD,
        Cause.NEG_PLATEAU,
    }
    assert grouped[Fate.TOO_SLOW] == {Cause.LR_TOO_LOW}
    assert grouped[Fate.OUTRANKED] == {Cause.OUTRANKED}
    assert grouped[Fate.LOST] == {Cause.WORKER_LOST}
    assert grouped[Fate.CRASHED] == {Cause.CODE_ERROR, Cause.TIMEOUT, Cause.OUT_OF_MEMORY}
    assert grouped[Fate.RUNNING] == grouped[Fate.WAITING] == set()
    for cause, one in EXPLANATIONS.items():
        if one.stops in (Stops.BY_DEFAULT, Stops.IF_FATAL):
            assert cause in grouped[fate_of(TrialState.PRUNED, cause)]
    assert set().union(*grouped.values()) == set(Cause)


@pytest.mark.parametrize("name", ["lr_too_low", "lr-too-low", "LR too low"])
def test_a_verdict_is_found_by_its_name(name: str) -> None:
    """Case, blanks, hyphens and underscores do not matter."""
    found = explain(name)
    assert isinstance(found, Explanation)
    assert found.cause is Cause.LR_TOO_LOW


@pytest.mark.parametrize("name", ["too slow", "too-slow", "Too_Slow"])
def test_a_fate_is_found_by_its_name(name: str) -> None:
    """Case, blanks, hyphens and underscores do not matter."""
    found = explain(name)
    assert isinstance(found, FateExplanation)
    assert found.fate is Fate.TOO_SLOW


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("lr_to_low", 'did you mean "lr_too_low"?'),
        ("too_slo", 'did you mean "too slow"?'),
        ("banana", "`hpsearch explain` lists them"),
        (
            "pruned",
            "that is Optuna's state, and the fates in it are outranked, diverged, dying, too slow, other verdict",
        ),
        ("failed", "that is Optuna's state, and the fates in it are other verdict, crashed, lost"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, remedy: str) -> None:
    """The error has the name and the most similar verdict or fate, or the command that lists them."""
    message = f'VERDICT: must be a verdict or a fate (got "{name}"): {remedy}'
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        explain(name)
