"""Document 001: deep networks on MNIST, their initial weights, and remedies for overfitting."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.report.figures.chart import Chart, ChartPoint, ChartSeries, chart, over_seeds
from hpsearch.reproduction.experiments.inside import values_of
from hpsearch.reproduction.laboratory import Extent, Lab, Trained, accuracy_on
from hpsearch.reproduction.numerics import activations_by_layer
from hpsearch.reproduction.pictures import charts, curve, smoothed
from hpsearch.reproduction.records import Outcome, Picture
from hpsearch.study.spec import Activation, Initializer

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
