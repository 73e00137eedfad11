"""What is compared as HTML: a few trials side by side, and studies."""

from collections.abc import Sequence

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.figures.catalogue import Exhibit
from hpsearch.report.figures.comparison import (
    ComparedHead,
    ComparedRow,
    ComparedTable,
    chosen_trials,
    compared_table,
)
from hpsearch.report.figures.studies import differences
from hpsearch.report.parts import section, table_of, text, trial_number
from hpsearch.report.request import Request
from hpsearch.report.sections import exhibit, html_figure, symbol


def comparison(snapshot: Snapshot, request: Request, shown: Exhibit) -> str:
    """Return a few trials side by side: which of them are shown, their table, and their drawings."""
    chosen = chosen_trials(snapshot, request.trials) if shown.panels else ()
    if not chosen:
        return exhibit(shown)
    table = compared_table(snapshot, chosen)
    chips = "".join(_trial_chip(head) for head in table.heads)
    chooser = f'<fieldset class="chooser"><legend>Trials: show or hide</legend>{chips}</fieldset>'
    return section(shown.name, shown.title, chooser + _compared(table) + html_figure(shown))


def studies(snapshot: Snapshot, request: Request, shown: Exhibit) -> str:
    """Return the comparison with other studies and what they do otherwise; nothing where none was asked for."""
    if not request.others:
        return ""
    snapshots = (snapshot, *request.others)
    heads = ["", *(one.study.spec.name for one in snapshots)]
    body = "".join(
        f'<tr><th scope="row">{text(row.key)}</th>{"".join(f"<td>{text(cell)}</td>" for cell in row.cells)}</tr>'
        for row in differences(snapshots)
    )
    return section(
        shown.name, shown.title, html_figure(shown) + table_of("What the studies do otherwise", heads, body)
    )


def _trial_chip(head: ComparedHead) -> str:
    why = f" {text(head.why)}" if head.why else ""
    return (
        f'<label class="chip"><input type="checkbox" checked value="{head.number}">'
        f"{symbol(head.fate)}<span>trial <b>{head.number}</b>{why}</span></label>"
    )


def _compared(table: ComparedTable) -> str:
    """Return the trials side by side; the row of what differs is marked."""
    columns = [f'data-trial="{head.number}" data-fate="{text(head.fate)}"' for head in table.heads]
    heads = "".join(
        f'<th scope="col" {column}>{symbol(head.fate)} trial {trial_number(head.number)}</th>'
        for column, head in zip(columns, table.heads, strict=True)
    )
    rows = "".join(_compared_row(row, columns) for row in table.rows)
    return (
        '<div class="scroll" tabindex="0"><table><caption>What differs is marked ≠</caption>'
        f'<thead><tr><th scope="col"></th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _compared_row(row: ComparedRow, columns: Sequence[str]) -> str:
    mark = '<span class="mark">≠ </span>' if row.differs else ""
    cells = "".join(
        f"<td {column}>{text(cell)}</td>" for column, cell in zip(columns, row.cells, strict=True)
    )
    differs = ' class="differs"' if row.differs else ""
    return f'<tr{differs}><th scope="row">{mark}{text(row.name)}</th>{cells}</tr>'
