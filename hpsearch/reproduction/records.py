"""The claims of documents, their measurements, and the resulting judgements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias, final

Values: TypeAlias = Mapping[str, Sequence[float]]
"""An experiment's measurements, by name: one number per seed, NaN for a seed without one."""

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


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """One drawing as Plotly's JSON; `label` describes it in words."""

    name: str
    label: str
    figure: Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Related drawings, with a title and a caption."""

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The outcome of one study's experiment: numbers by name, pictures, and lines of text for the page."""

    study: str
    values: Values
    pictures: tuple[Picture, ...] = ()
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seconds: float = 0.0
