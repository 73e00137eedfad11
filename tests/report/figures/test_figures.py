"""Figures, as the input of Plotly."""

import html
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from hpsearch.analysis.importance import importance
from hpsearch.analysis.json_objects import json_text
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.best_so_far import Against, best_so_far, draw_best_so_far
from hpsearch.report.figures.catalogue import exhibits
from hpsearch.report.figures.comparison import comparison, draw_comparison
from hpsearch.report.figures.drawing import instant
from hpsearch.report.figures.importance import draw_importance
from hpsearch.report.figures.learning_curves import draw_learning_curves, learning_curves
from hpsearch.report.figures.ledger import LEFT, SAVED, draw_budget, draw_ledger, ledger
from hpsearch.report.figures.network_health import draw_heat_map, network_health
from hpsearch.report.figures.result_strip import draw_result_strip, learning_rate_strip
from hpsearch.report.figures.sample import MOST_MARKS
from hpsearch.report.figures.search_map import draw_search_map, search_map
from hpsearch.report.figures.studies import draw_studies, studies_compared
from hpsearch.report.figures.workers import draw_workers, workers
from hpsearch.report.palette import DARK, LOOKS
from hpsearch.report.request import ReportRequest
from hpsearch.trials import Fate, Trial, TrialState
from tests.report.synthetic import SPEC, SPECIAL, snapshot_of, synthetic

OF_NO_FATE = {
    "best so far",
    "survivors",
    "all trials",
    "last heartbeat",
    "stability boundary",
    "stability boundary, 95 %",
    "noise of seeds",
    LEFT,
    SAVED,
}


def _traces(figure: Any) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = figure.to_plotly_json()["data"]
    return traces


def _points(figure: Any, *, kind: str = "markers") -> Counter[str]:
    """Return how many points each fate has in a figure, without stars."""
    counts: Counter[str] = Counter()
    for trace in _traces(figure):
        if trace.get("mode") == kind and trace["name"] != "best":
            counts[trace["meta"]["fate"]] += len(trace["x"])
    return counts


