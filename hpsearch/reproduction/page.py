"""The page of a reproduction: every claim with its measurement, and the figures of our own runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

import plotly.graph_objects as go

from hpsearch import __version__
from hpsearch.analysis.formats import format_duration, format_time
from hpsearch.report import parts
from hpsearch.report.figures.catalogue import Exhibit, Panel
from hpsearch.report.page import document
from hpsearch.reproduction.catalogue import EXPERIMENTS, ONLY_FULL
from hpsearch.reproduction.charts import Picture
from hpsearch.reproduction.claims import (
    Document,
    Judged,
    Judgement,
    documents,
    judgement_words,
    measured_words,
    rule_words,
)
from hpsearch.reproduction.laboratory import Lab, Outcome
from hpsearch.trials import Fate

_FATES: Final[Mapping[Judgement, Fate]] = {
    Judgement.HOLDS: Fate.COMPLETE,
    Judgement.PARTLY: Fate.OUTRANKED,
    Judgement.FAILS: Fate.DIVERGED,
    Judgement.UNTESTED: Fate.WAITING,
}
"""Judgement -> the fate whose symbol and colour it uses."""

SOURCES: Final = {
    "mnist": "MNIST: 60,000 images to train on, its 10,000 others held back",
    "digits": "digits, 1,797 images of scikit-learn, in place of MNIST",
}

_HEADS: Final[Mapping[str, int]] = {
    "document": 8,
    "claim": 22,
    "stated configuration": 22,
    "measured": 35,
    "judgement": 13,
}
"""The columns of the table, with their widths in percent."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """The page's contents: the claims with their judgements, and the outcomes by study."""

    lab: Lab
    judged: Sequence[Judged]
    outcomes: Mapping[str, Outcome]
    taken: datetime


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _MeasuredLine:
    """One measurement in words, its condition's `rule`, and a `mark`: `not` if unmet, `undecided`, or empty."""

    words: str
    rule: str
    mark: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _ClaimRow:
    """One claim in the table, as texts."""

    name: str
    document: str
    text: str
    study: str
    stated: str
    measured: tuple[_MeasuredLine, ...]
    why: str
    note: str
    judgement: str
    fate: Fate


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _ShownStudy:
    """The figures and the lines of text of one study."""

    study: str
    exhibits: tuple[Exhibit, ...]
    lines: Mapping[str, Sequence[str]]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _DocumentSection:
    """One document: all `studies` of its claims, and those `shown` here because no earlier document has them."""

    anchor: str
    title: str
    about: str
    studies: tuple[str, ...]
    shown: tuple[_ShownStudy, ...]


def render(shown: Reproduction) -> str:
    """Return the page as one self-contained file."""
    studies = {name: _study(outcome) for name, outcome in shown.outcomes.items()}
    body = parts.render(
        "hpsearch.reproduction:reproduction.html",
        source=SOURCES[shown.lab.source],
        pairs=_facts(shown),
        heads=_HEADS,
        rows=[_row(one) for one in shown.judged],
        documents=_sections(shown.judged, studies),
        version=__version__,
        made=format_time(shown.taken),
        command=_command(shown),
    )
    exhibits = [exhibit for study in studies.values() for exhibit in study.exhibits]
    return document("hpsearch: reproduction", body, exhibits)


def _facts(shown: Reproduction) -> list[tuple[str, str]]:
    counts = {kind: sum(one.judgement is kind for one in shown.judged) for kind in Judgement}
    return [
        ("Claims", f"{len(shown.judged):,}"),
        *((kind.value.capitalize(), f"{count:,}") for kind, count in counts.items()),
        ("Studies run", f"{len(shown.outcomes):,}"),
        ("Set", shown.lab.size),
        ("Seed", str(shown.lab.seed)),
        ("Computing", format_duration(sum(one.seconds for one in shown.outcomes.values()))),
    ]


def _row(judged: Judged) -> _ClaimRow:
    claim = judged.claim
    return _ClaimRow(
        name=claim.name,
        document=claim.document,
        text=claim.text,
        study=claim.study,
        stated=claim.stated,
        measured=tuple(_measured(judged)),
        why=claim.why,
        note=claim.note,
        judgement=judgement_words(judged),
        fate=_FATES[judged.judgement],
    )


def _measured(judged: Judged) -> Iterator[_MeasuredLine]:
    for one in judged.measured:
        mark = "" if one.is_met or not one.count else "undecided" if one.is_undecided else "not"
        yield _MeasuredLine(words=measured_words(one), rule=rule_words(one.condition), mark=mark)


def _sections(judged: Sequence[Judged], studies: Mapping[str, _ShownStudy]) -> list[_DocumentSection]:
    """Return the sections of the documents with a judged claim; each study's figures are shown only once."""
    first: dict[str, str] = {}
    for one in judged:
        first.setdefault(one.claim.study, one.claim.document)
    names = {one.claim.document for one in judged}
    return [_section(of, judged, first, studies) for of in documents() if of.name in names]


def _section(
    of: Document, judged: Sequence[Judged], first: Mapping[str, str], studies: Mapping[str, _ShownStudy]
) -> _DocumentSection:
    return _DocumentSection(
        anchor=f"document-{of.name.replace(' ', '-')}",
        title=of.name[:1].upper() + of.name[1:],
        about=of.about,
        studies=tuple(dict.fromkeys(one.claim.study for one in judged if one.claim.document == of.name)),
        shown=tuple(studies[name] for name, own in first.items() if own == of.name and name in studies),
    )


def _study(outcome: Outcome) -> _ShownStudy:
    return _ShownStudy(
        study=outcome.study,
        exhibits=tuple(_exhibit(picture, outcome.study) for picture in outcome.pictures),
        lines=outcome.lines,
    )


def _exhibit(picture: Picture, study: str) -> Exhibit:
    return Exhibit(
        name=f"figure-{picture.name}",
        title=picture.title,
        caption=f"{study}: {picture.caption}",
        panels=tuple(
            Panel(name=one.name, label=one.label, figure=go.Figure(one.figure)) for one in picture.drawings
        ),
    )


def _command(shown: Reproduction) -> str:
    """Return the command that makes this page again; it names the studies unless the whole set was run."""
    lab = shown.lab
    whole = {name for name in EXPERIMENTS if lab.size == "full" or name not in ONLY_FULL}
    names = () if shown.outcomes.keys() == whole else tuple(shown.outcomes)
    return " ".join(("hpsearch reproduce", *names, f"--{lab.size} --seed {lab.seed} --data {lab.source}"))
