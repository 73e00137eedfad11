"""The page of a replay: one trial from the inside, step by step, as one HTML file that needs no network."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from hpsearch import __version__
from hpsearch.report import sections
from hpsearch.report.figure_data.replay_units import LayerUnits, layer_units
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.figures.replay_catalogue import Actor, replay_exhibits
from hpsearch.report.formats import format_metric, format_parameters, format_result, format_share, format_time
from hpsearch.report.page import document
from hpsearch.report.parts import empty, facts, rows_of, section, table_of, text
from hpsearch.report.replay_words import (
    cause_words,
    check_sentence,
    finding_words,
    length_words,
    nonfinite_sentence,
    settings_words,
)
from hpsearch.report.words import verdict_words
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
"""Figures that stand side by side where each has one drawing."""

_LISTED_UNITS = 12


def render_replay(replay: Replay, *, taken: datetime, navigation: str = "") -> str:
    """Return the page of a replay, made at `taken` (aware), with everything inside it.

    `navigation` is HTML above the page, for one that a server sends.
    """
    shown = replay_exhibits(_actors(replay))
    stored = replay.stored
    title = f"{stored.study.spec.name}: trial {stored.trial.number}: hpsearch replay"
    body = [
        _header(replay),
        _check(replay),
        _verdicts(replay),
        "<noscript><p>The figures need JavaScript; it is inside this file.</p></noscript>",
        _figures(shown, is_pair=replay.altered is not None),
        _units(replay),
        _footer(replay, taken),
    ]
    return document(title, "\n".join(body), shown, navigation=navigation)


def _actors(replay: Replay) -> list[Actor]:
    trial = replay.stored.trial
    heading = f"trial {trial.number}" if replay.altered else ""
    actors = [Actor(heading=heading, recording=replay.original.recording, finding=_finding(replay))]
    if replay.altered is not None:
        actors.append(
            Actor(
                heading=f"with {settings_words(replay.settings)}",
                recording=replay.altered.recording,
                finding=replay.altered.verdict.primary,
            )
        )
    return actors


def _finding(replay: Replay) -> Finding:
    """Return the verdict that the trial was given when it ended, or else that of its replay."""
    return replay.stored.trial.finding or replay.original.verdict.primary


def _header(replay: Replay) -> str:
    stored, recording = replay.stored, replay.original.recording
    trial, spec = stored.trial, stored.study.spec
    configuration = recording.subject.configuration
    pairs = [
        (format_metric(spec.metric).capitalize(), format_result(trial.value, spec.metric)),
        ("State", trial.state.value),
        ("Trained again", length_words(recording)),
        ("Network", "-".join(map(str, _widths(replay)))),
        ("Activation", configuration.model.activation),
        ("Optimizer", f"{configuration.training.optimizer}, gradients: {configuration.training.reduction}"),
        ("Minibatch", f"{configuration.training.batch_size:,}"),
        ("Data", spec.data.source),
        ("Seed", f"{spec.seed}, trial {trial.number}"),
    ]
    lead = format_parameters(trial.params, spec.search) or "The study searches nothing."
    return (
        f'<header><p class="kicker">hpsearch replay of {text(spec.name)}, '
        f'<span class="state">{text(verdict_words(trial))}</span></p>'
        f'<h1>Trial {trial.number}</h1><p class="lead">{text(lead)}</p>{facts(pairs)}</header>'
    )


def _widths(replay: Replay) -> list[int]:
    blocks = replay.original.recording.network.blocks
    return [blocks[0].dense.inputs, *(block.dense.outputs for block in blocks)]


def _check(replay: Replay) -> str:
    words = check_sentence(replay.check)
    return section("check", "Check", f'<p class="lead">{text(words[:1].upper() + words[1:])}.</p>')


def _verdicts(replay: Replay) -> str:
    """Return why each run ended, by what evidence, and what to do."""
    parts = [_verdict("", replay.original, _finding(replay))]
    if replay.altered is not None:
        parts = [
            _verdict(f"Trial {replay.stored.trial.number}", replay.original, _finding(replay)),
            _verdict(
                f"With {settings_words(replay.settings)}, {length_words(replay.altered.recording)}",
                replay.altered,
                replay.altered.verdict.primary,
            ),
        ]
    return section("verdict", "Verdict", f'<div class="pair">{"".join(parts)}</div>')


def _verdict(heading: str, run: RecordedRun, finding: Finding) -> str:
    listed = [finding_words(finding), f"Remedy: {finding.remedy}", nonfinite_sentence(run.recording)]
    listed += [
        f"Also found: {cause_words(other)}: {other.remedy}"
        for other in run.verdict.findings
        if other.cause is not finding.cause
    ]
    head = f"<h3>{text(heading)}</h3>" if heading else ""
    return f"<div>{head}{''.join(f'<p>{text(line)}</p>' for line in listed if line)}</div>"


def _figures(shown: Sequence[Exhibit], *, is_pair: bool) -> str:
    """Return the figures in their order; those of one drawing in pairs."""
    made = {exhibit.name: sections.exhibit(exhibit) for exhibit in shown}
    if not is_pair:
        for first, second in _PAIRS:
            made[first] = f'<div class="pair">{made[first]}{made.pop(second)}</div>'
    return "\n".join(made.values())


def _units(replay: Replay) -> str:
    """Return which hidden units fell silent, and when, of each run."""
    found = [_unit_table("", replay.original)]
    if replay.altered is not None:
        heading = f"With {settings_words(replay.settings)}"
        found = [_unit_table("As it was", replay.original), _unit_table(heading, replay.altered)]
    activation = replay.original.recording.subject.configuration.model.activation
    note = (
        ""
        if activation == "relu"
        else f"<p>{text(activation)} has a gradient below 0 too, so that a unit that falls silent may still learn.</p>"
    )
    return section("units", "Which units died when", note + "".join(found))


def _unit_table(heading: str, run: RecordedRun) -> str:
    layers = layer_units(run.recording)
    if not layers:
        return empty(": ".join(filter(None, (heading, "This network has no hidden layer."))))
    heads = ("layer", "units", "fell silent", "never positive on held-back examples", "last firings")
    silent = "Silent: no firing in the last 1,000 examples or more, or in the second half of a run of fewer than 2,000"
    caption = f"{heading}: {silent}" if heading else silent
    return table_of(caption, heads, rows_of(map(text, _unit_cells(one)) for one in layers))


def _unit_cells(layer: LayerUnits) -> Iterator[str]:
    yield f"hidden layer {layer.layer}"
    yield f"{layer.units:,}"
    yield f"{len(layer.deaths):,} ({format_share(len(layer.deaths), layer.units)})"
    yield f"{format_share(layer.never_positive, 1)} of units ({layer.held_back:,} examples)"
    ordered = sorted(layer.deaths.items(), key=lambda death: (death[1], death[0]))
    words = [f"unit {unit} {'never' if step < 0 else f'at step {step:,}'}" for unit, step in ordered]
    left = len(words) - _LISTED_UNITS
    yield ", ".join(words[:_LISTED_UNITS]) + (f", and {left:,} more" if left > 0 else "")


def _footer(replay: Replay, taken: datetime) -> str:
    study = replay.stored.study
    return (
        f"<footer><p>hpsearch {text(__version__)}, trained again on {format_time(taken)}."
        f" Fingerprint of the data: <code>{text(study.fingerprint)}</code>.</p></footer>"
    )