def _strings(value: Any, *, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text of a figure with its key."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _strings(item, key=name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item, key=key)


def test_the_map_draws_every_trial_with_parameters(study: Snapshot) -> None:
    """Each fate has as many markers as it has trials with parameters, in its own symbol."""
    data = search_map(study)
    assert data is not None
    figure = draw_search_map(data)
    assert _points(figure) == Counter(trial.fate.value for trial in study.trials if trial.params)
    for trace in _traces(figure):
        if trace["name"] not in OF_NO_FATE | {"best"}:
            look = LOOKS[Fate(trace["meta"]["fate"])]
            assert trace["marker"]["symbol"] in (look.symbol, look.hollow)
            assert trace["marker"]["line"]["color"] == look.colour


def test_the_map_has_log_axes_with_plain_ticks(study: Snapshot) -> None:
    """Both axes are logarithmic, span the search space and read 1e-5."""
    data = search_map(study)
    assert data is not None
    layout = draw_search_map(data).to_plotly_json()["layout"]
    for name, low, high in (("xaxis", -6, 0), ("yaxis", -8, -1)):
        assert layout[name]["type"] == "log"
        assert layout[name]["range"][0] < low < high < layout[name]["range"][1]
        assert "1e-5" in layout[name]["ticktext"]
    assert layout["coloraxis"]["colorbar"]["title"]["text"].startswith("validation accuracy")


def test_the_best_is_a_star(study: Snapshot) -> None:
    """One star marks the best trial, above everything else."""
    data = search_map(study)
    assert data is not None
    assert data.best is not None
    last = _traces(draw_search_map(data))[-1]
    assert last["marker"]["symbol"] == "star"
    assert (list(last["x"]), list(last["y"])) == (
        [pytest.approx(data.best.x, rel=1e-5)],
        [pytest.approx(data.best.y, rel=1e-5)],
    )


def test_the_boundary_is_a_line_in_its_band_below_the_marks(study: Snapshot) -> None:
    """The line of the boundary is inside the outline of its band, and both are drawn below all trials."""
    data = search_map(study)
    assert data is not None
    assert data.boundary is not None
    band, line, *_ = _traces(draw_search_map(data))
    count = len(data.boundary.points)
    assert (band["name"], line["name"]) == ("stability boundary, 95 %", "stability boundary")
    assert band["fill"] == "toself"
    assert list(band["y"][:count]) == list(line["y"]) == list(reversed(band["y"][count:]))
    for low, x, high in zip(band["x"], line["x"], reversed(band["x"]), strict=False):
        assert low < x < high


def test_the_boundary_follows_the_learning_rate_to_the_other_axis(study: Snapshot) -> None:
    """If the learning rate is searched second, the same boundary is drawn with its axes swapped."""
    swapped = replace(study.study.spec, search=tuple(reversed(study.study.spec.search)))
    data, turned = search_map(study), search_map(snapshot_of(study.trials, spec=swapped))
    assert data is not None
    assert turned is not None
    line, other = (_traces(draw_search_map(one))[1] for one in (data, turned))
    assert (list(other["x"]), list(other["y"])) == (list(line["y"]), list(line["x"]))


@pytest.mark.parametrize("name", ["study", "regression"])
def test_a_strip_draws_every_result_and_every_fate(name: str, request: pytest.FixtureRequest) -> None:
    """The strip has each trial with a place, and its bars count the ended ones."""
    snapshot: Snapshot = request.getfixturevalue(name)
    data = learning_rate_strip(snapshot)
    assert data is not None
    figure = draw_result_strip(data)
    assert _points(figure) == Counter(mark.fate.value for mark in data.marks)
    bars = {trace["name"]: sum(trace["y"]) for trace in _traces(figure) if trace["type"] == "bar"}
    assert bars == Counter(trial.fate.value for trial in snapshot.trials if trial.state.is_final)


@pytest.mark.parametrize("name", ["study", "regression"])
def test_rails_are_labelled_and_on_the_bad_side(name: str, request: pytest.FixtureRequest) -> None:
    """Rails have an axis of their own with a label each: below an accuracy, above a loss."""
    snapshot: Snapshot = request.getfixturevalue(name)
    curves = learning_curves(snapshot)
    assert curves is not None
    layout = draw_learning_curves(curves.metric).to_plotly_json()["layout"]
    assert sorted(layout["yaxis2"]["ticktext"]) == sorted(curves.metric.rails)
    is_below = layout["yaxis2"]["domain"][1] < layout["yaxis"]["domain"][0]
    is_above = layout["yaxis2"]["domain"][0] > layout["yaxis"]["domain"][1]
    assert (is_below, is_above) == (snapshot.study.maximize, not snapshot.study.maximize)


def test_curves_keep_every_value(study: Snapshot) -> None:
    """Lines contain every finite value; a value on a rail is a gap in the line and a marker on the rail."""
    data = learning_curves(study)
    assert data is not None
    points = [point for curve in data.training.curves for point in curve.points]
    finite = [point for point in points if point.place.rail is None]
    railed = [point for point in points if point.place.rail is not None]
    traces = _traces(draw_learning_curves(data.training))
    lines = [t for t in traces if t["mode"] == "lines" and t["name"] != "best"]
    assert sum(sum(y is not None for y in trace["y"]) for trace in lines) == len(finite)
    on_rails = [t for t in traces if t.get("yaxis") == "y2"]
    ends_without_epoch = sum(not curve.points for curve in data.training.curves)
    assert railed
    assert sum(len(trace["x"]) for trace in on_rails) == len(railed) + ends_without_epoch


def test_every_ended_curve_has_an_end_marker(study: Snapshot) -> None:
    """Each run that ended has a marker of its fate, whose hover text names the verdict."""
    data = learning_curves(study)
    assert data is not None
    expected = Counter(curve.fate.value for curve in data.metric.curves if curve.end is not None)
    traces = [t for t in _traces(draw_learning_curves(data.metric)) if t["mode"] == "markers"]
    ends = [t for t in traces if t["name"] != "best" and "symbol" in t["marker"]]
    counted: Counter[str] = Counter()
    for trace in ends:
        counted[trace["name"]] += len(trace["x"])
        assert all("verdict: " in text for text in trace["hovertext"])
    assert counted == expected


@pytest.mark.parametrize("against", ["trials", "epochs", "time"])
def test_the_best_so_far_runs_to_the_last_trial(study: Snapshot, against: Against) -> None:
    """All ended trials are drawn, and the line of the best runs on to the last of them."""
    data = best_so_far(study)
    assert data is not None
    figure = draw_best_so_far(data, against)
    assert sum(_points(figure).values()) == len(data.steps)
    line = next(trace for trace in _traces(figure) if trace["name"] == "best so far")
    last = data.steps[-1]
    ends = {"trials": last.trials, "epochs": last.epochs, "time": last.ended.timestamp() * 1000}
    assert line["x"][-1] == ends[against]
    assert line["y"][-1] == max(y for y in line["y"])
    assert figure.layout.xaxis.range[1] > max(ends[against], 120)


def test_times_are_in_utc_with_the_zone(study: Snapshot) -> None:
    """The axis of time names its zone, and its numbers are milliseconds of UTC."""
    data = best_so_far(study)
    assert data is not None
    figure = draw_best_so_far(data, "time")
    assert (figure.layout.xaxis.type, figure.layout.xaxis.title.text) == ("date", "time (UTC)")
    assert instant(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1)))) == 3_600_000


