"""Suggestions for words that are not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.study.nearest import did_you_mean, nearest
from hpsearch.study.schema import SECTIONS

KEYS = [key for section in SECTIONS.values() for key in section.rules]


@pytest.mark.parametrize(
    ("given_word", "known", "meant"),
    [
        ("optimiser", ["epochs", "optimizer"], "optimizer"),
        ("SGD", ["sgd", "adam"], "sgd"),
        ("batch-size", ["batch_size"], "batch_size"),
        ("lr", ["epochs", "learning_rate"], "learning_rate"),
        ("mean_squared_error", ["cross_entropy", "mse"], "mse"),
        ("init", ["activation", "initializer"], "initializer"),
        ("accuracy", ["auto", "validation_accuracy", "validation_loss"], "validation_accuracy"),
        ("hidden_layers", ["hidden", "activation"], "hidden"),
    ],
)
def test_slips_and_short_forms_are_understood(given_word: str, known: list[str], meant: str) -> None:
    """Slips of the pen, other cases, initials and parts of a name lead to it."""
    assert nearest(given_word, known) == meant


@pytest.mark.parametrize("word", ["frobnicate", "x", "", "val", "patience"])
def test_nothing_is_suggested_where_nothing_is_near(word: str) -> None:
    """A word that is near to none, or a part of several, has no suggestion."""
    assert nearest(word, ["validation_accuracy", "validation_loss", "percentile"]) is None


@given(st.text(), st.lists(st.sampled_from(KEYS), unique=True))
def test_a_suggestion_is_a_known_word(word: str, known: list[str]) -> None:
    """What is suggested exists."""
    assert nearest(word, known) in {None, *known}


@given(st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
def test_a_known_word_is_its_own_nearest(known: list[str]) -> None:
    """A word that is known means itself."""
    assert nearest(known[0], known) == known[0]


def test_what_is_spelt_alike_is_offered() -> None:
    """Names that people chose are compared as they are spelt; where none is alike, the other way stands there."""
    known = ["digits-small", "digits-large", "wine"]
    assert (
        did_you_mean("digits-smal", known, otherwise="look") == "did you mean digits-small or digits-large?"
    )
    assert did_you_mean("moons", known, otherwise="look") == "look"
