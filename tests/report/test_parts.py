"""Pages from templates, and their escaping."""

import re
from importlib import resources

import pytest
from jinja2 import UndefinedError

from hpsearch.report.parts import piece, render, text_with_code

MARKUP = """<b id='x'>"&"</b>"""
ESCAPED = "&lt;b id=&#x27;x&#x27;&gt;&quot;&amp;&quot;&lt;/b&gt;"


def test_a_text_in_a_template_is_escaped() -> None:
    """Names, values and words are displayed literally, and none of them becomes markup."""
    assert ESCAPED in piece("parts.html", "facts", [("name", MARKUP)])
    assert MARKUP not in piece("parts.html", "facts", [(MARKUP, "value")])
    assert piece("parts.html", "empty", MARKUP) == f'<p class="empty">{ESCAPED}</p>'
    assert text_with_code(f"run `{MARKUP}`") == f"run <code>{ESCAPED}</code>"


def test_a_long_fact_has_two_columns() -> None:
    """An edited range would take eight lines of one column; a short text leaves the second one empty."""
    assert 'class="wide"' in piece("parts.html", "facts", [("name", "x" * 31)])
    assert 'class="wide"' not in piece("parts.html", "facts", [("name", "x" * 30)])


def test_a_missing_value_is_an_error() -> None:
    """A template that lacks a value raises an error instead of leaving a gap."""
    with pytest.raises(UndefinedError, match="is undefined"):
        render("replay.html")


def test_templates_trust_no_text() -> None:
    """Only the frame of a page takes strings as HTML, all made by us: script, style, data and body."""
    folder = resources.files("hpsearch.report").joinpath("templates")
    trusting = {file.name for file in folder.iterdir() if re.search(r"\|\s*safe\b", file.read_text())}
    assert trusting == {"page.html"}
    others = resources.files("hpsearch.reproduction").joinpath("templates")
    assert not any(re.search(r"\|\s*safe\b", file.read_text()) for file in others.iterdir())
