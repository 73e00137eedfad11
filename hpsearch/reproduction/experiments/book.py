"""The book notes: deep networks on MNIST, their initial weights, remedies for overfitting, and a random search."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.reproduction.charts import (
    Chart,
    ChartPoint,
    ChartSeries,
    Picture,
    chart,
    charts,
    curve,
    dots,
    over_seeds,
    smoothed,
)
from hpsearch.reproduction.experiments.measures import activations_by_layer, values_of
from hpsearch.reproduction.laboratory import Extent, Lab, Outcome, Run, Trained, accuracy_on
from hpsearch.search.narrowing import CannotNarrowError, propose
from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import Activation, Initializer, StudySpec, configure
from hpsearch.trials import ParameterValue, Trial, TrialState

SCALES: Final = ("1.0", "0.27", "0.072", "0.019", "0.0052", "0.0014", "0.00037", "0.0001")
_LEARNS: Final = 0.5
"""Training accuracy above which a network learns: five times chance."""
_ABOVE_CHANCE: Final = 0.2
"""Training accuracy above which it learns anything at all: twice chance."""


def initial_weights(lab: Lab) -> Outcome:
    """Train four hidden layers from three initial weights with three activations; measure the first outputs of five."""
    study = "initial-weights"
    trained = lab.run(study, Extent(seeds=3, is_curve=True))
    values = values_of(trained, sees_held_back=False)
    named = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}
    losses = {
        title: chart(
            ("step", "training loss"),
            [
                curve(name.partition(", ")[2], smoothed(runs[0].loss, 20))
                for name, runs in trained.runs.items()
                if name.startswith(f"{word},")
            ],
        )
        for word, title in named.items()
    }
    curves = charts(
        "initial-weights-loss",
        "Training loss by initial weights",
        "Of the first seed, the mean of 20 neighbouring minibatches.",
        losses,
    )
    spread, pictures = _histograms(lab)
    return Outcome(study=study, values=values | spread, pictures=(curves, *pictures))


_INITIALIZERS: Final[Mapping[str, Initializer]] = {
    "std 1": Initializer(name="normal", scale=1.0),
    "std 0.01": Initializer(name="normal", scale=0.01),
    "Xavier": Initializer(name="xavier"),
    "He": Initializer(name="he"),
}
_SHOWN: Final[Mapping[Activation, tuple[str, ...]]] = {
    "sigmoid": ("std 1", "std 0.01", "Xavier"),
    "tanh": ("std 1", "std 0.01", "Xavier"),
    "relu": ("std 0.01", "Xavier", "He"),
}


def _histograms(lab: Lab) -> tuple[dict[str, list[float]], list[Picture]]:
    """Return the standard deviation of the fifth layer's activations, and histograms of all five layers."""
    generator = np.random.default_rng([lab.seed, 1])
    values: dict[str, list[float]] = {}
    pictures = []
    for activation, names in _SHOWN.items():
        shown: dict[str, Chart] = {}
        for name in names:
            layers = activations_by_layer(activation, _INITIALIZERS[name], generator=generator)
            values[f"{activation}, {name}: layer 5 over layer 1"] = [
                float(layers[-1].std() / layers[0].std())
            ]
            values[f"{activation}, {name}: layer 5"] = [float(layers[-1].std())]
            shown[name] = _histogram(activation, layers)
        pictures.append(
            charts(
                f"activations-{activation}",
                f"Activations of five {activation} layers at the beginning",
                "100 units a layer, 1,000 standard normal inputs: the share of the activations by their value.",
                shown,
            )
        )
    return values, pictures


def _histogram(activation: Activation, layers: Sequence[Array]) -> Chart:
    low = -1.0 if activation == "tanh" else 0.0
    edges = np.linspace(low, 1.0, 31)
    series = [
        ChartSeries(
            name=f"layer {number}",
            points=tuple(
                ChartPoint(x=float(edge), y=float(count) / layer.size)
                for edge, count in zip(
                    edges[:-1] + (edges[1] - edges[0]) / 2, np.histogram(layer, edges)[0], strict=True
                )
            ),
            style="steps",
        )
        for number, layer in enumerate(layers, start=1)
    ]
    return chart(("activation", "share"), series)


