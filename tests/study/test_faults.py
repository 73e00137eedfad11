"""Faults in words."""

from typing import get_args

import pytest

from hpsearch.study.faults import fault_in_words
from hpsearch.study.reader import parse_study
from hpsearch.study.rules import Faults
from hpsearch.study.spec import Fault, FaultName


def test_every_fault_can_be_written() -> None:
    """A study file can name every fault there is, with or without a number."""
    rule = Faults()
    assert {*rule.named, *rule.numbered} == set(get_args(FaultName))


@pytest.mark.parametrize("name", get_args(FaultName))
def test_every_fault_has_its_own_words(name: FaultName) -> None:
    """No two faults read alike, and a number is said."""
    others = [fault_in_words(Fault(name=other, number=77)) for other in get_args(FaultName) if other != name]
    words = fault_in_words(Fault(name=name, number=77))
    assert words not in others
    assert ("77" in words) == (name in Faults().numbered)


@pytest.mark.parametrize("number", ["1", "65537", "2.0", "true"])
def test_a_number_is_judged_at_its_place(number: str) -> None:
    """A divisor that changes nothing, or is no whole number, is refused where it stands."""
    text = f'name = "x"\ndata = {{ source = "digits", fault = {{ integer_division = {number} }} }}'
    with pytest.raises(Exception, match=r"data\.fault\.integer_division: must be a whole number from 2 to"):
        parse_study(text, source="x.toml")
