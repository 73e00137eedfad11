"""Claims with their judgements, for people and for programs."""

from collections.abc import Mapping
from typing import Any, Final

from hpsearch.analysis.json_objects import finite, reason_of
from hpsearch.cli.output import Listing
from hpsearch.reproduction.laboratory import Source
from hpsearch.reproduction.page import Reproduction
from hpsearch.reproduction.records import Judged, Measured
from hpsearch.reproduction.words import judgement_words, measured_words

_HEADS: Final = ("document", "claim", "study", "measured", "judgement")
_FIELDS: Final = ("document", "claim", "text", "study", "stated", "why", "judgement", "reason", "measured")


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
