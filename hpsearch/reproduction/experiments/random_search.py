"""Document 001: the book's random search over learning rate and weight decay, and a second round of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.report.figures.chart import chart
from hpsearch.reproduction.laboratory import Extent, Lab, accuracy_on
from hpsearch.reproduction.pictures import charts, curve, dots
from hpsearch.reproduction.records import Outcome, Picture
from hpsearch.reproduction.runs import Run
from hpsearch.search.narrowing import CannotNarrowError, propose
from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import StudySpec, configure
from hpsearch.trials import ParameterValue, Trial, TrialState

_BEST: Final = 5
_DRAWN: Final = 20
_MIDDLE_RATE: Final = 10**-2.5


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Searched:
    """One random search: N trials with their parameters, their runs, and their final accuracies."""

    spec: StudySpec
    params: Sequence[Mapping[str, ParameterValue]]
    accuracies: Array
    runs: Sequence[Run]

    @property
    def rates(self) -> Array:
        """The learning rates (N,)."""
        return np.array([one["learning_rate"] for one in self.params], np.float64)

    @property
    def decays(self) -> Array:
        """The weight decays (N,)."""
        return np.array([one["weight_decay"] for one in self.params], np.float64)

    @property
    def order(self) -> Array:
        """The indices (N,) of the trials, the best first."""
        order: Array = np.argsort(-self.accuracies, kind="stable")
        return order


def random_search_book(lab: Lab) -> Outcome:
    """Repeat the book's random search with other seeds: the location of the best, and the gain of a second round."""
    study = "random-search-book"
    count = lab.pick(small=1, quick=3, full=5)
    labs = [replace(lab, seed=lab.seed + place) for place in range(count)]
    searches = [_search(own, own.study(study)) for own in labs]
    seconds = [_second_round(own, first) for own, first in zip(labs, searches, strict=True)]
    bests = [search.order[:_BEST] for search in searches]
    pairs = list(zip(searches, bests, strict=True))
    values = {
        "best accuracy": [float(search.accuracies[best].max()) for search, best in pairs],
        "fifth accuracy": [float(search.accuracies[best].min()) for search, best in pairs],
        "lowest rate of the best": [float(search.rates[best].min()) for search, best in pairs],
        "highest rate of the best": [float(search.rates[best].max()) for search, best in pairs],
        "median accuracy below": [_median(search, high=_MIDDLE_RATE) for search in searches],
        "median accuracy above": [_median(search, low=_MIDDLE_RATE) for search in searches],
        "rank correlation with decay": [_decay_correlation(search) for search in searches],
        "early losses": [_early_share(search) for search in searches],
        "median gained": _gains(searches, seconds, lambda search: float(np.median(search.accuracies))),
        "best gained": _gains(searches, seconds, lambda search: float(search.accuracies.max())),
    }
    lines = book_lines(searches[0])
    return Outcome(
        study=study,
        values=values,
        pictures=(_best_curves(searches[0]), _scatter(searches[0])),
        lines={"The book's table, of the first search": lines},
    )


def _gains(
    firsts: Sequence[Searched], seconds: Sequence[Searched | None], measure: Callable[[Searched], float]
) -> list[float]:
    """Return by how much `measure` is larger in each second round than in its first."""
    pairs = zip(firsts, seconds, strict=True)
    return [measure(second) - measure(first) for first, second in pairs if second is not None]


def _second_round(lab: Lab, first: Searched) -> Searched | None:
    """Return an equally large search of the ranges that `study narrow` proposes after the first; None if it fails."""
    trials = [
        Trial(number=n, state=TrialState.COMPLETE, params=params, value=float(value))
        for n, (params, value) in enumerate(zip(first.params, first.accuracies, strict=True))
    ]
    try:
        proposal = propose(first.spec, trials, maximize=True)
    except CannotNarrowError:
        return None
    return _search(lab, replace(first.spec, search=proposal.search))


