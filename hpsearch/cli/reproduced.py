"""What `hpsearch reproduce` does: it asks, runs with progress, and writes the table and the page."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from hpsearch.analysis.formats import format_duration
from hpsearch.analysis.json_objects import finite, reason_of
from hpsearch.cli.output import Listing, say
from hpsearch.cli.progress import busy
from hpsearch.data.mnist import is_available
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.report.file import check_report_path, write_page
from hpsearch.reproduction.catalogue import EXPERIMENTS, ONLY_FULL, every_claim
from hpsearch.reproduction.judging import judge
from hpsearch.reproduction.laboratory import Lab, Size, Source
from hpsearch.reproduction.page import SOURCES, Reproduction, render
from hpsearch.reproduction.records import Judged, Measured
from hpsearch.reproduction.running import Ended, keys_of, reproduce
from hpsearch.reproduction.words import judgement_words, measured_words
from hpsearch.study.messages import nearest
from hpsearch.study.messages import toml_excerpt as quoted
from hpsearch.worker.machine import core_count

_HEADS: Final = ("document", "claim", "study", "measured", "judgement")
_FIELDS: Final = ("document", "claim", "text", "study", "stated", "why", "judgement", "reason", "measured")


def asked_studies(names: Sequence[str], *, is_full: bool) -> list[str]:
    """Return the studies that are asked for, all where none is named. Raises UsageError for a name that is none."""
    wanted = [name.removesuffix(".toml").rpartition("/")[2] for name in names]
    for name in wanted:
        if name not in EXPERIMENTS:
            near = nearest(name, {known: known for known in EXPERIMENTS})
            hint = f"did you mean {near}?" if near else f"take some of {', '.join(EXPERIMENTS)}"
            raise UsageError(f"NAME: must be a study of the documents (got {quoted(name)}): {hint}")
    if not is_full and (long := [name for name in wanted if name in ONLY_FULL]):
        raise UsageError(f"{long[0]}: is too long for the quick set (got --quick): add --full")
    return [name for name in EXPERIMENTS if not wanted or name in wanted]


def run(
    studies: Sequence[str],
    *,
    size: Size,
    seed: int,
    images: Source | None,
    workers: int | None,
    folder: Path,
    output: Path,
) -> Reproduction:
    """Run the studies that are not kept below `folder`, with progress on stderr, and judge their claims."""
    _make_folder(output.parent)
    check_report_path(output)
    source = images or ("mnist" if is_available(os.environ) else "digits")
    lab = Lab(source=source, size=size, seed=seed)
    ready = [name for name in studies if size == "full" or name not in ONLY_FULL]
    keys = keys_of(ready, lab)  # before anything is promised: the images may not be there
    say(f"Training on {SOURCES[source]}")
    if images is None and source == "digits":
        say(
            "MNIST is not on this machine, so most claims are not tested (hpsearch data fetch mnist brings it)"
        )
    with busy("Running"):
        outcomes = reproduce(keys, lab, folder=folder, workers=workers or core_count(), show=_show)
    judged = [
        judge(claim, outcomes, is_mnist=source == "mnist", is_full=size == "full")
        for claim in every_claim()
        if claim.study in studies
    ]
    return Reproduction(lab=lab, judged=judged, outcomes=outcomes, taken=datetime.now(UTC))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HpsearchError(
            f"--output: its folder must exist (got {folder}: {error.strerror}): name another file"
        ) from error


def _show(ended: Ended) -> None:
    how = "kept" if ended.was_kept else format_duration(ended.seconds)
    say(f"{ended.done:>2}/{ended.wanted} {ended.study}: {how}")
    if ended.unkept:
        say(f"Warning: the next call trains it again: it could not be kept (got {ended.unkept})")


def save(shown: Reproduction, output: Path) -> None:
    """Write the page, and say where it is."""
    write_page(render(shown), output)
    say(f"Page: {output}")


def listing(shown: Reproduction) -> Listing:
    """Return the claims with their judgements, for people and for programs.

    In JSON `why` is why the ranges were chosen, null if a claim has none.
    """
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


def _object(judged: Judged, source: Source) -> Mapping[str, Any]:
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


def _measured_object(measured: Measured) -> dict[str, Any]:
    """Return a measure: `value` is the median over `seeds`, or a share; bounds that are open are null.

    `is_met` is null where no seed shows it, and where the runs were too short. With `is_bound` the median is above
    `value`: in `never_seen` runs it was not there before they ended.
    """
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
