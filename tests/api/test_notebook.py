"""What notebooks show of studies, trials and verdicts."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

import hpsearch
from hpsearch.api.notebook import progress_card, study_card, trial_card, verdict_card
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import Fate
from hpsearch.verdicts import Cause, Finding
from tests.report.synthetic import MARKUP, hostile, snapshot_of, study_of, synthetic


class Outline(HTMLParser):
    """The elements of a piece of HTML, its attributes and its text."""

    def __init__(self, made: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(made)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count an element."""
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element, which must be the innermost one."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text outside the style sheet."""
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        """The text, with single blanks."""
        return " ".join(" ".join(self.words).split())


def test_a_study_shows_its_state_its_fates_and_the_best() -> None:
    """The card has the state, every fate with its count, five best configurations and a mark per trial."""
    snapshot = synthetic()
    made = Outline(study_card(snapshot))
    assert made.open == []
    assert made.text.startswith("digits Running: ")
    for fate, tally in snapshot.progress.fates.items():
        assert f"{fate.value} {tally.trials}" in made.text
    assert made.tags["tr"] == 6
    assert "trial val acc learning_rate weight_decay verdict" in made.text
    drawn = sum(set(trial.params) == {"learning_rate", "weight_decay"} for trial in snapshot.trials)
    assert made.tags["title"] == drawn + 1
    assert (
        f"best: trial {snapshot.progress.best.number if snapshot.progress.best else ''}: complete, val acc"
        in made.text
    )


def test_a_study_shows_warnings_and_advice() -> None:
    """What creation found wrong, and what to change in the next search, are in the card; commands are set as code."""
    snapshot = synthetic()
    snapshot = snapshot_of(
        snapshot.trials[:-9], spec=replace(snapshot.study.spec, trials=len(snapshot.trials) - 9)
    )
    card = study_card(snapshot, warnings=["The targets vary by `thousands`"])
    assert "The targets vary by <code>thousands</code>" in card
    assert "Advice: " in Outline(card).text


def test_cards_hold_no_script_and_load_nothing() -> None:
    """A card works in every viewer of notebooks: it has neither scripts nor links nor identifiers that could clash."""
    snapshot = synthetic()
    for card in (study_card(snapshot), trial_card(snapshot.study, snapshot.trials[0], snapshot.series[0])):
        made = Outline(card)
        assert not {"script", "img", "link", "iframe", "object"} & set(made.tags)
        assert not {"id", "href", "src", "onclick"} & made.attributes
        assert "url(" not in card
        assert len(card) < 40_000


def test_markup_in_names_is_text() -> None:
    """Names, parameters, choices and messages that look like markup are shown literally."""
    snapshot = hostile()
    harmless = Outline(study_card(replace(synthetic(), study=snapshot.study)))
    for card in (
        study_card(snapshot),
        *(trial_card(snapshot.study, t, snapshot.series.get(t.number, {})) for t in snapshot.trials),
        verdict_card(
            Finding(
                cause=Cause.HEALTHY,
                confidence=1.0,
                first_step=0,
                evidence={MARKUP: 1.0},
                remedy=f"`{MARKUP}` {MARKUP}",
                suggested={MARKUP: MARKUP},
            ),
            heading=MARKUP,
            words=MARKUP,
        ),
    ):
        made = Outline(card)
        assert made.open == []
        assert not {"script", "img", "b"} & set(made.tags)
        assert "onerror" not in made.attributes
    assert "script" not in harmless.tags
    assert MARKUP in "".join(Outline(verdict_card(_finding(), heading=MARKUP)).words)


def test_the_progress_of_a_run_is_a_bar_of_fates() -> None:
    """The card of a run has its count, a bar with the fates, lines and notes, all escaped; first it has no bar."""
    snapshot = hostile()
    progress = synthetic().progress
    made = Outline(progress_card(MARKUP, lines=[MARKUP], progress=progress, notes=[f"`{MARKUP}`"]))
    assert made.open == []
    assert not {"script", "img", "b"} & set(made.tags)
    assert f"{progress.finished} of {progress.budget} trials" in made.text
    assert all(fate.value in made.text for fate in progress.fates)
    assert made.tags["svg"] == len(progress.fates)
    assert Outline(progress_card(snapshot.study.name, lines=["starting workers"])).tags["svg"] == 0


