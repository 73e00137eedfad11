"""The parts of the page as HTML. Every text that came from outside goes through `text`."""

from collections.abc import Iterable, Sequence

from hpsearch import __version__
from hpsearch.report.advice import advice
from hpsearch.report.configurations import configuration_rows, row_cells, row_heads
from hpsearch.report.confirmation import best_of, repeat, seeds_words
from hpsearch.report.figure_data.best_table import best_table
from hpsearch.report.figure_data.causes import CauseRow, CauseTable, cause_table
from hpsearch.report.figure_data.ledger import ledger
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.formats import (
    format_count,
    format_duration,
    format_metric,
    format_result,
    format_short_metric,
    format_time,
)
from hpsearch.report.palette import LOOKS
from hpsearch.report.parts import facts, section, table_of, text, text_with_code, trial_number
from hpsearch.report.snapshot import Snapshot
from hpsearch.report.specification import specification_text
from hpsearch.report.words import (
    best_lines,
    fate_rows,
    has_several_objectives,
    objectives_words,
    state_of,
    state_sentence,
)
from hpsearch.study.spec import fault_in_words
from hpsearch.trials import Fate


def header(snapshot: Snapshot) -> str:
    """Return the heading: name, how the study stands, and the facts about it."""
    return (
        f'<header><p class="kicker">hpsearch study, <span class="state">{state_of(snapshot.progress)}</span></p>'
        f"<h1>{text(snapshot.study.spec.name)}</h1>"
        f'<p class="lead">{text(state_sentence(snapshot.progress))}</p>'
        f"{facts(_study_facts(snapshot))}</header>"
    )


def figure_header(snapshot: Snapshot, shown: Exhibit) -> str:
    """Return the heading of a page of one figure: of which study, which figure, and as of when."""
    return (
        f'<header><p class="kicker">hpsearch report, figure <code>{text(shown.name)}</code></p>'
        f"<h1>{text(snapshot.study.spec.name)}</h1>"
        f'<p class="lead">{text(shown.title)}, as of {format_time(snapshot.taken)}</p></header>'
    )


def fate_filter(snapshot: Snapshot) -> str:
    """Return the legend of all figures, which is also their filter."""
    rows = fate_rows(snapshot.progress)
    if not rows:
        return ""
    chips = "".join(
        f'<label class="chip"><input type="checkbox" checked value="{text(row.fate)}">'
        f"{symbol(row.fate)}<span>{text(row.fate)}</span> <b>{row.trials:,}</b></label>"
        for row in rows
    )
    return f'<fieldset class="filter"><legend>Fates: show or hide in every figure</legend>{chips}</fieldset>'


def best(snapshot: Snapshot) -> str:
    """Return the best lines and the table of the best configurations."""
    lines = best_lines(snapshot.trials, snapshot.study, evaluations=snapshot.evaluations)
    exact = _configurations(snapshot)
    if not lines:
        why = "No trial is complete with a finite result" + (" yet." if snapshot.progress.running else ".")
        return section("best", "Best configurations", f'<p class="empty">{why}</p>{exact}')
    listed = "".join(f"<li>{text(line)}</li>" for line in lines)
    content = f'<ol class="lines">{listed}</ol>{exact}{_best_table(snapshot)}'
    return section("best", "Best configurations", content)


def exhibit(shown: Exhibit) -> str:
    """Return a figure: places for its drawings, and its caption."""
    return section(shown.name, shown.title, html_figure(shown))


def html_figure(shown: Exhibit) -> str:
    """Return places for the drawings of an exhibit, and its caption; the caption alone where nothing is drawn."""
    places = "".join(
        f'<div class="plot" data-figure="{panel.name}" role="img" aria-label="{text(panel.label)}"'
        f' style="min-height:{panel.figure.layout.height}px"></div>'
        for panel in shown.panels
    )
    if not places:
        return f'<p class="empty">{text_with_code(shown.caption)}</p>'
    return (
        f"<figure><figcaption>{text_with_code(shown.caption)}</figcaption>"
        f'<div class="plots {shown.arrangement}">{places}</div></figure>'
    )


def budget(snapshot: Snapshot) -> str:
    """Return what is done and left of the budget."""
    return section("budget", "Budget", facts(ledger(snapshot).facts))


def causes(snapshot: Snapshot) -> str:
    """Return what the trials advise, and the table of causes."""
    table = cause_table(snapshot)
    none = '<p class="empty">No trial carries a verdict that explains its end.</p>'
    return section("causes", "Causes", _advice(snapshot) + (_cause_table(table) if table.rows else none))


def specification(snapshot: Snapshot) -> str:
    """Return the study file, folded away."""
    file = text(specification_text(snapshot.study.spec))
    return section(
        "specification",
        "Specification",
        f"<details><summary>The study file that makes this search</summary><pre><code>{file}</code></pre></details>",
    )


def footer(snapshot: Snapshot) -> str:
    """Return who made the page and when."""
    return (
        f"<footer><p>hpsearch {text(__version__)}, read from the database on {format_time(snapshot.taken)}."
        f"{_fingerprint(snapshot)}</p></footer>"
    )


def _fingerprint(snapshot: Snapshot) -> str:
    if snapshot.study.foreign is not None:
        return ""
    return f" Fingerprint of the data: <code>{text(snapshot.study.fingerprint)}</code>."


def symbol(fate: Fate) -> str:
    """Return the symbol of a fate as a small drawing in its colour."""
    look = LOOKS[fate]
    paint = "stroke" if look.is_line else "fill"
    return (
        f'<svg class="symbol {paint}" viewBox="-8 -8 16 16" aria-hidden="true">'
        f'<path d="{look.path}" style="--paint:var({variable(fate)})"/></svg>'
    )


