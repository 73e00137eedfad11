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
    FAILS = "does not hold"
    UNTESTED = "not tested"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One thing that must be so: the median over seeds of `measure` lies in [low, high].

    `words` says what is measured; `digits` are the significant digits of what is shown of it.
    """

    measure: str
    words: str
    low: float = -math.inf
    high: float = math.inf
    digits: int = 3


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One claim of a document, in our words, with the configuration it is about and when it holds.

    `study` is the file below `studies/`, without its suffix, which asks the same. `document` is its number. A claim
    without conditions is answered by the product itself, in the words of `answer`. `needs` is "mnist" where the
    numbers are about these images, and "full" where a run is too long for the quick set, on MNIST as well.
    """

    name: str
    document: str
    study: str
    text: str
    stated: str
    conditions: tuple[Condition, ...] = ()
    needs: Needs = "nothing"
    answer: str = ""
    note: str = ""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A condition with what was measured: the median and the range over `count` seeds; `count` may be 0."""

    condition: Condition
    median: float
    low: float
    high: float
    count: int

    @property
    def is_met(self) -> bool:
        """True where the median lies in the condition's range."""
        return self.condition.low <= self.median <= self.condition.high


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