def test_the_noise_of_seeds_is_a_band_around_the_best(study: Snapshot) -> None:
    """The band is drawn below everything and contains the height of the star, against all three axes."""
    data = best_so_far(study)
    assert data is not None
    assert data.band is not None
    ways: tuple[Against, ...] = ("trials", "epochs", "time")
    for against in ways:
        traces = _traces(draw_best_so_far(data, against))
        assert traces[0]["name"] == "noise of seeds"
        assert min(traces[0]["y"]) <= traces[-1]["y"][0] <= max(traces[0]["y"])


def test_the_catalogue_has_every_figure(study: Snapshot) -> None:
    """The report's figures are there by name, each with a caption and at least one drawing."""
    shown = exhibits(study)
    assert [exhibit.name for exhibit in shown] == [
        "search-map",
        "learning-rates",
        "learning-curves",
        "best-curves",
        "network-health",
        "workers",
        "best-so-far",
        "ledger",
        "importance",
        "comparison",
        "studies",
    ]
    # The last needs another study.
    assert all(exhibit.panels and exhibit.caption for exhibit in shown[:-1])
    assert "--compare OTHER" in shown[-1].caption
    names = [panel.name for exhibit in shown for panel in exhibit.panels]
    assert len(set(names)) == len(names) == 45


@pytest.mark.parametrize("name", SPECIAL)
def test_every_study_has_a_figure_or_a_sentence(name: str) -> None:
    """A figure that cannot be drawn is a sentence, never an empty box; a drawn one is strict JSON."""
    for exhibit in exhibits(SPECIAL[name]()):
        assert exhibit.caption.endswith(".")
        for panel in exhibit.panels:
            points = [len(trace["x"]) for trace in _traces(panel.figure)]
            assert sum(points) > 0
            json_text(panel.figure.to_plotly_json())


@pytest.mark.parametrize("name", ["study", "regression"])
def test_no_number_of_a_figure_is_nan(name: str, request: pytest.FixtureRequest) -> None:
    """NaN and infinity never reach Plotly, which would drop them: they are rows of a rail."""
    for exhibit in exhibits(request.getfixturevalue(name)):
        for panel in exhibit.panels:
            for trace in _traces(panel.figure):
                numbers = [*trace["x"], *trace["y"]]
                assert all(number is None or math.isfinite(number) for number in numbers)


def test_markup_in_a_study_is_text_in_its_figures(hostile: Snapshot) -> None:
    """Names, choices and remedies reach Plotly escaped: nothing but our own line breaks and empty boxes is markup."""
    texts = [
        text
        for exhibit in exhibits(hostile)
        for panel in exhibit.panels
        for _, text in _strings(panel.figure.to_plotly_json())
    ]
    assert any("&lt;script&gt;" in text for text in texts)
    assert not any("<" in text.replace("<br>", "").replace("<extra></extra>", "") for text in texts)


def test_every_colour_of_a_figure_has_a_dark_one(study: Snapshot) -> None:
    """Every colour of a figure has a dark counterpart, except the star's."""
    for exhibit in exhibits(study):
        for panel in exhibit.panels:
            for _, text in _strings(panel.figure.to_plotly_json()):
                if text.startswith("#"):
                    assert text in DARK or text == "#ffcf33"


def test_traces_have_their_fate(study: Snapshot) -> None:
    """Each trace of trials has a fate for the filter; other lines and marks have none."""
    for exhibit in exhibits(study):
        for panel in exhibit.panels:
            for trace in _traces(panel.figure):
                assert trace["name"] in OF_NO_FATE or trace["meta"]["fate"] in set(Fate)


