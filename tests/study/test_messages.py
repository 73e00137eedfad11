"""Values, key paths, numbers and names in messages."""

import math
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.study.messages import (
    did_you_mean,
    format_count,
    format_number,
    format_size,
    key_path,
    nearest,
    toml_excerpt,
)
from hpsearch.study.schema import SECTIONS

scalars = st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.from_regex(r"\A[a-z]\Z"), inner, max_size=2)
    ),
    max_leaves=3,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0", "0.0"),
        ("1e-6", "1e-06"),
        ("nan", "nan"),
        ("true", "true"),
        ('"a\\tb\\u0000"', '"a\\tb\\u0000"'),
        ('"Größe"', '"Größe"'),
        ("[1, [2.5]]", "[1, [2.5]]"),
        ("{ normal = 0.01 }", "{ normal = 0.01 }"),
        ('{ "a b" = 1 }', '{ "a b" = 1 }'),
        ("{}", "{}"),
        ("2017-05-23", "2017-05-23"),
        ("2017-05-23T01:02:03", "2017-05-23T01:02:03"),
        ("01:02:03", "01:02:03"),
        ("[[[[[1]]]]]", "[[[[...]]]]"),
        (f"0x{'f' * 5000}", f"0x{'f' * 55}..."),
        (f'"{"x" * 100}"', f'"{"x" * 56}...'),
    ],
)
def test_values_look_as_in_the_file(text: str, expected: str) -> None:
    """A message shows a value as TOML writes it, in at most 60 characters."""
    assert toml_excerpt(tomllib.loads(f"value = {text}")["value"]) == expected


@given(values)
def test_a_shown_value_is_toml(value: Any) -> None:
    """A value that is not shortened reads back as the same value."""
    text = toml_excerpt(value)
    if "..." not in text and "\x7f" not in text:
        assert repr(tomllib.loads(f"value = {text}")["value"]) == repr(value)


def test_odd_keys_are_quoted() -> None:
    """A path has quotes only around keys that TOML could not read without them."""
    path = key_path("search", "model.activation", "my key", 'a"b')
    assert path == 'search.model.activation."my key"."a\\"b"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001234, "0.0012"),
        (99.6, "100"),
        (8100.0, "8100"),
        (123456.0, "120000"),
        (math.nan, "NaN"),
        (math.inf, "infinite"),
        (-math.inf, "minus infinite"),
    ],
)
def test_a_number_is_written_in_its_usual_form(value: float, text: str) -> None:
    """Numbers from 0.0001 to a million have no exponent, and non-finite ones are words."""
    assert format_number(value) == text


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_a_short_number_is_within_half_a_digit(value: float) -> None:
    """A short number, read back, equals the value to 2 significant digits."""
    assert float(format_number(value)) == pytest.approx(value, rel=0.051)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (931, "931 bytes"),
        (2**10, "1.0 KiB"),
        (12 * 2**20, "12.0 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**51, "2,048.0 TiB"),
    ],
)
def test_a_size_has_its_largest_unit(size_bytes: float, text: str) -> None:
    """Sizes are in powers of 1024, with the unit's name."""
    assert format_size(size_bytes) == text


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
def test_misspellings_and_short_forms_are_recognized(given_word: str, known: list[str], meant: str) -> None:
    """Misspellings, other cases, initials and parts of a name lead to the name."""
    assert nearest(given_word, known) == meant


@pytest.mark.parametrize("word", ["frobnicate", "x", "", "val", "patience"])
def test_nothing_is_suggested_without_a_similar_name(word: str) -> None:
    """A word similar to none, or a part of several names, has no suggestion."""
    assert nearest(word, ["validation_accuracy", "validation_loss", "percentile"]) is None


def test_counts_have_their_noun() -> None:
    """One trial is singular, none is a word, thousands have a comma."""
    assert [format_count(n, "trial") for n in (0, 1, 2, 5000)] == [
        "no trials",
        "1 trial",
        "2 trials",
        "5,000 trials",
    ]
    assert format_count(1234) == "1,234"


@given(st.text(), st.lists(st.sampled_from(KEYS), unique=True))
def test_a_suggestion_is_a_known_word(word: str, known: list[str]) -> None:
    """Every suggestion is one of the known words."""
    assert nearest(word, known) in {None, *known}


@given(st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
def test_a_known_word_is_its_own_nearest(known: list[str]) -> None:
    """The nearest name of a known word is the word itself."""
    assert nearest(known[0], known) == known[0]


def test_names_with_a_similar_spelling_are_suggested() -> None:
    """Names are compared by spelling; if none is similar, the message has the alternative."""
    known = ["digits-small", "digits-large", "wine"]
    assert (
        did_you_mean("digits-smal", known, otherwise="look") == "did you mean digits-small or digits-large?"
    )
    assert did_you_mean("moons", known, otherwise="look") == "look"
