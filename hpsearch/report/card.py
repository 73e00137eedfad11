"""The card of the best configuration as HTML."""

from collections.abc import Sequence

from hpsearch.analysis.confirmation import Repeated, interval_words, mean_words
from hpsearch.analysis.formats import format_count, format_metric, format_result
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.report.best_card import FILE, BestCard, best_card
from hpsearch.report.parts import empty, facts, rows_of, section, table_of, text, text_with_code, trial_number

_TITLE = "The best configuration, to take along"


def best_card_section(snapshot: Snapshot) -> str:
    """Return the card; a sentence where no trial is the best."""
    card = best_card(snapshot)
    if card is None:
        none = empty("No trial is complete with a finite result, so there is nothing to take along.")
        return section("best-card", _TITLE, none)
    metric = snapshot.study.spec.metric
    pairs = [
        ("Trial", str(card.number)),
        (format_metric(metric).capitalize(), card.value),
        *_confirmed(card, metric),
        ("Seed of the study", str(card.seed)),
    ]
    sure = f"<h3>How sure is it?</h3><p>{text_with_code(card.sure)}</p>{_repeated(card.repeated, metric)}"
    test = f"<h3>On data that the search never saw</h3><p>{text_with_code(card.test)}</p>"
    return section("best-card", _TITLE, facts(pairs) + sure + test + _to_copy(card))


def _confirmed(card: BestCard, metric: str) -> list[tuple[str, str]]:
    """Return the fact that fresh seeds add, if the trial was trained with any."""
    mine = [one for one in card.repeated if one.number == card.number]
    return [(f"Over {format_count(len(one.values), 'fresh seed')}", mean_words(one, metric)) for one in mine]


def _to_copy(card: BestCard) -> str:
    if card.untrainable:
        why = f"<h3>To reproduce it</h3><p>{text(card.untrainable)}</p>"
        return f"{why}<details><summary>JSON</summary>{_code(card.json)}</details>"
    commands = "".join(f"<p>{text(one.purpose)}</p>{_code(one.line)}" for one in card.commands)
    return (
        f"<h3>To reproduce it</h3>{commands}"
        f"<details><summary>Study file, {FILE}</summary>{_code(card.study_file)}</details>"
        f"<details><summary>JSON</summary>{_code(card.json)}</details>"
    )


def _repeated(found: Sequence[Repeated], metric: str) -> str:
    if not found:
        return ""
    heads = ["trial", f"{format_metric(metric)} in the search", "fresh seeds", "their mean", "95 % interval"]
    rows = [
        (
            trial_number(one.number),
            text(format_result(one.in_search, metric)),
            text(format_count(len(one.values))),
            text(mean_words(one, metric)),
            text(interval_words(one, metric)),
        )
        for one in found
    ]
    body = rows_of(rows)
    return table_of("The best configurations, trained again with fresh seeds", heads, body)


def _code(code: str) -> str:
    """Return text to copy; its button appears where the page's script runs."""
    return (
        '<div class="code"><button type="button" class="copy" hidden>Copy</button>'
        f"<pre><code>{text(code)}</code></pre></div>"
    )