def test_a_heat_map_has_every_cell_in_the_trace_of_its_fate(study: Snapshot) -> None:
    """Each recorded epoch is a cell with a finite colour and its number in words; NaN is beyond the scale."""
    data = network_health(study)
    assert data is not None
    heat = next(one for one in data.maps if one.name == "gradient_norm")
    traces = _traces(draw_heat_map(heat))
    for row, drawn in enumerate(heat.rows):
        (own,) = [trace for trace in traces if trace["z"][row]]
        assert own["meta"]["fate"] == drawn.fate.value
        assert len(own["z"][row]) == len(own["hovertext"][row]) == len(drawn.places)
        assert list(own["text"][row]) == list(drawn.texts)
        for colour, place in zip(own["z"][row], drawn.places, strict=True):
            assert (colour > heat.scale.high) is (place.rail is not None)


def test_the_colours_of_a_heat_map_end_in_labelled_rails(study: Snapshot) -> None:
    """The colour bar has labelled rails after its upper end, and no two colours blend there."""
    data = network_health(study)
    assert data is not None
    heat = next(one for one in data.maps if one.name == "gradient_norm")
    axis = draw_heat_map(heat).to_plotly_json()["layout"]["coloraxis"]
    labels = dict(zip(axis["colorbar"]["ticktext"], axis["colorbar"]["tickvals"], strict=True))
    rails = {place.rail for row in heat.rows for place in row.places if place.rail}
    used = {rail.replace("above", ">") for rail in rails}
    assert used
    assert {html.unescape(text) for text, at in labels.items() if at > heat.scale.high} == used
    stops = [stop for stop, _ in axis["colorscale"]]
    assert stops == sorted(stops)
    assert (stops[0], stops[-1]) == (0.0, pytest.approx(1.0))


def test_fifty_workers_stay_a_readable_figure() -> None:
    """The latest 1,000 of 5,000 trials of 50 workers are a bar each, one trace a fate, on at most two screens."""
    whole = synthetic(5000)
    trials = [
        replace(trial, worker=None if trial.worker is None else f"host-{trial.number % 50}")
        for trial in whole.trials
    ]
    data = workers(replace(whole, trials=trials))
    assert data is not None
    figure = draw_workers(data)
    bars = [trace for trace in _traces(figure) if trace["type"] == "bar"]
    assert len(data.lanes) >= 50
    begun = sum(trial.started is not None for trial in trials)
    assert sum(len(trace["x"]) for trace in bars) == MOST_MARKS
    assert f"the latest 1,000 of {begun:,} trials" in data.caption
    assert len({trace["name"] for trace in bars}) == len(bars)
    assert figure.layout.height < 2000
    assert figure.layout.xaxis.title.text == "time (UTC)"
    ticks = figure.layout.yaxis.tickvals
    assert min(b - a for a, b in pairwise(ticks)) * figure.layout.height / ticks[-1] > 12


def test_the_ledger_ends_with_the_saved_epochs(study: Snapshot) -> None:
    """The outline of the saved epochs is below the other bars, inside the axis."""
    data = ledger(study)
    figure = draw_ledger(data)
    saved = _traces(figure)[-1]
    assert (saved["name"], list(saved["x"]), list(saved["y"])) == (SAVED, [data.saved], [len(data.bars)])
    assert figure.layout.xaxis.range[1] > data.saved


def test_the_budget_is_one_bar(study: Snapshot) -> None:
    """Fates and the unused rest form one bar that fills the axis."""
    data = ledger(study)
    figure = draw_budget(data)
    assert sum(trace["x"][0] for trace in _traces(figure)) == figure.layout.xaxis.range[1]


def test_importance_is_drawn_with_its_intervals(study: Snapshot) -> None:
    """Each parameter has a mark at its share, bars to the ends of its interval, and its row's name."""
    for panel in importance(study).panels:
        figure = draw_importance(panel).to_plotly_json()
        (trace,) = figure["data"]
        for index, row in enumerate(panel.rows):
            ends = (
                trace["x"][index] - trace["error_x"]["arrayminus"][index],
                trace["x"][index] + trace["error_x"]["array"][index],
            )
            assert ends == pytest.approx((row.low, row.high), abs=1e-5)
        assert figure["layout"]["yaxis"]["ticktext"] == [row.name for row in panel.rows]
        assert f"({panel.trials:,})" in figure["layout"]["xaxis"]["title"]["text"]