def variable(fate: Fate) -> str:
    """Return the name of the CSS variable that holds the colour of a fate."""
    return f"--fate-{fate.value.replace(' ', '-')}"


def _study_facts(snapshot: Snapshot) -> list[tuple[str, str]]:
    spec, progress = snapshot.study.spec, snapshot.progress
    if snapshot.study.foreign is not None:
        return _foreign_facts(snapshot)
    pairs = [
        (f"Best {format_metric(spec.metric)}", _best_value(snapshot)),
        ("Budget", format_count(progress.budget, "trial")),
        ("Data", spec.data.source),
        ("Fault on purpose", "" if spec.data.fault is None else fault_in_words(spec.data.fault)),
        ("Sampler, pruning", f"{spec.sampler.name}, {spec.pruning.rank}"),
        ("Epochs trained", f"{progress.epochs:,}"),
        ("Training took", _training_time(snapshot)),
        ("Created", format_time(snapshot.study.created)),
        ("Read", format_time(snapshot.taken)),
    ]
    return [(name, fact) for name, fact in pairs if fact]


def _best_value(snapshot: Snapshot) -> str:
    """Return what the best trial reached, over fresh seeds if it was trained with any."""
    metric, best = snapshot.study.spec.metric, best_of(snapshot, 1)
    if not best:
        return "none yet"
    found = repeat(best[0], snapshot.evaluations, part="validation", metric=metric)
    value = seeds_words(found, metric) if found.values else format_result(best[0].value, metric)
    return f"{value} (trial {best[0].number})"


def _foreign_facts(snapshot: Snapshot) -> list[tuple[str, str]]:
    study = snapshot.study
    several = has_several_objectives(study)
    pairs = [
        ("Made by", "another Optuna client, which chooses and trains its trials"),
        ("Objectives" if several else "Objective", objectives_words(study)),
        ("Figures show", f"the first objective, {study.spec.metric}" if several else ""),
        ("Trials", f"{snapshot.progress.budget:,}"),
        ("Trials took", _training_time(snapshot)),
        ("First trial", format_time(study.created) if snapshot.trials else ""),
        ("Read", format_time(snapshot.taken)),
    ]
    return [(name, fact) for name, fact in pairs if fact]


def _training_time(snapshot: Snapshot) -> str:
    """Return the time from the first start to the last end of a trial; empty where none has ended."""
    started = [trial.started for trial in snapshot.trials if trial.started is not None]
    finished = [trial.finished for trial in snapshot.trials if trial.finished is not None]
    if not started or not finished:
        return ""
    return format_duration(max((max(finished) - min(started)).total_seconds(), 0.0))


def _best_table(snapshot: Snapshot) -> str:
    table = best_table(snapshot)
    metric = format_metric(table.metric)
    seeds = ["fresh seeds"] if any(row.seeds for row in table.rows) else []
    heads = ["rank", "trial", *seeds, metric, *table.names, "epochs", "verdict"]
    rows = [
        (
            row.fate,
            [
                text(row.rank),
                trial_number(row.number),
                *(text(row.seeds) for _ in seeds),
                *map(text, (row.value, *row.params, row.epochs, row.verdict)),
            ],
        )
        for row in table.rows
    ]
    body = "".join(_row(fate, heads, cells) for fate, cells in rows)
    order = f"{metric} over fresh seeds, then in the search" if seeds else metric
    return table_of(f"The best {len(rows)}, by {order}", heads, body)


def _configurations(snapshot: Snapshot) -> str:
    """Return the table of the exact configurations; nothing where the study searches."""
    study = snapshot.study
    rows = configuration_rows(study, snapshot.trials)
    if not rows:
        return ""
    heads = row_heads(format_short_metric(study.spec.metric))
    metric = study.spec.metric
    body = "".join(f"<tr>{_cells(heads, map(text, row_cells(row, metric)))}</tr>" for row in rows)
    return table_of("Each configuration over its trials; the interval is of the mean", heads, body)


def _advice(snapshot: Snapshot) -> str:
    study = snapshot.study
    confirmed = bool(snapshot.evaluations)
    advised = advice(study.spec, snapshot.trials, maximize=study.maximize, is_confirmed=confirmed)
    return "" if advised is None else f'<p class="lead">Advice: {text_with_code(advised)}.</p>'


def _cause_table(table: CauseTable) -> str:
    span = [] if table.dimension is None else [table.dimension]
    heads = ["cause", "trials", *span, "epochs", "typical evidence", "remedy"]
    body = "".join(_row(row.fate, heads, _cause_cells(row, has_span=bool(span))) for row in table.rows)
    return table_of(
        "Trials, epochs and evidence (the median) are of all trials with the verdict; complete and audited ones were"
        " not stopped, and the ledger counts them as complete",
        heads,
        body,
    )


def _cause_cells(row: CauseRow, *, has_span: bool) -> list[str]:
    return [
        f'<span class="cause">{symbol(row.fate)}<code>{text(row.cause)}</code></span>',
        f"{row.trials:,}{f' <small>({text(row.ended)})</small>' if row.ended else ''}",
        *([f'<span class="span">{text(row.span)}</span>'] if has_span else []),
        f"{row.epochs:,}",
        text(row.evidence),
        text(row.remedy),
    ]


def _row(fate: Fate, heads: Sequence[str], cells: Sequence[str]) -> str:
    """Return a row of a trial's fate, which the filter of fates shows or hides."""
    return f'<tr data-fate="{text(fate)}">{_cells(heads, cells)}</tr>'


def _cells(heads: Sequence[str], cells: Iterable[str]) -> str:
    """Return the cells of a row; a narrow screen shows the heads beside them."""
    pairs = zip(heads, cells, strict=True)
    return "".join(f'<td data-head="{text(head)}">{cell}</td>' for head, cell in pairs)
