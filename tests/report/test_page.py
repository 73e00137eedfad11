"""The page as text; tests in `tests/end_to_end` open it in a browser."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from hpsearch.analysis.advice import advice
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.page import render
from hpsearch.report.parts import text_with_code
from hpsearch.report.request import ReportRequest
from hpsearch.verdicts import DIAGNOSED, Cause
from tests.report import synthetic
from tests.report.synthetic import SPECIAL, finding

VOID = {"meta", "link", "br", "input", "img"}


class Outline(HTMLParser):
    """Collects tags, headings, scripts and loaded resources; raises if tags do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the tag and the resources it would load or run."""
        self.tags.append(tag)
        named = [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        self.addresses += [
            value for value in named if not value.startswith("#")
        ]  # a place in the page itself
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the tag that ends is the one that is open."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Record text for readers, and separately scripts."""
        (self.scripts if self.open and self.open[-1] == "script" else self.text).append(data)


def _outline(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    return outline


@pytest.fixture(scope="module")
def page(study: Snapshot) -> str:
    """Return the page of the study with every fate."""
    return render(study)


def test_nothing_is_loaded(page: str) -> None:
    """No tag names an address, the policy allows none, and Plotly is inside once, compressed."""
    outline = _outline(page)
    assert outline.addresses == ["data:,"]
    assert "default-src 'none'" in page
    (packed,) = re.findall('<script type="text/plain" id="plotly">(.+?)</script>', page)
    plotly = zlib.decompress(base64.b64decode(packed)).decode()
    assert plotly == get_plotlyjs()
    digest = base64.b64encode(hashlib.sha256(plotly.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page
    assert len(re.findall("<script", page)) == 4


def test_the_heading_has_the_main_facts(page: str) -> None:
    """Name, state, budget, data, best and times in UTC with the zone are on the page."""
    text = " ".join(_outline(page).text)
    for words in (
        "digits",
        "Running: 111 of 120 trials finished, 3 in training.",
        "120 trials",
        "2026-07-26 13:58 UTC",
        "2026-07-26 14:02 UTC",
        "Best-1 (val acc 0.9",
        "sha256:5f2c8e1d90aa77b3",
        "Lower the learning rate to a tenth, or add batch normalization.",
    ):
        assert words in text


def test_the_page_has_an_outline(page: str) -> None:
    """One heading of the first level, one section for each of the others, a language and a viewport."""
    tags = _outline(page).tags
    assert tags.count("h1") == 1
    assert tags.count("h2") == tags.count("section") == 15
    assert '<html lang="en">' in page
    assert 'name="viewport"' in page


def test_the_contents_lead_to_every_section(page: str) -> None:
    """Above the sections is a link to each of them, in their order, under its heading."""
    nav = re.search(r'<nav class="contents".*?</nav>', page, re.DOTALL)
    assert nav is not None
    links = re.findall(r'<a href="#([\w-]+)">(.*?)</a>', nav[0])
    assert [name for name, _ in links] == re.findall(r'<section id="([\w-]+)"', page)
    assert dict(links)["verdicts"] == "Verdicts"
    assert page.index(nav[0]) < page.index("<section")


def test_the_data_is_strict_json(page: str) -> None:
    """Figures are JSON without NaN, which a browser could not read."""
    found = re.search(r'<script type="text/plain" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    text = zlib.decompress(base64.b64decode(found[1], validate=True))
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert len(data["figures"]) == 45
    for figure in data["figures"].values():
        for trace in figure["data"]:
            assert all(0 <= number < len(data["texts"]) for number in _flat(trace.get("hovertext", ())))


def _flat(numbers: list[Any]) -> list[int]:
    """Return the numbers of a list, row by row if it has rows."""
    return [one for item in numbers for one in (_flat(item) if isinstance(item, list) else [item])]


def test_markup_runs_nothing(hostile: Snapshot) -> None:
    """The page of a study whose every text is markup has the same scripts and no other tags."""
    outline = _outline(render(hostile))
    assert outline.tags.count("script") == 4
    assert outline.handlers == []
    assert "img" not in outline.tags
    assert any(synthetic.MARKUP in text for text in outline.text)


@pytest.mark.parametrize("name", SPECIAL)
def test_every_study_has_a_page(name: str) -> None:
    """Studies without trials, results, survivors or a learning rate have a page that states what is missing."""
    outline = _outline(render(SPECIAL[name]()))
    assert outline.tags.count("h2") == 15
    if name == "empty":
        text = " ".join(outline.text)
        assert "Open: 0 of 120 trials finished, none in training." in text
        assert "No epoch has been trained yet." in text


def test_the_page_gives_the_advice(study: Snapshot, page: str) -> None:
    """The page has the sentence that the command line prints; without advice it has no such section."""
    said = advice(study.study.spec, study.trials, maximize=study.study.maximize)
    assert said is not None
    assert f"Advice: {text_with_code(said)}." in page
    assert "Advice" not in render(SPECIAL["empty"]())


def test_the_same_snapshot_makes_the_same_page(study: Snapshot, page: str) -> None:
    """The page depends on nothing but its snapshot."""
    assert render(study) == page


def test_the_page_has_the_requested_comparisons(study: Snapshot) -> None:
    """Named trials are compared, and another study has a section with the differences."""
    other = synthetic.synthetic(60, spec=replace(synthetic.SPEC, name=synthetic.MARKUP, seed=3))
    outline = _outline(render(study, ReportRequest(trials=(3, 42), others=(other,))))
    text = " ".join(outline.text)
    for words in ("Trial 3, trial 42, epoch by epoch", "Studies compared", "20170523", "≠"):
        assert words in text
    assert outline.tags.count("h2") == 16
    assert outline.tags.count("script") == 4
    assert outline.handlers == []


def test_a_report_does_not_grow_by_every_series() -> None:
    """Only a few trials are compared, so their figures are a small part of the page."""
    size = len(render(synthetic.synthetic(1000), ReportRequest(trials=(0, 1, 2, 3, 4, 5))))
    assert size - len(render(synthetic.synthetic(1000), ReportRequest(trials=(0, 1)))) < 60_000


def test_the_card_can_be_copied(page: str) -> None:
    """The card has commands, a study file and JSON, each with a button that only the script shows."""
    outline = _outline(page)
    assert outline.tags.count("button") == 5
    text = " ".join(outline.text)
    assert "hpsearch trial replay digits" in text
    assert "hpsearch study confirm digits" in text
    assert '"trial":' in text
    assert 'name = "digits-best"' in text


def test_the_table_of_verdicts_states_what_it_counts(study: Snapshot) -> None:
    """The ledger has only the stopped trials of a verdict, so the table states that it also counts complete ones."""
    assert (
        "all trials with the verdict; evidence is the median. Complete and audited trials were not stopped, and"
        in render(study)
    )


def test_the_table_of_verdicts_counts_the_faults_of_outranked_trials(study: Snapshot) -> None:
    """The row of outranked trials counts those in which diagnosis found a fault too."""
    evidence = {DIAGNOSED + Cause.DEAD_RELU_TOTAL: 0.95}
    trials = [
        replace(trial, finding=finding(Cause.OUTRANKED, evidence=evidence))
        if trial.verdict is Cause.OUTRANKED
        else trial
        for trial in study.trials
    ]
    count = sum(trial.verdict is Cause.OUTRANKED for trial in trials)
    assert f"(of them {count} also dead_relu_total)" in render(replace(study, trials=tuple(trials)))


def test_options_of_commands_are_not_broken_at_their_hyphens() -> None:
    """The browser does not break an option, and nothing is added that would be copied with it."""
    assert text_with_code("a--b `x --trials 3,17 a--b`") == (
        'a--b <code>x <span class="option">--trials</span> 3,17 a--b</code>'
    )