def test_compared_trials_can_be_distinguished(study: Snapshot) -> None:
    """Each trial has its number, its fate's symbol and its dash, and every value is on a line or a rail."""
    data = comparison(study, ReportRequest(trials=(0, 1, 2, 3, 4, 111)))
    assert data is not None
    for panel in data.panels:
        traces = _traces(draw_comparison(panel))
        ends = [trace for trace in traces if trace["mode"] == "markers+text"]
        assert [trace["text"] for trace in ends] == [[str(one.trial.number)] for one in data.chosen]
        lines = [trace for trace in traces if trace["mode"] == "lines"]
        assert len({trace["line"]["dash"] for trace in lines}) == len(lines)
        for line in panel.lines:
            own = [trace for trace in traces if trace["meta"]["trial"] == line.number]
            heights = [y for trace in own for y in trace["y"] if y is not None]
            assert len(heights) >= len(line.points)
            assert {trace["meta"]["fate"] for trace in own} == {line.fate.value}
        assert any("verdict: " in text for trace in traces for text in trace["hovertext"])


def test_numbers_of_lines_that_end_together_do_not_overlap(study: Snapshot) -> None:
    """Two numbers at one place are above and below it; a single one is next to its line's end."""
    trials = [
        Trial(number=n, state=TrialState.COMPLETE, params={}, value=v, curve={0: 0.2, 1: v}, epochs=2)
        for n, v in enumerate((0.9, 0.9, 0.5))
    ]
    data = comparison(snapshot_of(trials), ReportRequest(trials=(0, 1, 2)))
    assert data is not None
    traces = _traces(draw_comparison(data.panels[0]))
    places = [trace["textposition"] for trace in traces if trace["mode"] == "markers+text"]
    assert places == ["bottom right", "top right", "middle right"]


def test_compared_studies_run_to_their_last_epoch(study: Snapshot) -> None:
    """Each study has a stepped line to its last epoch."""
    other = synthetic(60, spec=replace(SPEC, name="<b>other</b>"))
    data = studies_compared(study, [other])
    traces = _traces(draw_studies(data))
    assert [trace["mode"] for trace in traces] == ["lines", "lines"]
    assert [trace["x"][-1] for trace in traces] == [line.epochs for line in data.lines]
    assert len({trace["line"]["dash"] for trace in traces}) == 2
    assert all(trace["hovertext"] for trace in traces)


def test_no_line_goes_through_the_name_of_a_study(study: Snapshot) -> None:
    """Names are text above the plot, each in its row after a sample of its study's line."""
    others = [synthetic(60, seed=seed, spec=replace(SPEC, name=f"<b>{seed}</b>")) for seed in (7, 8)]
    drawn = draw_studies(studies_compared(study, others)).to_plotly_json()
    layout = drawn["layout"]
    words = sorted(layout["annotations"], key=lambda one: -one["yshift"])
    assert [one["text"] for one in words] == ["digits", "&lt;b&gt;7&lt;/b&gt;", "&lt;b&gt;8&lt;/b&gt;"]
    assert all((one["yref"], one["y"], one["yanchor"]) == ("paper", 1, "bottom") for one in words)
    samples = sorted(layout["shapes"], key=lambda one: -one["y0"])
    for name, sample, trace in zip(words, samples, drawn["data"], strict=True):
        assert name["yshift"] < sample["y0"] == sample["y1"] < name["yshift"] + 17 <= layout["margin"]["t"]
        assert sample["x1"] < name["xshift"]
        assert {**trace["line"], "shape": None} == {**sample["line"], "shape": None}


def test_the_time_axis_leaves_room_for_two_lines_of_labels(study: Snapshot) -> None:
    """Dates are below times, and the title of the axis is below both, also on a phone."""
    shown = workers(study)
    assert shown is not None
    axis = draw_workers(shown).layout.xaxis
    assert axis.automargin is True
    assert axis.title.standoff >= 20


def test_good_results_have_different_colours(study: Snapshot) -> None:
    """The colours of the better half of the complete trials span a third of the scale, and bad ones have its end."""
    data = search_map(study)
    assert data is not None
    ranked = sorted(
        mark.result for mark in data.marks if mark.fate is Fate.COMPLETE and mark.result is not None
    )
    axis = draw_search_map(data).layout.coloraxis
    assert ranked[-1] - ranked[len(ranked) // 2] > (axis.cmax - axis.cmin) / 4
    assert all(axis.cmin <= mark.result for mark in data.marks if mark.result is not None)
    assert "below 0." in axis.colorbar.title.text
