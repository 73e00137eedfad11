"""The page of a reproduction: every claim with its measurement, and the figures of our own runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

import plotly.graph_objects as go

from hpsearch import __version__
from hpsearch.analysis.formats import format_duration, format_time
from hpsearch.report import sections
from hpsearch.report.figures.catalogue import Exhibit, Panel
from hpsearch.report.page import document
from hpsearch.report.parts import facts, section, text
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


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """The page's contents: the claims with their judgements, and the outcomes by study."""

    lab: Lab
    judged: Sequence[Judged]
    outcomes: Mapping[str, Outcome]
    taken: datetime


def render(shown: Reproduction) -> str:
    """Return the page as one self-contained file."""
    by_study = {name: _exhibits(outcome) for name, outcome in shown.outcomes.items()}
    body = [
        _header(shown),
        section("claims", "Claims and measurements", _table(shown.judged)),
        "<noscript><p>The figures need JavaScript; it is inside this file.</p></noscript>",
        *(_document(one, shown, by_study) for one in _shown_documents(shown.judged)),
        _footer(shown),
    ]
    exhibits = [exhibit for some in by_study.values() for exhibit in some]
    return document("hpsearch: reproduction", "\n".join(body), exhibits)


def _shown_documents(judged: Sequence[Judged]) -> list[Document]:
    names = {one.claim.document for one in judged}
    return [one for one in documents() if one.name in names]


def _header(shown: Reproduction) -> str:
    counts = {kind: sum(one.judgement is kind for one in shown.judged) for kind in Judgement}
    pairs = [
        ("Claims", f"{len(shown.judged):,}"),
        *((kind.value.capitalize(), f"{count:,}") for kind, count in counts.items()),
        ("Studies run", f"{len(shown.outcomes):,}"),
        ("Set", shown.lab.size),
        ("Seed", str(shown.lab.seed)),
        ("Computing", format_duration(sum(one.seconds for one in shown.outcomes.values()))),
    ]
    lead = f"Trained on {SOURCES[shown.lab.source]}."
    return (
        '<header><p class="kicker">hpsearch reproduce</p><h1>What the documents claim, and what we measured</h1>'
        f'<p class="lead">{text(lead)} Numbers are medians over seeds with their range, shares have their 95 % '
        "interval. A claim holds when each of its numbers lies in the range beside it, and in part when all but a "
        "detail do. Below the numbers stands why their ranges were chosen.</p>"
        f"{facts(pairs)}</header>"
    )


_HEADS: Final[Mapping[str, int]] = {
    "document": 8,
    "claim": 22,
    "stated configuration": 22,
    "measured": 35,
    "judgement": 13,
}
"""The columns of the table, with their widths in percent."""


def _table(judged: Sequence[Judged]) -> str:
    head = "".join(f'<th scope="col" style="width:{width}%">{name}</th>' for name, width in _HEADS.items())
    rows = "".join(_row(one) for one in judged)
    return (
        '<div class="scroll" tabindex="0"><table>'
        "<caption>Study files are those below studies/</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(judged: Judged) -> str:
    claim = judged.claim
    cells = (
        text(claim.document),
        f"{text(claim.text)}<br><code>{text(claim.study)}.toml</code>",
        text(claim.stated),
        "<br>".join(_measured(judged)) or "&ndash;",
        f'<span class="labelled">{sections.symbol(_FATES[judged.judgement])}{text(judgement_words(judged))}</span>',
    )
    inner = "".join(
        f'<td data-head="{head}"><div>{cell}</div></td>' for head, cell in zip(_HEADS, cells, strict=True)
    )
    return f'<tr id="claim-{text(claim.name)}">{inner}</tr>'


def _measured(judged: Judged) -> Iterator[str]:
    for one in judged.measured:
        rule = rule_words(one.condition)
        missed = "" if one.is_met or not one.count else "undecided: " if one.is_undecided else "<b>not</b> "
        yield text(measured_words(one)) + (f" ({missed}{text(rule)})" if rule else "")
    if judged.measured and judged.claim.why:
        yield f"<small>Why these ranges: {text(judged.claim.why)}</small>"
    if judged.claim.note:
        yield text(judged.claim.note)


def _document(of: Document, shown: Reproduction, by_study: Mapping[str, Sequence[Exhibit]]) -> str:
    """Return the figures and lines of a document's studies; each is shown only once."""
    name = of.name
    studies = dict.fromkeys(one.claim.study for one in shown.judged if one.claim.document == name)
    listed = ", ".join(f"<code>{text(study)}.toml</code>" for study in studies)
    parts = [
        section(
            f"document-{name.replace(' ', '-')}",
            text(name[:1].upper() + name[1:]),
            f'<p class="lead">{text(of.about)}.</p><p>{listed}</p>',
        )
    ]
    for study in _own(name, shown.judged):
        parts += [sections.exhibit(exhibit) for exhibit in by_study.get(study, ())]
        parts += _lines(shown.outcomes.get(study))
    return "\n".join(parts)


def _own(number: str, judged: Sequence[Judged]) -> list[str]:
    """Return the studies that this document is the first to need."""
    first: dict[str, str] = {}
    for one in judged:
        first.setdefault(one.claim.study, one.claim.document)
    return [study for study, document_number in first.items() if document_number == number]


def _lines(outcome: Outcome | None) -> Iterator[str]:
    for place, (title, lines) in enumerate(outcome.lines.items() if outcome else ()):
        listed = "".join(f"<li>{text(line)}</li>" for line in lines)
        name = f"{outcome.study}-lines-{place}" if outcome else ""
        yield section(name, text(title), f'<ol class="lines">{listed}</ol>')


def _exhibits(outcome: Outcome) -> list[Exhibit]:
    return [_exhibit(picture, outcome.study) for picture in outcome.pictures]


def _exhibit(picture: Picture, study: str) -> Exhibit:
    return Exhibit(
        name=f"figure-{picture.name}",
        title=picture.title,
        caption=f"{study}: {picture.caption}",
        panels=tuple(
            Panel(name=one.name, label=one.label, figure=go.Figure(one.figure)) for one in picture.drawings
        ),
    )


def _footer(shown: Reproduction) -> str:
    made = f"made on {format_time(shown.taken)} by <code>{text(_command(shown))}</code>"
    return f"<footer><p>hpsearch {text(__version__)}, {made}.</p></footer>"


def _command(shown: Reproduction) -> str:
    """Return the command that makes this page again; it names the studies unless the whole set was run."""
    lab = shown.lab
    whole = {name for name in EXPERIMENTS if lab.size == "full" or name not in ONLY_FULL}
    names = () if shown.outcomes.keys() == whole else tuple(shown.outcomes)
    return " ".join(("hpsearch reproduce", *names, f"--{lab.size} --seed {lab.seed} --data {lab.source}"))
