"""A few trials compared."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.comparison import HEALTH, chosen_trials, compared_table, comparison
from hpsearch.report.request import ReportRequest
from hpsearch.trials import Fate, TrialState, best_trials
from hpsearch.verdicts import Cause
from tests.report.synthetic import SPEC, empty, only_deaths, snapshot_of


def test_typical_trials_are_the_best_the_median_and_frequent_failures(study: Snapshot) -> None:
    """The best, the median of the complete, and the longest-lived trial of each of the two most frequent verdicts."""
    chosen = chosen_trials(study, ())
    ranked = best_trials(study.trials, maximize=True, count=999)
    assert chosen[0].trial == ranked[0]
    assert chosen[1].trial == ranked[len(ranked) // 2]
    dead = (Fate.DIVERGED, Fate.DYING, Fate.TOO_SLOW, Fate.OTHER)
    causes = Counter(trial.verdict for trial in study.trials if trial.fate in dead)
    assert [one.trial.verdict for one in chosen[2:]] == [cause for cause, _ in causes.most_common(2)]
    assert [one.why for one in chosen] == [
        "the best",
        "median of the complete",
        *(cause.value for cause, _ in causes.most_common(2) if cause),
    ]
    for one in chosen[2:]:
        lives = [trial.epochs for trial in study.trials if trial.verdict is one.trial.verdict]
        assert one.trial.epochs == max(lives)


def test_named_trials_are_compared_in_their_order(study: Snapshot) -> None:
    """Named trials are compared in that order, with any fates."""
    data = comparison(study, ReportRequest(trials=(116, 3, 42)))
    assert data is not None
    assert [one.trial.number for one in data.chosen] == [116, 3, 42]
    assert data.caption.startswith("Trial 116, trial 3, trial 42, epoch by epoch")
    for panel in data.panels:
        assert [line.number for line in panel.lines] == [116, 3, 42]


def test_every_series_that_is_stored_has_a_panel(study: Snapshot) -> None:
    """Metric, training loss and the series of health each have a panel with every value of every trial."""
    data = comparison(study, ReportRequest())
    assert data is not None
    stored = [name for name in HEALTH if name in study.series[0]]
    assert {"dead_share", "gradient_norm", "weight_norm"} <= set(stored)
    names = ["validation_accuracy", "training_loss", *stored]
    assert [panel.name for panel in data.panels] == [name.replace("_", "-") for name in names]
    for name, panel in zip(names[1:], data.panels[1:], strict=True):
        for line in panel.lines:
            values = [point.value for point in line.points]
            assert values == pytest.approx(study.series[line.number][name], nan_ok=True)


def test_values_without_a_place_on_the_scale_are_on_a_rail(study: Snapshot) -> None:
    """NaN, infinity and a trial without an epoch are on rails; a gradient of 0 has a labelled place."""
    alive, dead = study.trials[0], study.trials[1]
    none = replace(dead, number=2, state=TrialState.FAILED, curve={}, value=None, epochs=0)
    lengths = {"training_loss": [2.0, math.nan], "dead_share": [0.5, 1.0], "weight_norm": [1.0, math.inf]}
    series = {0: {**lengths, "gradient_norm": [0.5, 0.25]}, 1: {**lengths, "gradient_norm": [1e-3, 0.0]}}
    data = comparison(snapshot_of([alive, dead, none], series=series), ReportRequest(trials=(0, 1, 2)))
    assert data is not None
    panels = {panel.name: panel for panel in data.panels}
    assert panels["training-loss"].rails == ("NaN", "no epoch")
    assert panels["weight-norm"].rails == ("infinite", "no epoch")
    zero = panels["gradient-norm"].lines[1].points[-1].place.position
    assert zero is not None
    assert [tick.at for tick in panels["gradient-norm"].scale.ticks if tick.text == "0"] == [
        pytest.approx(zero)
    ]
    others = [p.place.position for line in panels["gradient-norm"].lines for p in line.points[:1]]
    assert all(other is None or other > zero for other in others)
    assert panels["gradient-norm"].scale.low < zero
    shares = [point.place.position for point in panels["dead-share"].lines[0].points]
    assert shares == [0.5, 1.0]


def test_different_rows_are_marked(study: Snapshot) -> None:
    """A row is marked if its cells differ; different values with equal short forms are written out."""
    base = study.trials[0]
    near = replace(base, number=1, params={**base.params, "learning_rate": 0.50001})
    first = replace(base, params={**base.params, "learning_rate": 0.50002})
    snapshot = snapshot_of([first, near])
    table = compared_table(snapshot, chosen_trials(snapshot, (0, 1)))
    rows = {row.name: row for row in table.rows}
    assert rows["learning_rate"].cells == ("0.50002", "0.50001")
    assert [name for name, row in rows.items() if row.differs] == ["learning_rate"]
    assert [head.number for head in table.heads] == [0, 1]


def test_a_parameter_that_is_none_is_not_missing(study: Snapshot) -> None:
    """Its cell has the word None, and that of a trial without it is empty."""
    trials = [replace(study.trials[0], number=n, params=p) for n, p in enumerate(({"depth": None}, {}))]
    snapshot = snapshot_of(trials)
    rows = {row.name: row for row in compared_table(snapshot, chosen_trials(snapshot, (0, 1))).rows}
    assert rows["depth"].cells == ("None", "")


def test_the_caption_has_the_command_that_compares_others() -> None:
    """Without a choice, the caption has the command that makes one for this study, ready to be pasted."""
    named = replace(SPEC, name="my study")
    data = comparison(snapshot_of(only_deaths().trials, spec=named), ReportRequest())
    assert data is not None
    assert "`hpsearch report 'my study' --trials 3,17` compares others." in data.caption


def test_two_trials_are_needed() -> None:
    """A study without trials has nothing to compare; one in which all died compares deaths."""
    assert comparison(empty(), ReportRequest()) is None
    data = comparison(only_deaths(), ReportRequest())
    assert data is not None
    assert len({one.why for one in data.chosen}) == len(data.chosen) >= 2
    assert all(one.trial.verdict is not Cause.HEALTHY for one in data.chosen)