def batch_norm_and_initial_scale(lab: Lab) -> Outcome:
    """Train with eight scales of initial weights, with and without batch normalization; count those that learn."""
    study = "batch-norm-and-initial-scale"
    trained = lab.run(study, Extent(seeds=3, is_curve=True))
    reached = {name: [run.last_accuracy for run in runs] for name, runs in trained.runs.items()}
    values: dict[str, list[float]] = {}
    for kind in ("plain", "BN"):
        of_seeds = list(zip(*(reached[f"{kind}, {scale}"] for scale in SCALES), strict=True))
        for words, bar in (("scales that learn", _LEARNS), ("scales above chance", _ABOVE_CHANCE)):
            values[f"{kind}: {words}"] = [
                float(sum(one > bar for one in of_scales)) for of_scales in of_seeds
            ]
        values[f"{kind}: lowest accuracy"] = [min(of_scales) for of_scales in of_seeds]
    values["faster"] = [
        float(np.mean(with_norm.accuracy) - np.mean(without.accuracy))
        for with_norm, without in zip(trained.runs["BN, 0.072"], trained.runs["plain, 0.072"], strict=True)
    ]
    return Outcome(study=study, values=values, pictures=_scale_pictures(trained, reached))


def _scale_pictures(trained: Trained, reached: Mapping[str, Sequence[float]]) -> tuple[Picture, ...]:
    """Return the final accuracy `reached` by scale, over seeds, and the first seed's accuracy by step."""
    series = [
        ChartSeries(
            name=name,
            points=tuple(over_seeds(float(scale), reached[f"{kind}, {scale}"]) for scale in SCALES),
        )
        for kind, name in (("plain", "without"), ("BN", "with batch normalization"))
    ]
    by_step = {
        f"Scale {scale}": chart(
            ("step", "training accuracy"),
            [
                curve("without", smoothed(trained.runs[f"plain, {scale}"][0].accuracy, 10)),
                curve("with batch normalization", smoothed(trained.runs[f"BN, {scale}"][0].accuracy, 10)),
            ],
        )
        for scale in SCALES
    }
    return (
        charts(
            "initial-scale",
            "Accuracy by the scale of initial weights",
            "Training accuracy in the end, the median and the range of the seeds.",
            {"": chart(("standard deviation", "training accuracy"), series, ("log", "linear"))},
        ),
        charts(
            "initial-scale-steps",
            "The same by step",
            "Of the first seed, ten minibatches at a time.",
            by_step,
        ),
    )


def weight_decay_and_overfitting(lab: Lab) -> Outcome:
    """Train on 300 images with and without weight decay: the gap between training and held-back accuracy."""
    names = {"without": "without weight decay", "with": "weight decay 0.1"}
    return _overfitting(lab, "weight-decay-and-overfitting", names)


def dropout_and_overfitting(lab: Lab) -> Outcome:
    """Train on 300 images with two kinds of dropout and without: the gap between training and held-back accuracy."""
    names = {"without": "without dropout", "with": "dropout 0.2", "inverted": "inverted dropout 0.2"}
    return _overfitting(lab, "dropout-and-overfitting", names)


def _overfitting(lab: Lab, study: str, names: Mapping[str, str]) -> Outcome:
    """Return the gaps of configurations, each by a short name, and how much smaller they are than the first's."""
    trained = lab.run(study, Extent(seeds=5, is_curve=True))
    values: dict[str, list[float]] = {}
    first = next(iter(names))
    for word, name in names.items():
        ends = [
            (accuracy_on(run, trained.data.training), accuracy_on(run, trained.data.validation))
            for run in trained.runs[name]
        ]
        values[f"{word}: training"] = [training for training, _ in ends]
        values[f"{word}: minibatches"] = [run.last_accuracy for run in trained.runs[name]]
        values[f"{word}: held back"] = [held for _, held in ends]
        values[f"{word}: gap"] = [training - held for training, held in ends]
        for what, lost in (("gap", "gap closed"), ("held back", "held back lost")):
            values[f"{word}: {lost}"] = _differences(values[f"{first}: {what}"], values[f"{word}: {what}"])
    shown = {name: _gap_chart(trained, name) for name in names.values()}
    caption = "Of the first seed: training accuracy in its minibatches, and accuracy on held-back images."
    return Outcome(study=study, values=values, pictures=(charts(study, "The gap", caption, shown),))


def _differences(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(first, second, strict=True)]


def _gap_chart(trained: Trained, name: str) -> Chart:
    run = trained.runs[name][0]
    steps = max(1, len(run.accuracy) // max(1, len(run.epochs)))
    training = run.accuracy[: len(run.epochs) * steps].reshape(-1, steps).mean(axis=1)
    held = [epoch.validation_accuracy or 0.0 for epoch in run.epochs]
    return chart(
        ("epoch", "accuracy"), [curve("training", training, first=1), curve("held back", held, first=1)]
    )


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
        "Places of the best trials",
        "Every trial of the first search. The best are at the upper edge of the learning rates.",
        {
            "Parameters": chart(("learning rate", "weight decay"), by_place, ("log", "log")),
            "Accuracy": chart(("learning rate", "validation accuracy"), by_rate, ("log", "linear")),
        },
    )