def _finding(**changes: object) -> Finding:
    found = Finding(
        cause=Cause.DIVERGED_LR,
        confidence=0.9,
        first_step=12,
        evidence={"loss_ratio": 1234.5678},
        remedy="Lower the learning rate from 30 to 3.",
        suggested={"learning_rate": 3.0},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def test_a_trial_shows_verdict_evidence_remedy_and_curve() -> None:
    """The card has the fate, the parameters, the verdict with its step, evidence, remedy, values to try and losses."""
    snapshot = synthetic()
    trial = next(t for t in snapshot.trials if t.fate is Fate.DIVERGED)
    trial = replace(trial, finding=_finding())
    made = Outline(
        trial_card(snapshot.study, trial, {"training_loss": [1.0, 2.0], "validation_loss": [1.5, 9.0]})
    )
    assert made.text.startswith(f"Trial {trial.number} of digits diverged")
    for words in (
        "diverged_lr from step 12 confidence 90 %",
        "Weights, outputs or the loss are no longer finite",
        "Remedy: Lower the learning rate from 30 to 3.",
        "Try: learning_rate = 3",
        "loss_ratio 1235",
        "training loss validation loss",
        "epoch",
    ):
        assert words in made.text
    assert made.tags["polyline"] == 2


@pytest.mark.parametrize(
    ("losses", "lines", "dots"),
    [
        ([], 0, 0),
        ([float("nan")], 0, 0),
        ([1.0], 0, 0),
        ([1.0, 1.0, 1.0], 1, 0),
        ([1.0, float("nan"), 2.0, 1e30, float("inf")], 1, 1),
        ([0.0, -1.0, 5.0], 1, 0),
        ([float(i) for i in range(10_000)], 1, 0),
    ],
)
def test_any_curve_can_be_drawn(losses: list[float], lines: int, dots: int) -> None:
    """Curves are interrupted at values that are not finite, single ones are dots, and long curves are thinned."""
    trial = synthetic().trials[0]
    card = trial_card(study_of(synthetic().study.spec), trial, {"training_loss": losses})
    made = Outline(card)
    assert (made.tags["polyline"], made.tags["circle"]) == (lines, dots)
    assert ("trial.replay().figure()" in made.text) == (not lines)
    assert "nan" not in re.sub(r"<style>.*?</style>", "", card, flags=re.DOTALL)
    assert len(card) < 25_000


def test_a_study_without_trials_has_a_card() -> None:
    """A new study shows its state alone, and so does one that searches a single dimension."""
    spec = synthetic().study.spec
    made = Outline(study_card(snapshot_of([], spec=spec)))
    assert made.text == "digits Open: 0 of 120 trials finished, none in training."
    one = replace(spec, search=(Range(name="learning_rate", low=1e-4, high=1.0, log=True),))
    assert Outline(study_card(snapshot_of(synthetic().trials, spec=one))).tags["title"] == 0


def test_long_choices_and_many_trials_keep_the_map_small() -> None:
    """Labels of ticks are cut, and 400 trials stand for all."""
    spec = replace(
        synthetic().study.spec,
        search=(
            Range(name="learning_rate", low=1e-6, high=1.0, log=True),
            Choices(name="model.hidden", choices=tuple(f"[{n}, {n}, {n}, {n}]" for n in range(9))),
        ),
    )
    trials = [
        replace(trial, params={"learning_rate": 0.1, "model.hidden": f"[{n % 9}, {n % 9}, {n % 9}, {n % 9}]"})
        for n, trial in enumerate(synthetic(1500).trials)
    ]
    card = study_card(snapshot_of(trials, spec=spec))
    made = Outline(card)
    assert "[0, 0, 0…" in made.text
    assert "400 of 1,500 trials are drawn" in made.text
    assert made.tags["title"] <= 401
    assert len(card) < 150_000


def test_a_verdict_shows_the_curve_of_its_training() -> None:
    """The card of a diagnosis has its heading, and the loss by step."""
    curves = {"step": [0.0, 1.0, 2.0], "loss": [2.0, 1.0, 0.5], "accuracy": [0.1, 0.2, 0.3]}
    made = Outline(verdict_card(_finding(), heading="digits", words="trained for 3 steps", curves=curves))
    assert made.text.startswith("digits trained for 3 steps diverged_lr from step 12")
    assert made.tags["polyline"] == 1
    assert made.tags["svg"] == 1


def test_the_drawings_are_xml() -> None:
    """The SVG of a card is well-formed, so that strict viewers draw it too."""
    snapshot = synthetic()
    cards = study_card(snapshot) + trial_card(snapshot.study, snapshot.trials[0], snapshot.series[0])
    drawings = re.findall(r"<svg.*?</svg>", cards, flags=re.DOTALL)
    assert len(drawings) > 5
    for drawing in drawings:
        ET.fromstring(drawing)


def test_a_study_that_is_gone_is_shown_as_text() -> None:
    """Objects of a deleted study can be displayed: the study as its text, a trial with its stored values."""
    study = hpsearch.create_study("digits", trials=1, training={"epochs": 2}, storage="sqlite:///gone.db")
    study.run(workers=1)
    (trial,) = study.trials
    shown = study._repr_html_()
    assert shown is not None
    assert "Finished: 1 of 1 trial" in Outline(shown).text
    hpsearch.delete_study("digits", storage="sqlite:///gone.db")
    assert study._repr_html_() is None
    assert Outline(trial._repr_html_()).text.startswith("Trial 0 of digits ")
