"""The page of a replay: the internals of one trial, step by step, in one HTML file without external resources."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from hpsearch import __version__
from hpsearch.analysis.formats import (
    format_metric_title,
    format_parameters,
    format_result,
    format_share,
    format_time,
)
from hpsearch.analysis.replay import (
    LayerUnits,
    check_sentence,
    finding_words,
    layer_units,
    length_words,
    nonfinite_sentence,
    settings_words,
)
from hpsearch.analysis.trial_facts import cause_words, verdict_words
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.figures.replay_catalogue import ReplayRun, replay_exhibits
from hpsearch.report.page import document
from hpsearch.report.parts import render
from hpsearch.verdicts import Finding
from hpsearch.worker.replay import RecordedRun, Replay

_PAIRS = (
    ("accuracy", "loss"),
    ("output-weights", "output-biases"),
    ("first-weights", "first-biases"),
    ("weight-gradients", "bias-gradients"),
    ("depth-mean", "depth-variance"),
    ("depth-gradient-mean", "depth-gradient-variance"),
)
"""Figures that are placed side by side if each has one drawing."""

_LISTED_UNITS = 12


def render_replay(replay: Replay, *, taken: datetime, navigation: str = "") -> str:
    """Return the self-contained page of a replay, made at `taken` (aware).

    `navigation` is HTML above the page, for a page that a server sends.
    """
    shown = replay_exhibits(_runs(replay))
    stored, recording = replay.stored, replay.original.recording
    trial, spec = stored.trial, stored.study.spec
    check, activation = check_sentence(replay.check), recording.subject.configuration.model.activation
    body = render(
        "replay.html",
        study=spec.name,
        verdict=verdict_words(trial),
        number=trial.number,
        lead=format_parameters(trial.params, spec.search) or "The study searches nothing.",
        pairs=_facts(replay),
        check=check[:1].upper() + check[1:],
        verdicts=_verdicts(replay),
        figures=_rows(shown, is_pair=replay.altered is not None),
        leaky="" if activation == "relu" else activation,
        units=_units(replay),
        unit_heads=("layer", "units", "fell silent", "never positive on held-back examples", "last firings"),
        version=__version__,
        taken=format_time(taken),
        fingerprint=stored.study.fingerprint,
    )
    title = f"{spec.name}: trial {trial.number}: hpsearch replay"
    return document(title, body, shown, navigation=navigation)


def _runs(replay: Replay) -> list[ReplayRun]:
    trial = replay.stored.trial
    heading = f"trial {trial.number}" if replay.altered else ""
    runs = [ReplayRun(heading=heading, recording=replay.original.recording, finding=_finding(replay))]
    if replay.altered is not None:
        runs.append(
            ReplayRun(
                heading=f"with {settings_words(replay.settings)}",
                recording=replay.altered.recording,
                finding=replay.altered.verdict.primary,
            )
        )
    return runs


def _finding(replay: Replay) -> Finding:
    """Return the verdict stored when the trial ended, or else that of its replay."""
    return replay.stored.trial.finding or replay.original.verdict.primary


def _facts(replay: Replay) -> list[tuple[str, str]]:
    stored, recording = replay.stored, replay.original.recording
    trial, spec = stored.trial, stored.study.spec
    configuration = recording.subject.configuration
    return [
        (format_metric_title(spec.metric), format_result(trial.value, spec.metric)),
        ("Fate", trial.fate.value),
        ("Trained again", length_words(recording)),
        ("Network", "-".join(map(str, _widths(replay)))),
        ("Activation", configuration.model.activation),
        ("Optimizer", f"{configuration.training.optimizer}, gradients: {configuration.training.reduction}"),
        ("Minibatch", f"{configuration.training.batch_size:,}"),
        ("Data", spec.data.source),
        ("Seed", f"{spec.seed}, trial {trial.number}"),
    ]


def _widths(replay: Replay) -> list[int]:
    blocks = replay.original.recording.network.blocks
    return [blocks[0].dense.inputs, *(block.dense.outputs for block in blocks)]


def _verdicts(replay: Replay) -> list[tuple[str, list[str]]]:
    """Return for each run why it ended, the evidence, and the remedy: a heading and lines."""
    if replay.altered is None:
        return [("", _lines(replay.original, _finding(replay)))]
    heading = f"With {settings_words(replay.settings)}, {length_words(replay.altered.recording)}"
    return [
        (f"Trial {replay.stored.trial.number}", _lines(replay.original, _finding(replay))),
        (heading, _lines(replay.altered, replay.altered.verdict.primary)),
    ]


def _lines(run: RecordedRun, finding: Finding) -> list[str]:
    listed = [finding_words(finding), f"Remedy: {finding.remedy}", nonfinite_sentence(run.recording)]
    listed += [
        f"Also found: {cause_words(other)}: {other.remedy}"
        for other in run.verdict.findings
        if other.cause is not finding.cause
    ]
    return [line for line in listed if line]


def _rows(shown: Sequence[Exhibit], *, is_pair: bool) -> list[tuple[Exhibit, ...]]:
    """Return the figures in order; those with one drawing in pairs."""
    named = {exhibit.name: exhibit for exhibit in shown}
    seconds = {} if is_pair else dict(_PAIRS)
    placed = set(seconds.values())
    return [
        (one, named[seconds[one.name]]) if one.name in seconds else (one,)
        for one in shown
        if one.name not in placed
    ]


def _units(replay: Replay) -> list[tuple[str, list[list[str]]]]:
    """Return the silenced hidden units of each run, with the step: a caption and rows."""
    if replay.altered is None:
        return [_unit_table("", replay.original)]
    heading = f"With {settings_words(replay.settings)}"
    return [_unit_table("As it was", replay.original), _unit_table(heading, replay.altered)]


def _unit_table(heading: str, run: RecordedRun) -> tuple[str, list[list[str]]]:
    layers = layer_units(run.recording)
    silent = "Silent: no firing in the last 1,000 examples or more, or in the second half of a run of fewer than 2,000"
    caption = ": ".join(filter(None, (heading, silent if layers else "This network has no hidden layer.")))
    return caption, [list(_unit_cells(one)) for one in layers]


def _unit_cells(layer: LayerUnits) -> Iterator[str]:
    yield f"hidden layer {layer.layer}"
    yield f"{layer.units:,}"
    yield f"{len(layer.deaths):,} ({format_share(len(layer.deaths), layer.units)})"
    yield f"{format_share(layer.never_positive, 1)} of units ({layer.held_back:,} examples)"
    ordered = sorted(layer.deaths.items(), key=lambda death: (death[1], death[0]))
    words = [f"unit {unit} {'never' if step < 0 else f'at step {step:,}'}" for unit, step in ordered]
    left = len(words) - _LISTED_UNITS
    yield ", ".join(words[:_LISTED_UNITS]) + (f", and {left:,} more" if left > 0 else "")
