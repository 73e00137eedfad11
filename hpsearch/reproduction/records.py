"""What a document claims, what was measured of it, and what that means."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias, final

Values: TypeAlias = Mapping[str, Sequence[float]]
"""What an experiment measured, by name: one number per seed, NaN where a seed has none."""

Needs: TypeAlias = Literal["nothing", "mnist", "full"]


@final
class Judgement(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    PARTLY = "holds in part"
    FAILS = "does not hold"
    UNTESTED = "not tested"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One thing that must be so: the median over seeds of `measure` lies in [low, high].

    `words` says what is measured. With `is_share` the measure is 1 or 0 for each seed, and its mean counts.
    `digits` are the significant digits that are shown. A measure that is infinite where a run ended before it was
    there has in `beyond` the measure of what it is above, by what that run shows, and in `never` what was not there.
    A claim holds in part if all that is unmet is a detail, `is_detail`.
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
    """One claim of a document, in our words, with the configuration it is about and when it holds.

    `study` is the file in `studies/`, without its suffix, which asks the same. `document` is the name of its document.
    `why` is why the ranges of the conditions were chosen. A claim without conditions is answered by the
    product itself, in the words of `answer`. `needs` is "mnist" where the
    numbers are about these images, and "full" where a run is too long for the quick set, on MNIST as well.
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
    """A document by the name that listings have for it; `about` has its author, title and year as far as known."""

    name: str
    about: str
    claims: tuple[Claim, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A condition with what was measured over `count` seeds, which may be 0.

    `value` is the median and `low` to `high` the range of the seeds; of a share it is the share, with its 95 %
    interval (Wilson 1927). With `never` seeds it was not there when their runs ended, and they count with what it is
    above; `is_bound` says that the median is above `value`, not at it.
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
        """True where the value lies in the condition's range, also if it is only known to be above `value`."""
        is_inside = self.condition.low <= self.value <= self.condition.high
        return is_inside and not (self.is_bound and math.isfinite(self.condition.high))

    @property
    def is_undecided(self) -> bool:
        """True where the range may hold the value, which is only known to be above `value`."""
        return self.is_bound and not self.is_met and self.value < self.condition.high


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A claim, what was measured of it, and the judgement with its reason where there is one."""

    claim: Claim
    measured: tuple[Measured, ...]
    judgement: Judgement
    reason: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """One drawing as Plotly's JSON, `label` says in words what it shows."""

    name: str
    label: str
    figure: Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Drawings that belong together, with a title and a caption."""

    name: str
    title: str
    caption: str
    drawings: tuple[Drawing, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one study's experiment gave: numbers by name, pictures, and lines of text for the page."""

    study: str
    values: Values
    pictures: tuple[Picture, ...] = ()
    lines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seconds: float = 0.0
