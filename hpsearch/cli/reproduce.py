"""`hpsearch reproduce`: claims of the source documents next to measurements."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, final

import typer

from hpsearch.cli.options import Format, OutputFormat
from hpsearch.cli.output import Listing, write_listing, write_message
from hpsearch.study.schema import MOST_INTEGER, MOST_WORKERS

if TYPE_CHECKING:
    from hpsearch.reproduction.claims import Judged, Measured
    from hpsearch.reproduction.laboratory import Source
    from hpsearch.reproduction.page import Reproduction

FOLDER: Final = Path("storage/reproduction")
SEED: Final = 20261127
_HEADS: Final = ("document", "claim", "study", "measured", "judgement")
_FIELDS: Final = ("document", "claim", "text", "study", "stated", "why", "judgement", "reason", "measured")


@final
class Images(StrEnum):
    """The alternative sources of images to train on."""

    MNIST = "mnist"
    DIGITS = "digits"


def _complete(incomplete: str) -> list[str]:
    from hpsearch.reproduction.catalogue import EXPERIMENTS

    return [name for name in EXPERIMENTS if name.startswith(incomplete)]


def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Study files of the documents, without .toml, such as relu-learning-rates.  [default: all]",
            autocompletion=_complete,
        ),
    ] = None,
    *,
    is_full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="All seeds and 300 epochs, which takes far longer, or what two cores finish in minutes.",
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, max=MOST_INTEGER, help="The seed of all trials.")
    ] = SEED,
    images: Annotated[
        Images | None,
        typer.Option("--data", help="The data.  [default: mnist if it is on this machine, else digits]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, max=MOST_WORKERS, help="Processes.  [default: one per core]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help=f"Where to write the page.  [default: {FOLDER}.html]"),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Run the source documents' experiments, and compare each claim with measurements.

    Finished studies are kept in storage/reproduction, so that later calls do not train them again. MNIST is used if it
    is on this machine (hpsearch data fetch mnist), else digits.

    Example: hpsearch reproduce relu-learning-rates
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.workflows.reproduction import run, select_studies, write_reproduction

    page = output or FOLDER.with_suffix(".html")
    studies = select_studies(names or [], is_full=is_full)
    shown = run(
        studies,
        size="full" if is_full else "quick",
        seed=seed,
        images=None if images is None else images.value,
        workers=workers,
        folder=FOLDER,
        output=page,
        listener=TERMINAL,
    )
    write_listing(_listing(shown), form)
    write_reproduction(shown, page)
    write_message(f"Page: {page}")


def _listing(shown: "Reproduction") -> Listing:
    """Return the claims with their judgements, for people and for programs.

    In JSON `why` is the reason for the ranges, null if a claim has none.
    """
    from hpsearch.reproduction.claims import judgement_words, measured_words

    return Listing(
        objects=[_object(one, shown.lab.source) for one in shown.judged],
        heads=_HEADS,
        rows=[
            (
                one.claim.document,
                one.claim.name,
                one.claim.study,
                "; ".join(measured_words(measured) for measured in one.measured),
                judgement_words(one),
            )
            for one in shown.judged
        ],
        fields=_FIELDS,
    )


def _object(judged: "Judged", source: "Source") -> Mapping[str, Any]:
    claim = judged.claim
    return {
        "document": claim.document,
        "claim": claim.name,
        "text": claim.text,
        "study": claim.study,
        "data": source,
        "stated": claim.stated,
        "why": claim.why or None,
        "judgement": judged.judgement.value,
        "reason": judged.reason or None,
        "measured": [_measured_object(one) for one in judged.measured],
    }


def _measured_object(measured: "Measured") -> dict[str, Any]:
    """Return a measure: `value` is the median over `seeds`, or a share; bounds that are open are null.

    `is_met` is null if no seed shows it, and if the runs were too short. With `is_bound` the median is above `value`:
    in `never_seen` runs it had not occurred by their end.
    """
    from hpsearch.analysis.json_objects import finite, reason_of

    numbers = {"value": measured.value, "low": measured.low, "high": measured.high}
    written: dict[str, Any] = {
        "name": measured.condition.words,
        "seeds": measured.count,
        "never_seen": measured.never,
    }
    for name, number in numbers.items():
        written[name] = finite(number)
        if (reason := reason_of(number)) is not None:
            written[f"{name}_reason"] = reason
    written |= {"at_least": finite(measured.condition.low), "at_most": finite(measured.condition.high)}
    is_told = measured.count and not measured.is_undecided
    return written | {"is_bound": measured.is_bound, "is_met": measured.is_met if is_told else None}
