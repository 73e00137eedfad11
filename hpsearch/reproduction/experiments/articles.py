"""The two articles: one hidden layer of 64 units, gradients summed over minibatches of 100."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.reproduction.charts import (
    ChartSeries,
    Picture,
    chart,
    charts,
    curve,
    five_panels,
    over_seeds,
    share_over_seeds,
)
from hpsearch.reproduction.experiments.measures import (
    flip_share,
    largest,
    lead_steps,
    negative_share,
    stable_cross_entropy,
    textbook_cross_entropy,
    unfrozen_share,
    values_of,
)
from hpsearch.reproduction.laboratory import Extent, Lab, Outcome, Run, Trained, biases_of, held_back
from hpsearch.training.recording import RecordingOptions

_SEEDS: Final = 10
_SNAPSHOTS: Final = tuple(range(0, 600, 10))
_ALL_UNITS: Final = tuple(range(64))
LEAKY_RATES: Final = ("0.03", "0.04", "0.05", "0.056", "0.057", "0.06", "0.07")


def relu_learning_rates(lab: Lab) -> Outcome:
    """Train ReLU at three rates: how many units die, how, and what capacity to learn remains."""
    study = "relu-learning-rates"
    trained = lab.run(study, Extent(seeds=_SEEDS, steps=600))
    values = values_of(trained)
    pictures, unfrozen, negative = [], [], []
    for name, runs in trained.runs.items():
        recording = lab.record(runs[0], trained.data, watch=RecordingOptions(snapshots=_SNAPSHOTS))
        pictures.append(five_panels(_slug(name), name, recording))
        unfrozen.append(unfrozen_share(recording))
        negative.append(negative_share(recording))
    values |= {"changed after death": unfrozen, "swung negative": negative}
    return Outcome(study=study, values=values, pictures=tuple(pictures))


def leaky_relu_divergence(lab: Lab) -> Outcome:
    """Train LeakyReLU at seven rates: the share that ends in NaN, when, and the growth before it."""
    study = "leaky-relu-divergence"
    trained = lab.run(study, Extent(seeds=20, steps=600))
    values = values_of(trained, sees_held_back=False)
    wide = lab.run(study, Extent(seeds=2, steps=600), only=("LeakyReLU, 0.057",), precision="float64")
    values["float64: NaN"] = [float(run.nan_step is not None) for run in wide.runs["LeakyReLU, 0.057"]]
    shares = [float(np.mean(values[f"LeakyReLU, {rate}: NaN"])) for rate in LEAKY_RATES]
    values["rise of the share"] = [shares[-1] - shares[0]]
    values["largest jump between neighbours"] = [float(np.max(np.diff(shares)))]
    diverging = _diverging(trained)
    recordings = [
        lab.record(run, trained.data, watch=RecordingOptions(units=_ALL_UNITS)) for run in diverging
    ]
    values["sign flips"] = [flip_share(recording) for recording in recordings]
    values["lead"] = [lead_steps(one.first.biases.low) for one in recordings if one.first is not None]
    shown = diverging[0]
    pictures = (
        five_panels("leaky-relu", f"LeakyReLU, 0.057, trial {shown.number}", lab.record(shown, trained.data)),
        _nan_shares({rate: values[f"LeakyReLU, {rate}: NaN"] for rate in LEAKY_RATES}),
    )
    return Outcome(study=study, values=values, pictures=pictures)


def _diverging(trained: Trained) -> list[Run]:
    """Return the first five runs at 0.057 that end in NaN; the first run if none does."""
    runs = trained.runs["LeakyReLU, 0.057"]
    return [run for run in runs if run.nan_step is not None][:5] or [runs[0]]


def _nan_shares(found: Mapping[str, Sequence[float]]) -> Picture:
    """Return the share of the seeds that end in NaN by rate, each with its 95 % interval."""
    points = tuple(share_over_seeds(float(rate), values) for rate, values in found.items())
    data = chart(("learning rate", "share that ends in NaN"), [ChartSeries(name="LeakyReLU", points=points)])
    caption = "Share of seeds whose loss is NaN within 600 steps, with its 95 % interval: there is no sharp threshold."
    return charts("nan-share", "Where LeakyReLU diverges", caption, {"": data})


def batch_norm_learning_rates(lab: Lab) -> Outcome:
    """Train batch normalization at rates that kill without it, with and without gamma and beta."""
    study = "batch-norm-learning-rates"
    trained = lab.run(study, Extent(seeds=_SEEDS, steps=600))
    values = values_of(trained)
    wide = lab.run(study, Extent(seeds=2, steps=600), only=("BN, 0.5",), precision="float64")
    values["float64: bias"] = [float(np.abs(biases_of(run)[0]).max()) for run in wide.runs["BN, 0.5"]]
    normalized = ("BN, 0.5", "BN, 0.05", "BN, 0.01")
    values["float32: bias"] = largest(values, [f"{name}: bias" for name in normalized])
    values |= _textbook_losses(trained)
    pictures = [
        five_panels(
            _slug(name), f"{name}, batch normalization", lab.record(trained.runs[name][0], trained.data)
        )
        for name in normalized
    ]
    return Outcome(study=study, values=values, pictures=tuple(pictures))


def _textbook_losses(trained: Trained) -> dict[str, list[float]]:
    """Return for each run at 0.5 whether the textbook loss of the held-back examples is NaN, and whether ours is."""
    fold = trained.data.validation
    textbook, stable = [], []
    for run in trained.runs["BN, 0.5"]:
        logits = _logits(run, fold.inputs)
        textbook.append(float(np.isnan(textbook_cross_entropy(logits, fold.targets))))
        stable.append(float(np.isnan(stable_cross_entropy(logits, fold.targets))))
    return {"textbook loss is NaN": textbook, "stable loss is NaN": stable}


def _logits(run: Run, inputs: Array) -> Array:
    """Return the logits (N, C) of a network with one normalized hidden layer, in evaluation mode."""
    hidden, output = run.network.views(run.final.parameters[None])
    statistics = run.network.running_views(run.final.running[None])[0]
    z = inputs @ hidden.w[0] + hidden.b[0]
    if statistics is not None and run.network.blocks[0].norm is not None:
        run.network.blocks[0].norm.evaluate(z[None], statistics)
    logits: Array = np.maximum(z, 0) @ output.w[0] + output.b[0]
    return logits


def elu_selu_learning_rates(lab: Lab) -> Outcome:
    """Compare ELU and SELU with ReLU and LeakyReLU, at a rate that fails and at one that trains."""
    study = "elu-selu-learning-rates"
    trained = lab.run(study, Extent(seeds=_SEEDS, steps=600))
    values = values_of(trained)
    shown = ("ELU, 0.01", "SELU, 0.01", "ELU, 0.001", "SELU, 0.001")
    pictures = [
        five_panels(_slug(name), name, lab.record(trained.runs[name][0], trained.data)) for name in shown
    ]
    return Outcome(study=study, values=values, pictures=tuple(pictures))


def activations_300_epochs(lab: Lab) -> Outcome:
    """Train five activations for 300 epochs: their final levels, and whether their order exceeds noise."""
    study = "activations-300-epochs"
    trained = lab.run(study, Extent(seeds=1, is_curve=True))
    reached = {
        name: [held_back(run, trained.data).accuracy or 0.0 for run in runs]
        for name, runs in trained.runs.items()
    }
    values: dict[str, list[float]] = {f"{name}: held-back accuracy": found for name, found in reached.items()}
    wide = {name: found for name, found in reached.items() if name.endswith("100 units")}
    means = [float(np.mean(found)) for found in wide.values()]
    values["level"] = means
    leaky, normalized = wide["LeakyReLU, 100 units"], wide["BN + ReLU, 100 units"]
    values["order"] = [100 * (one - other) for one, other in zip(leaky, normalized, strict=True)]
    series = [
        ChartSeries(name=name, points=(over_seeds(place, found),), style="dots")
        for place, (name, found) in enumerate(reached.items())
    ]
    curves = [
        curve(name, [epoch.training_loss for epoch in runs[0].epochs], first=1)
        for name, runs in trained.runs.items()
    ]
    pictures = charts(
        "epochs-300",
        "After 300 epochs",
        "Accuracy on the held-back images in the end, the median and the range of the seeds; and training loss.",
        {
            "In the end": chart(("configuration", "held-back accuracy"), series),
            "By epoch": chart(("epoch", "training loss"), curves, ("linear", "log")),
        },
    )
    return Outcome(study=study, values=values, pictures=(pictures,))


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())
