"""What became of the trials of each decade of learning rates."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from hpsearch.report.figure_data.axes import learning_rate_of
from hpsearch.study.spec import Dimension, Range
from hpsearch.trials import Fate, Trial


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Decade:
    """The trials with a learning rate in [`low`, `high`): how many met which fate, in the order of `Fate`.

    The last decade of the search space has its upper end as well.
    """

    low: float
    high: float
    fates: Mapping[Fate, int]

    @property
    def trials(self) -> int:
        """How many trials there are."""
        return sum(self.fates.values())


def fates_by_decade(search: Sequence[Dimension], trials: Sequence[Trial]) -> tuple[Decade, ...]:
    """Return the decades in which trials ended, lowest first; none where no range of learning rates is searched."""
    dimension = learning_rate_of(search)
    if dimension is None:
        return ()
    counts: dict[int, Counter[Fate]] = {}
    for trial in trials:
        exponent = _exponent(trial, dimension)
        if exponent is not None and trial.state.is_final:
            counts.setdefault(exponent, Counter())[trial.fate] += 1
    return tuple(_decade(exponent, counts[exponent]) for exponent in sorted(counts))


def _exponent(trial: Trial, dimension: Range) -> int | None:
    """Return the decade's power of ten; None for a rate that has none, which some other program may have set."""
    rate = trial.params.get(dimension.name)
    if not isinstance(rate, int | float) or not 0 < rate < math.inf:
        return None
    exponent = math.floor(math.log10(rate))
    is_upper_end = rate == dimension.high == float(f"1e{exponent}")
    return exponent - 1 if is_upper_end else exponent


def _decade(exponent: int, counts: Mapping[Fate, int]) -> Decade:
    return Decade(
        low=float(f"1e{exponent}"),
        high=float(f"1e{exponent + 1}"),
        fates={fate: counts[fate] for fate in Fate if counts.get(fate)},
    )