def _search(lab: Lab, spec: StudySpec) -> Searched:
    study = lab.prepare(spec)
    searcher = Searcher(study.spec)
    numbers = range(lab.pick(small=8, quick=study.spec.trials, full=study.spec.trials))
    params = [searcher.suggest(number).params for number in numbers]
    trials = {n: configure(study.spec, one) for n, one in enumerate(params)}
    runs = list(lab.train(trials, study.data, steps=lab.steps(Extent(seeds=1))).values())
    return Searched(
        spec=study.spec,
        params=params,
        accuracies=np.array([accuracy_on(run, study.data.validation) for run in runs]),
        runs=runs,
    )


def _median(search: Searched, *, low: float = 1e-3, high: float = 1e-2) -> float:
    """Return the median accuracy of the trials whose rate is in [low, high); NaN if there are none."""
    inside = search.accuracies[(search.rates >= low) & (search.rates < high)]
    return float(np.median(inside)) if len(inside) else float("nan")


def _decay_correlation(search: Searched) -> float:
    """Return the rank correlation of weight decay and accuracy among the trials that learn, rate above 1e-3.

    Return NaN if fewer than three learn.
    """
    learns = search.rates > 1e-3
    if learns.sum() < 3:
        return float("nan")
    return rank_correlation(search.decays[learns], search.accuracies[learns])


def rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation of two vectors (N,); equal numbers share the mean of their ranks."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: Array) -> Array:
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    ranks: Array = below + (equal - 1) / 2
    return ranks


def _early_share(search: Searched) -> float:
    """Return the share of the final best five that are in the best fifth by training loss after 5 epochs."""
    early = np.array([run.epochs[min(4, len(run.epochs) - 1)].training_loss for run in search.runs])
    best_fifth = set(np.argsort(early, kind="stable")[: max(1, len(early) // 5)].tolist())
    return float(np.mean([place in best_fifth for place in search.order[:_BEST].tolist()]))


def book_lines(search: Searched) -> list[str]:
    """Return the best 20 in the book's format: `Best-1(val acc:0.85) | lr:0.0092..., weight decay:7.2e-06`."""
    return [
        f"Best-{rank}(val acc:{search.accuracies[place]:.2f}) | "
        f"lr:{float(search.rates[place])!r}, weight decay:{float(search.decays[place])!r}"
        for rank, place in enumerate(search.order[:_DRAWN].tolist(), start=1)
    ]


def _best_curves(search: Searched) -> Picture:
    shown = [(rank, search.runs[place]) for rank, place in enumerate(search.order[:_DRAWN].tolist(), start=1)]
    accuracies = [
        curve(f"Best-{rank}", [epoch.validation_accuracy or 0.0 for epoch in run.epochs], first=1)
        for rank, run in shown
    ]
    losses = [
        curve(f"Best-{rank}", [epoch.training_loss for epoch in run.epochs], first=1) for rank, run in shown
    ]
    return charts(
        "random-search-curves",
        "Learning curves of the best 20",
        "Of the first search, in the order of their validation accuracy in the end.",
        {
            "Validation accuracy": chart(("epoch", "validation accuracy"), accuracies),
            "Training loss": chart(("epoch", "training loss"), losses),
        },
    )


def _scatter(search: Searched) -> Picture:
    best, others = search.order[:_BEST], search.order[_BEST:]
    by_place = [
        dots("the others", zip(search.rates[others], search.decays[others], strict=True)),
        dots("best five", zip(search.rates[best], search.decays[best], strict=True)),
    ]
    by_rate = [
        dots("the others", zip(search.rates[others], search.accuracies[others], strict=True)),
        dots("best five", zip(search.rates[best], search.accuracies[best], strict=True)),
    ]
    return charts(
        "random-search-places",
        "Where the best trials are",
        "Every trial of the first search. The best sit at the upper edge of the learning rates.",
        {
            "Parameters": chart(("learning rate", "weight decay"), by_place, ("log", "log")),
            "Accuracy": chart(("learning rate", "validation accuracy"), by_rate, ("log", "linear")),
        },
    )
