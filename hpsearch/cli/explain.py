"""`hpsearch explain`: what a verdict or a fate means, how it is found, and what to do."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpsearch.cli.options import Format, OutputFormat
from hpsearch.cli.output import Listing, write_csv, write_json, write_line, write_listing, write_table
from hpsearch.trials import Fate
from hpsearch.verdicts import Cause

if TYPE_CHECKING:
    from hpsearch.analysis.explanations import Explained, Explanation


def _complete(incomplete: str) -> list[str]:
    return [name for name in (*Cause, *Fate) if name.startswith(incomplete)]


def explain(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="VERDICT",
            help="A verdict such as lr_too_low, or a fate such as dying.  [default: list all verdicts]",
            autocompletion=_complete,
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Explain a verdict: what it means, how it is detected, whether it stops a trial, and what to do.

    For a fate, it lists the verdicts that lead to it. Without a name, it lists all verdicts.

    Example: hpsearch explain lr_too_low
    """
    from hpsearch.analysis import explanations

    if not words:
        write_listing(_listing(list(explanations.EXPLANATIONS.values())), form)
        return
    explained = explanations.explain(" ".join(words))
    match form:
        case Format.TABLE:
            _write(explained)
        case Format.JSON:
            write_json(_object(explained))
        case Format.CSV:
            write_csv([_object(explained)])


def _listing(explained: Sequence["Explanation"]) -> Listing:
    """Return verdicts with the fate that each leads to, in one line each."""
    return Listing(
        objects=[_verdict_object(one) for one in explained],
        heads=("verdict", "fate", "meaning"),
        rows=[(one.cause.value, one.fate.value, one.meaning) for one in explained],
    )


def _write(explained: "Explained") -> None:
    """Write an explanation to stdout."""
    from hpsearch.analysis.explanations import Explanation

    if not isinstance(explained, Explanation):
        write_line(f'Fate "{explained.fate}": {explained.meaning}.')
        if explained.verdicts:
            write_line()
            write_table(
                ("verdict", "meaning"), [(one.cause.value, one.meaning) for one in explained.verdicts]
            )
        return
    write_line(f"Verdict {explained.cause}: {explained.meaning}.")
    write_line(f"Detected: {explained.detection}")
    write_line(f"Stops a trial: {explained.stops}.")
    write_line(f"Fate: {_fates(explained)}.")
    if explained.remedy:
        write_line(f"Remedy: {explained.remedy}.")


def _fates(explained: "Explanation") -> str:
    """Return the fate that a verdict leads to, and the one if `pruning.fatal` lists it."""
    stopped = explained.fate_if_stopped
    if stopped is None or stopped is explained.fate:
        return explained.fate.value
    return f"{explained.fate}, or {stopped} if it stops the trial"


def _object(explained: "Explained") -> dict[str, Any]:
    from hpsearch.analysis.explanations import Explanation

    if isinstance(explained, Explanation):
        return _verdict_object(explained)
    return {
        "fate": explained.fate.value,
        "meaning": explained.meaning,
        "verdicts": [one.cause.value for one in explained.verdicts],
    }


def _verdict_object(explained: "Explanation") -> dict[str, Any]:
    return {
        "verdict": explained.cause.value,
        "meaning": explained.meaning,
        "detection": explained.detection,
        "stops": explained.stops.name.lower(),
        "fate": explained.fate.value,
        "remedy": explained.remedy or None,
    }
