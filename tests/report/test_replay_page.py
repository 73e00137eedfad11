"""The page of a replay as text: its contents, and its safety."""

from dataclasses import replace
from html import escape

import pytest

from hpsearch.analysis.replay import check_sentence
from hpsearch.report.figures.replay_catalogue import ReplayRun, replay_exhibits
from hpsearch.report.replay_page import render_replay
from hpsearch.worker.replay import ReplayCheck
from tests.report.replays import CASES, TAKEN, difference, recording, replay_of


def body(page: str) -> str:
    """Return a page without its scripts and data."""
    return page.partition("<body>")[2].partition("<script")[0]


def test_the_page_has_the_findings() -> None:
    """Check, verdict, evidence, remedy, and the units that died are in the page's text."""
    replay = replay_of("dying")
    page = body(render_replay(replay, taken=TAKEN))
    finding = replay.original.verdict.findings[0]
    for words in (
        "<h1>Trial 3</h1>",
        "Bit-identical to the stored curve: 8 epochs, 64 numbers.",
        f"{finding.cause.value} from step {finding.first_step:,}",
        escape(finding.remedy),
        "12 (100 %)",
        "at step",
        "2026-11-27 12:30 UTC",
    ):
        assert words in page


def test_silence_is_called_death_only_for_relu() -> None:
    """If the activation has a gradient below 0 the page states that a silent unit may still learn."""
    words = "a silent unit may still learn"
    assert words in body(render_replay(replay_of("diverging"), taken=TAKEN))
    assert words not in body(render_replay(replay_of("dying"), taken=TAKEN))


def test_a_change_is_next_to_the_original() -> None:
    """Each figure has a labelled drawing of both runs."""
    page = body(render_replay(replay_of("dying", altered={"learning_rate": 0.001}), taken=TAKEN))
    assert page.count('data-figure="accuracy-') == 2
    assert "With training.learning_rate=0.001" in page


@pytest.mark.parametrize("case", CASES)
def test_every_figure_has_a_name_of_its_own(case: str) -> None:
    """Drawings are found by name, so no two share one; parts that a network lacks are named."""
    runs = [ReplayRun(heading=heading, recording=recording(case), finding=None) for heading in ("one", "two")]
    exhibits = replay_exhibits(runs)
    names = [panel.name for exhibit in exhibits for panel in exhibit.panels]
    assert len(set(names)) == len(names)
    empty = {exhibit.name for exhibit in exhibits if not exhibit.panels}
    assert empty == {
        "no hidden layer": {"first-weights", "first-biases", "firing"},
        "regression": {"accuracy"},
    }.get(case, set())
    assert all(exhibit.caption for exhibit in exhibits)


def test_markup_in_names_is_text() -> None:
    """A study's name, a setting and a finding that are markup are shown and run nothing."""
    replay = replay_of("healthy", altered={"learning_rate": 0.2}, study="<b>blobs</b>")
    page = render_replay(replace(replay, settings={"<i>": "</script><script>run()"}), taken=TAKEN)
    assert "<b>blobs" not in page
    assert "<script>run()" not in page
    assert "&lt;b&gt;blobs" in page


def test_checks_are_sentences() -> None:
    """Equal, nothing to compare, and different with the place and the possible reason."""
    assert check_sentence(ReplayCheck(epochs=1, numbers=8, difference=None)) == (
        "bit-identical to the stored curve: 1 epoch, 8 numbers"
    )
    assert check_sentence(ReplayCheck(epochs=0, numbers=0, difference=None)) == (
        "nothing to compare: no finished epoch is stored"
    )
    assert check_sentence(difference()) == (
        "differs from the stored curve in epoch 2 (steps 20 to 39): training_loss is 0.25 and was NaN; "
        "perhaps this, or that"
    )
