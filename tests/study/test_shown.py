"""Values and key paths in messages."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.study.shown import key_path, shown

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
    """A message shows a value as TOML writes it, no longer than 60 characters, however large it is."""
    assert shown(tomllib.loads(f"value = {text}")["value"]) == expected


@given(values)
def test_what_is_shown_is_toml(value: Any) -> None:
    """What is not shortened reads back as the same value."""
    text = shown(value)
    if "..." not in text and "\x7f" not in text:
        assert repr(tomllib.loads(f"value = {text}")["value"]) == repr(value)


def test_odd_keys_are_quoted() -> None:
    """A path has quotes only around what TOML could not read without them."""
    path = key_path("search", "model.activation", "my key", 'a"b')
    assert path == 'search.model.activation."my key"."a\\"b"'
