"""The normalization slides: what batch normalization does to signals, gradients and learning rates of deep networks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.reproduction.charts import Chart, ChartSeries, Picture, chart, charts, over_seeds
from hpsearch.reproduction.experiments.measures import product_condition, values_of
from hpsearch.reproduction.laboratory import Extent, Lab, Outcome, Run, Trained, with_few
from hpsearch.training.recording import LayerMoment, RecordingOptions

FACTORS: Final = (1, 5, 10, 20, 30)
DIVERGENCE: Final = 1e3
"""A minibatch loss above this is a divergence in the paper's sense (Bjorck et al. 2018, section 3)."""

_LEARNS: Final = 2.0
_SWEPT: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_FIRST_SWEPT: Final = 1000
_STARTS: Final[Mapping[str, str]] = {
    "plain": "plain, 0.1",
    "plain, normalized": "plain, normalized, 0.1",
    "residual": "residual, 0.1",
    "residual, normalized": "residual, normalized, 0.1",
}
"""The networks, and a configuration of each; at the first step the rate has no effect."""


def depth_and_batch_norm(lab: Lab) -> Outcome:
    """Train twenty plain layers over five decades of rates, and multiply random matrices."""
    study = "depth-and-batch-norm"
    trained = lab.run(study, Extent(seeds=3, steps=300, is_curve=True))
    values = _stable_rates(trained, ("plain", "BN"))
    values["times larger"] = [
        high / low if low else float("nan")
        for low, high in zip(values["plain: largest rate"], values["BN: largest rate"], strict=True)
    ]
    above = [
        run
        for name, runs in trained.runs.items()
        if name.startswith("plain")
        for run in runs
        if _is_above(run)
    ]
    values["recovered without normalization"] = [float(_has_recovered(run)) for run in above]
    conditions = _conditions(lab)
    for factors in FACTORS:
        values[f"condition of {factors}"] = conditions[factors]
    pictures = (_rates(study, trained, ("plain", "BN")), _condition_picture(conditions))
    return Outcome(study=study, values=values, pictures=pictures)


def residual_depth(lab: Lab) -> Outcome:
    """Train twenty layers, plain and residual, with and without normalization: signals, gradients, rates."""
    study = "residual-depth"
    trained = lab.run(study, Extent(seeds=3, steps=300, is_curve=True))
    values = _stable_rates(trained, tuple(_STARTS))
    above = [run for run in _residual_sweep(lab, trained) if _is_above(run)]
    values["recovered with normalization, residual"] = [float(_has_recovered(run)) for run in above]
    looks = {
        kind: [_first_look(lab, trained, run) for run in trained.runs[name]] for kind, name in _STARTS.items()
    }
    for kind, layers in looks.items():
        values[f"{kind}: growth of variance"] = [
            growth([one.after.variance for one in found[:-1]]) for found in layers
        ]
        values[f"{kind}: kurtosis"] = [
            float(np.median([one.gradient.kurtosis for one in found[:-1]])) for found in layers
        ]
        values[f"{kind}: same for all inputs"] = [
            same_for_all(run.first_logits) for run in trained.runs[_STARTS[kind]]
        ]
    independent = (values[f"{kind}: same for all inputs"] for kind in ("residual", "residual, normalized"))
    values["less with normalization"] = [one - other for one, other in zip(*independent, strict=True)]
    pictures = (_depth_picture(looks), _rates(study, trained, tuple(_STARTS)), _independence_picture(values))
    return Outcome(study=study, values=values, pictures=pictures)


def _residual_sweep(lab: Lab, trained: Trained) -> list[Run]:
    """Return runs of the normalized residual network at rates between the study's, at which losses are large."""
    own = trained.runs["residual, normalized, 0.1"][0].configuration
    rates = [rate for rate in _SWEPT for _ in range(lab.pick(small=1, quick=3, full=5))]
    trials = {
        _FIRST_SWEPT + place: replace(own, training=replace(own.training, learning_rate=rate))
        for place, rate in enumerate(rates)
    }
    steps = lab.steps(Extent(seeds=3, steps=300))
    return list(lab.train(trials, with_few(trained.data), steps=steps).values())


def dropout_order(lab: Lab) -> Outcome:
    """Compare dropout preceding every normalization, after every activation, and after the last normalization only."""
    study = "dropout-order"
    trained = lab.run(study, Extent(seeds=3, steps=1200, is_curve=True))
    values = values_of(trained)
    last = values["behind the last normalization alone: held-back accuracy"]
    for name, word in (("before every normalization", "before"), ("behind every activation", "between")):
        others = values[f"{name}: held-back accuracy"]
        values[f"last over {word}"] = [one - other for one, other in zip(last, others, strict=True)]
    series = [
        ChartSeries(
            name=name,
            points=(over_seeds(place, values[f"{name}: held-back accuracy"]),),
            style="dots",
        )
        for place, name in enumerate(trained.runs, start=1)
    ]
    data = chart(("place of dropout", "held-back accuracy"), series)
    caption = "Accuracy on held-back images in the end, the median and the range of the seeds."
    return Outcome(
        study=study,
        values=values,
        pictures=(charts(study, "Places of dropout", caption, {"": data}),),
    )


def growth(variances: Sequence[float]) -> float:
    """Return the geometric mean of the growth factors between successive positive numbers."""
    if len(variances) < 2 or min(variances) <= 0:
        return float("nan")
    return float((variances[-1] / variances[0]) ** (1 / (len(variances) - 1)))


def _is_above(run: Run) -> bool:
    return bool((~(run.loss <= DIVERGENCE)).any())


def _has_recovered(run: Run) -> bool:
    """Return whether a run learns in the end: its last losses are finite and below the loss of guessing."""
    return run.last_loss < _LEARNS


