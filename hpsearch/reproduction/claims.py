"""Claims of documents, read from studies/claims/, and judgements of them from measurements."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

import numpy as np

from hpsearch.analysis.intervals import wilson_interval
from hpsearch.errors import HpsearchError
from hpsearch.nn.arrays import Array
from hpsearch.reproduction.laboratory import Outcome
from hpsearch.study.files import example_files
from hpsearch.study.messages import format_count, format_number

Needs: TypeAlias = Literal["nothing", "mnist", "full"]


@final
class Judgement(StrEnum):
    """The result of testing a claim."""

    HOLDS = "holds"
    PARTLY = "holds in part"
    FAILS = "does not hold"
    UNTESTED = "not tested"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One condition of a claim: the median over seeds of `measure` is in [low, high].

    `words` describes the measure. With `is_share` the measure is 1 or 0 for each seed, and its mean is used. `digits`
    is the number of significant digits shown. If a measure is infinite because a run ended before the event, `beyond`
    names the measure of the lower bound from that run, and `never` describes the missing event. A claim holds in part
    if every unmet condition is a detail, `is_detail`.
    """

    measure: str
    words: str
    low: float = -math.inf
    high: float = math.inf
    is_share: bool = False
    digits: int = 4
    beyond: str = ""
    never: str = ""
    is_detail: bool = False


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim of a document, in our words, with its configuration and conditions.

    `study` is the file in `studies/`, without its suffix, that tests it. `document` is the name of its document. `why`
    is the reason for the ranges of the conditions. A claim without conditions is answered by the product itself, in the
    words of `answer`. `needs` is "mnist" if the numbers are about these images, and "full" if a run is too long for the
    quick set, also on MNIST.
    """

    name: str
    document: str
    study: str
    text: str
    stated: str
    why: str = ""
    conditions: tuple[Condition, ...] = ()
    needs: Needs = "nothing"
    answer: str = ""
    note: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document by its name in listings; `about` has its author, title and year as far as known."""

    name: str
    about: str
    claims: tuple[Claim, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A condition with its measurement over `count` seeds, which may be 0.

    `value` is the median and `low` to `high` the range of the seeds; for a share it is the share, with its 95 %
    interval (Wilson 1927). In `never` seeds, runs ended before the event, and count with their lower bounds; `is_bound`
    is true if the median is above `value`, not at it.
    """

    condition: Condition
    value: float
    low: float
    high: float
    count: int
    never: int = 0
    is_bound: bool = False

    @property
    def is_met(self) -> bool:
        """True if the value is in the condition's range, even if it is only a lower bound."""
        is_inside = self.condition.low <= self.value <= self.condition.high
        return is_inside and not (self.is_bound and math.isfinite(self.condition.high))

    @property
    def is_undecided(self) -> bool:
        """True if the value is only a lower bound, and the range may contain the true one."""
        return self.is_bound and not self.is_met and self.value < self.condition.high


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A claim, its measurements, and the judgement with its reason if there is one."""

    claim: Claim
    measured: tuple[Measured, ...]
    judgement: Judgement
    reason: str = ""


_FILES: Final = ("relu-article", "elu-article", "book-notes", "normalization-slides", "list-of-troubles")
"""The documents' files in display order."""


@cache
def documents() -> tuple[Document, ...]:
    """Return the documents with their claims, in display order.

    Raises HpsearchError if a file of the installation is missing.
    """
    folders = {path.parent / "claims" for path in example_files().values()}
    return tuple(_document(folder / f"{name}.toml") for folder in folders for name in _FILES)


def every_claim() -> tuple[Claim, ...]:
    """Return the claims of all documents. Raises HpsearchError as `documents` does."""
    return tuple(claim for document in documents() for claim in document.claims)


def _document(path: Path) -> Document:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HpsearchError(
            f"{path}: must be among the files of hpsearch (got none): install it again"
        ) from None
    claims = tuple(_claim(entry, table["name"], table.get("setups", {})) for entry in table["claims"])
    return Document(name=table["name"], about=table["about"], claims=claims)


def _claim(entry: Mapping[str, Any], document: str, setups: Mapping[str, str]) -> Claim:
    conditions = tuple(Condition(**condition) for condition in entry.get("conditions", ()))
    stated = entry["stated"].format_map(setups)
    return Claim(**{**entry, "document": document, "stated": stated, "conditions": conditions})


def measured_words(measured: Measured) -> str:
    """Return `training accuracy: 0.935 [0.921, 0.944], 10 seeds`: the median and range, or a share and its interval.

    If runs ended before the event: `times: more than 12 [9.1, more than 14], 3 seeds (not reached in 2 of 3)`.
    """
    name = measured.condition.words
    if not measured.count:
        return f"{name}: not seen with any seed"
    numbers = (measured.value, measured.low, measured.high)
    value, low, high = (format_number(number, digits=measured.condition.digits) for number in numbers)
    value = f"more than {value}" if measured.is_bound else value
    high = f"more than {high}" if measured.never else high
    if measured.count == 1:
        return f"{name}: {value}{_never_words(measured)}"
    return f"{name}: {value} [{low}, {high}], {format_count(measured.count, 'seed')}{_never_words(measured)}"


def _never_words(measured: Measured) -> str:
    if not measured.never:
        return ""
    seeds = "" if measured.count == 1 else f" in {measured.never:,} of {format_count(measured.count, 'seed')}"
    return f" ({measured.condition.never}{seeds})"


def rule_words(condition: Condition) -> str:
    """Return the range in which a condition is met: `at most 0.15`; empty if it is only informative."""
    low, high = (format_number(bound, digits=condition.digits) for bound in (condition.low, condition.high))
    if condition.low == condition.high:
        return f"exactly {low}"
    if math.isinf(condition.low):
        return "" if math.isinf(condition.high) else f"at most {high}"
    return f"at least {low}" if math.isinf(condition.high) else f"{low} to {high}"


def missed_words(measured: Measured) -> str:
    """Return both numbers: `first step with NaN: 188 [123, 327], 20 seeds, not 300 to 400`."""
    return f"{measured_words(measured)}, not {rule_words(measured.condition)}"


def judgement_words(judged: Judged) -> str:
    """Return `holds`, `does not hold`, or with a reason `holds in part: ...` and `not tested: needs MNIST`."""
    return f"{judged.judgement}: {judged.reason}" if judged.reason else judged.judgement.value


def judge(claim: Claim, outcomes: Mapping[str, Outcome], *, is_mnist: bool, is_full: bool) -> Judged:
    """Return the judgement of `claim` from the outcomes of the studies that were run, by name.

    A claim of which only details are unmet holds in part. A condition without a seed's evidence is neither met nor
    unmet: the claim is not tested, unless another condition is unmet.
    """
    if not claim.conditions:
        return Judged(claim=claim, measured=(), judgement=Judgement.UNTESTED, reason=claim.answer)
    if claim.needs == "full" and not is_full:
        return _untested(claim, "needs --full")
    outcome = outcomes.get(claim.study)
    if outcome is None:
        return _untested(claim, f"{claim.study} was not run")
    measured = tuple(measure(condition, outcome.values) for condition in claim.conditions)
    if claim.needs != "nothing" and not is_mnist:
        return Judged(claim=claim, measured=measured, judgement=Judgement.UNTESTED, reason="needs MNIST")
    judgement, reason = _judgement(measured)
    return Judged(claim=claim, measured=measured, judgement=judgement, reason=reason)


def _judgement(measured: Sequence[Measured]) -> tuple[Judgement, str]:
    """Return the judgement from the measures, with its reason if there is one."""
    missed = [one for one in measured if one.count and not one.is_met and not one.is_undecided]
    if any(not one.condition.is_detail for one in missed):
        return Judgement.FAILS, ""
    if unseen := [one.condition.words for one in measured if not one.count]:
        return Judgement.UNTESTED, f"no seed shows {', '.join(unseen)}"
    if undecided := [one.condition.words for one in measured if one.is_undecided]:
        return Judgement.UNTESTED, f"the runs were too short for {', '.join(undecided)}"
    if missed:
        return Judgement.PARTLY, "; ".join(map(missed_words, missed))
    return Judgement.HOLDS, ""


def measure(condition: Condition, values: Mapping[str, Sequence[float]]) -> Measured:
    """Return the measurement over seeds, without seeds that have no number; NaN if none is left.

    If a run ended before the event, its lower bound is used instead: the true median is no smaller.

    Raises KeyError for a measure that the experiment does not have: a bug.
    """
    ends = np.array([value for value in values[condition.measure] if not math.isnan(value)])
    numbers = _known(condition, values)
    if not len(numbers):
        return Measured(condition=condition, value=math.nan, low=math.nan, high=math.nan, count=0)
    if condition.is_share:
        value = float(numbers.mean())
        low, high = wilson_interval(value, len(numbers))
    else:
        value, low, high = float(np.median(numbers)), float(numbers.min()), float(numbers.max())
    return Measured(
        condition=condition,
        value=value,
        low=low,
        high=high,
        count=len(numbers),
        never=int((numbers != ends).sum()),
        is_bound=not condition.is_share and float(np.median(ends)) != value,
    )


def _known(condition: Condition, values: Mapping[str, Sequence[float]]) -> Array:
    """Return the numbers of the seeds that have one, and the lower bounds of those whose runs ended earlier."""
    own = values[condition.measure]
    below = values[condition.beyond] if condition.beyond else own
    pairs = [pair for pair in zip(own, below, strict=True) if not math.isnan(pair[0])]
    return np.array([bound if value == math.inf else value for value, bound in pairs])


def _untested(claim: Claim, reason: str) -> Judged:
    return Judged(claim=claim, measured=(), judgement=Judgement.UNTESTED, reason=reason)