def _rate_of(name: str) -> float:
    return float(name.rpartition(", ")[2])


def _of_kind(trained: Trained, kind: str) -> dict[float, Sequence[Run]]:
    """Return the runs of a kind of network by rate, in increasing order."""
    found = {_rate_of(name): runs for name, runs in trained.runs.items() if name.rpartition(", ")[0] == kind}
    return dict(sorted(found.items()))


def _stable_rates(trained: Trained, kinds: Sequence[str]) -> dict[str, list[float]]:
    """Return for each kind the largest rates at which it learns, with any losses and with none above 1e3.

    One value per seed; 0 if there is no such rate.
    """
    values: dict[str, list[float]] = {}
    for kind in kinds:
        by_rate = _of_kind(trained, kind)
        seeds = len(next(iter(by_rate.values())))
        for measure, is_fine in (("largest rate", _is_stable), ("largest calm rate", _is_calm)):
            values[f"{kind}: {measure}"] = [
                max((rate for rate, runs in by_rate.items() if is_fine(runs[seed])), default=0.0)
                for seed in range(seeds)
            ]
    return values


def _is_calm(run: Run) -> bool:
    return not _is_above(run)


def _is_stable(run: Run) -> bool:
    return not _is_above(run) and run.last_loss < _LEARNS


def _rates(study: str, trained: Trained, kinds: Sequence[str]) -> Picture:
    def shown(measure: str) -> Chart:
        series = [
            ChartSeries(
                name=kind,
                points=tuple(
                    over_seeds(rate, [getattr(run, measure) for run in runs])
                    for rate, runs in _of_kind(trained, kind).items()
                ),
            )
            for kind in kinds
        ]
        is_loss = measure == "last_loss"
        titles = ("learning rate", "training loss" if is_loss else "training accuracy")
        return chart(titles, series, ("log", "log" if is_loss else "linear"))

    caption = "Of the last 50 minibatches, the median and the range of the seeds. Runs that end in NaN have no loss."
    drawings = {"Loss": shown("last_loss"), "Accuracy": shown("last_accuracy")}
    return charts(f"{study}-rates", "Which learning rates 20 layers tolerate", caption, drawings)


def _conditions(lab: Lab) -> dict[int, list[float]]:
    generator = np.random.default_rng([lab.seed, 2])
    count = lab.pick(small=2, quick=10, full=20)
    return {
        factors: [product_condition(factors, 100, generator) for _ in range(count)] for factors in FACTORS
    }


def _condition_picture(conditions: Mapping[int, Sequence[float]]) -> Picture:
    points = tuple(over_seeds(float(factors), found) for factors, found in conditions.items())
    data = chart(
        ("matrices in the product", "condition number"),
        [ChartSeries(name="products of random matrices", points=points)],
        ("linear", "log"),
    )
    caption = (
        "Square matrices of 100 x 100 standard normal numbers: the largest over the smallest singular value."
    )
    return charts("conditions", "Products of random matrices", caption, {"": data})


def _first_look(lab: Lab, trained: Trained, run: Run) -> tuple[LayerMoment, ...]:
    """Return all layers of a run at its first step."""
    one = replace(run, loss=run.loss[:1])
    return lab.record(one, trained.data, watch=RecordingOptions(moments=(0,))).moments[0].layers


_PANELS: Final[Mapping[str, tuple[str, Callable[[LayerMoment], float]]]] = {
    "Mean of activations": ("mean", lambda layer: abs(layer.after.mean)),
    "Variance of activations": ("variance", lambda layer: layer.after.variance),
    "Kurtosis of gradients": ("kurtosis", lambda layer: layer.gradient.kurtosis),
    "Variance of gradients": ("variance of the gradient", lambda layer: layer.gradient.variance),
}


def _depth_picture(looks: Mapping[str, Sequence[tuple[LayerMoment, ...]]]) -> Picture:
    drawings = {
        heading: chart(
            ("layer", title),
            [
                ChartSeries(
                    name=kind,
                    points=tuple(
                        over_seeds(depth + 1.0, [measure(found[depth]) for found in layers])
                        for depth in range(len(layers[0]))
                    ),
                )
                for kind, layers in looks.items()
            ],
            ("linear", "log"),
        )
        for heading, (title, measure) in _PANELS.items()
    }
    caption = "At the first step, by layer, input side first, the output last: the median and the range of the seeds."
    return charts("by-depth", "Signals and gradients by depth", caption, drawings)


def same_for_all(logits: Array) -> float:
    """Return |mean of the rows|^2 over the mean of |row|^2, in 0..1, of softmax(logits) - 1 / C, (B, C).

    A gradient of the output layer is output minus target: at 1 it is the same for every input. The outputs always sum
    to 1, so 1 / C is subtracted.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    outputs = powers / powers.sum(axis=1, keepdims=True) - 1 / logits.shape[1]
    mean = outputs.mean(axis=0)
    return float((mean @ mean) / np.square(outputs).sum(axis=1).mean())


def _independence_picture(values: Mapping[str, Sequence[float]]) -> Picture:
    series = [
        ChartSeries(
            name=kind,
            points=(over_seeds(place, values[f"{kind}: same for all inputs"]),),
            style="dots",
        )
        for place, kind in enumerate(_STARTS, start=1)
    ]
    data = chart(("network", "same for all inputs"), series)
    caption = (
        "Outputs at the first step, minus 1 / C: the squared length of their mean over the mean of their squared "
        "lengths. At 1 the gradient of the output layer depends only on the target, not on the input."
    )
    return charts("independence", "Gradients that do not depend on the input", caption, {"": data})
