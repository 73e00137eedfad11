"""Training troubles, each made on purpose, and whether its verdict identifies it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from hpsearch.errors import HpsearchError
from hpsearch.nn.arrays import Array
from hpsearch.reproduction.charts import ChartPoint, ChartSeries, Picture, chart, charts, curve, smoothed
from hpsearch.reproduction.experiments.measures import (
    LARGEST_LOGIT,
    STABLE,
    TEXTBOOK,
    binary_loss,
    breaking_logit,
    sigmoid_of,
    values_of,
)
from hpsearch.reproduction.laboratory import Extent, Lab, Outcome, Run, Trained, accuracy_on, with_few
from hpsearch.study.configurations import fixed_spec
from hpsearch.study.reader import parse_study
from hpsearch.study.spec import Precision
from hpsearch.verdicts import Cause
from hpsearch.worker.preparation import prepare_study
from hpsearch.worker.trial_diagnosis import diagnose_configuration

_REACHED: Final = 0.85
_NEIGHBOURS: Final = 20

MISFITS: Final = (
    'name = "loss"\ndata.source = "diabetes"\nmodel.loss = "cross_entropy"',
    'name = "minibatch"\ndata.source = "wine"\ntraining.batch_size = 100000',
    'name = "hidden"\ndata.source = "wine"\nmodel.hidden = [16, 0]',
)
"""Studies whose parts are incompatible with each other or their data."""

NAMED: Final[Mapping[str, Mapping[str, tuple[Cause, ...]]]] = {
    "training-troubles": {
        "no trouble": (Cause.HEALTHY,),
        "rate 1e9": (Cause.DIVERGED_LR, Cause.EXPLODING),
        "rate 1e-7": (Cause.LR_TOO_LOW,),
        "dead ReLU": (Cause.DEAD_RELU_TOTAL, Cause.GRAD_REDUCTION_SUM),
        "weights all 0": (Cause.SYMMETRIC_INIT,),
        "weights too small for the depth": (Cause.VANISHING_GRAD,),
        "deep sigmoid": (Cause.VANISHING_GRAD,),
        "saturated tanh": (Cause.SATURATED,),
        "weight decay 1": (Cause.WD_DOMINATES,),
        "ReLU before cross-entropy": (Cause.WRONG_LOSS_PAIR, Cause.LOG_ZERO),
    },
    "integer-inputs-255": {"x // 255": (Cause.INPUT_DEGENERATE,)},
    "integer-inputs-256": {"x // 256": (Cause.INPUT_DEGENERATE,)},
    "integer-inputs-100": {"x // 100": (Cause.HEALTHY,)},
    "labels-shuffled-apart": {"labels shuffled apart": (Cause.LABELS_UNRELATED,)},
    "validation-shuffled-apart": {"validation labels shuffled apart": (Cause.VAL_MISALIGNED,)},
    "overfitting-unnoticed": {"without early stopping": (Cause.OVERFIT,)},
    "wrong-output-in-regression": {
        "identity": (Cause.HEALTHY,),
        "sigmoid": (Cause.OUTPUT_RANGE,),
        "ReLU": (Cause.HEALTHY,),
    },
}
"""The verdicts that identify each trouble, by study and configuration."""


def named(lab: Lab, study: str) -> tuple[dict[str, list[float]], list[str]]:
    """Return for each configuration of a study whether diagnosis identifies its trouble (1 or 0), and its verdict text.

    Like `hpsearch diagnose`, it evaluates a few of the held-back examples instead of all.
    """
    values, lines = {}, []
    spec = lab.study(study)
    for name, causes in NAMED[study].items():
        fixed = replace(fixed_spec(spec, name, ()), search=(), configurations=())
        prepared = lab.prepare(fixed)
        found = diagnose_configuration(replace(prepared, data=with_few(prepared.data))).verdict.primary
        values[f"{name}: named"] = [float(found.cause in causes)]
        lines.append(f"{name}: {found.cause} (confidence {found.confidence:.0%}). {found.remedy}")
    return values, lines


def training_troubles(lab: Lab) -> Outcome:
    """Diagnose ten configurations, nine with a trouble, and find where textbook formulas break."""
    study = "training-troubles"
    values, lines = named(lab, study)
    values["all named"] = [float(np.mean([found[0] for found in values.values()]))]
    values |= _arithmetic()
    refusals = [refusal(misfit) for misfit in MISFITS]
    values["misfits refused"] = [float(bool(words)) for words in refusals]
    return Outcome(
        study=study,
        values=values,
        pictures=(_broken_losses(),),
        lines={"What diagnosis finds": lines, "What is refused before training": refusals},
    )


def refusal(misfit: str) -> str:
    """Return the message with which a study, as TOML, is refused before training; empty if it is accepted."""
    try:
        prepare_study(parse_study(misfit, source="misfit.toml"))
    except HpsearchError as error:
        return " ".join(str(error).split())
    return ""


def _arithmetic() -> dict[str, list[float]]:
    zero = np.zeros(1)
    with np.errstate(all="ignore"):
        product = float((zero * np.log(zero))[0])
    return {
        "textbook breaks, float32": [breaking_logit(TEXTBOOK, "float32")],
        "textbook breaks, float64": [breaking_logit(TEXTBOOK, "float64")],
        "stable breaks, float32": [breaking_logit(STABLE, "float32")],
        "stable breaks, float64": [breaking_logit(STABLE, "float64")],
        "largest logit tried": [LARGEST_LOGIT],
        "0 log 0 is NaN": [float(np.isnan(product))],
        "sigmoid(-500), float32": [sigmoid_of(-500.0, "float32")],
        "sigmoid(-500), float64": [sigmoid_of(-500.0, "float64")],
    }


def _broken_losses() -> Picture:
    logits = np.linspace(0.0, 45.0, 181)
    precisions: tuple[Precision, ...] = ("float32", "float64")
    series = [
        ChartSeries(
            name=f"{word}, {precision}",
            points=tuple(ChartPoint(x=z, y=binary_loss(loss, z, precision)) for z in logits.tolist()),
        )
        for word, loss in (("textbook", TEXTBOOK), ("stable", STABLE))
        for precision in precisions
    ]
    data = chart(("logit of an example whose target is 0", "loss"), series)
    caption = (
        "Binary cross-entropy as -log(1 - sigmoid(z)), and as softplus(z). The textbook's line ends at the first "
        "logarithm of 0."
    )
    return charts("broken-losses", "Where the textbook's loss breaks", caption, {"": data})


def huge_learning_rate(lab: Lab) -> Outcome:
    """Train two layers of 1,000 units at a rate of 1e9: NaN, and the accuracy of always predicting the first class."""
    study = "huge-learning-rate"
    trained = lab.run(study, Extent(seeds=1, steps=20, is_curve=True))
    (runs,) = trained.runs.values()
    folds = {"training": trained.data.training, "held-back": trained.data.validation}
    values: dict[str, list[float]] = {"NaN": [float(run.nan_step is not None) for run in runs]}
    for word, fold in folds.items():
        first = float((fold.targets == 0).mean())
        reached = [accuracy_on(run, fold) for run in runs]
        values[f"{word} accuracy"] = reached
        values[f"{word} off class 0"] = [abs(one - first) for one in reached]
    return Outcome(study=study, values=values)


def learning_rate_scale(lab: Lab) -> Outcome:
    """Train at three rates with averaged gradients: one without effect, a safe one, and one that learns."""
    study = "learning-rate-scale"
    trained = lab.run(study, Extent(seeds=3))
    values = values_of(trained)
    values["fall of the loss at 1e-7"] = [
        float(run.loss[: len(run.loss) // 10].mean()) - run.last_loss for run in trained.runs["rate 1e-7"]
    ]
    return Outcome(study=study, values=values, pictures=(_losses(study, "Three learning rates", trained),))


def losses(lab: Lab) -> Outcome:
    """Compare the steps that cross-entropy and squared error need until 85 percent of the answers are right."""
    study = "losses"
    trained = lab.run(study, Extent(seeds=3, is_curve=True))
    steps = {name: [steps_to(run.accuracy, _REACHED) for run in runs] for name, runs in trained.runs.items()}
    first = steps["cross-entropy of softmax"]
    values: dict[str, list[float]] = {f"{name}: steps": found for name, found in steps.items()}
    for name in ("squared error of softmax", "squared error of sigmoid", "squared error"):
        values[f"{name}: times slower"] = list(map(times_slower, steps[name], first))
        values[f"{name}: slower than"] = [
            len(run.accuracy) / other for run, other in zip(trained.runs[name], first, strict=True)
        ]
    series = [curve(name, smoothed(runs[0].accuracy, _NEIGHBOURS)) for name, runs in trained.runs.items()]
    caption = "Of the first seed, the mean of 20 neighbouring minibatches."
    data = chart(("step", "training accuracy"), series)
    return Outcome(
        study=study,
        values=values,
        pictures=(charts(study, "Training accuracy by loss", caption, {"": data}),),
    )


def steps_to(accuracy: Array, share: float) -> float:
    """Return the steps until the mean accuracy of 20 minibatches first reaches `share`; infinity if it never does."""
    means = smoothed(accuracy, _NEIGHBOURS)
    reached = np.flatnonzero(means >= share)
    return float(reached[0] + min(_NEIGHBOURS, len(accuracy))) if len(reached) else float("inf")


def times_slower(steps: float, others: float) -> float:
    """Return the ratio `steps` / `others`; infinity if only `steps` is infinite, NaN if `others` is."""
    return math.nan if math.isinf(others) else steps / others


def integer_inputs_255(lab: Lab) -> Outcome:
    """Divide the inputs by 255 as whole numbers."""
    return _faulty(lab, "integer-inputs-255")


def integer_inputs_256(lab: Lab) -> Outcome:
    """Divide the inputs by 256 as whole numbers."""
    return _faulty(lab, "integer-inputs-256")


def integer_inputs_100(lab: Lab) -> Outcome:
    """Divide the inputs by 100 as whole numbers."""
    return _faulty(lab, "integer-inputs-100")


def labels_shuffled_apart(lab: Lab) -> Outcome:
    """Shuffle the training labels separately from their images."""
    return _faulty(lab, "labels-shuffled-apart")


def validation_shuffled_apart(lab: Lab) -> Outcome:
    """Shuffle the validation labels separately from their images."""
    return _faulty(lab, "validation-shuffled-apart")


def _faulty(lab: Lab, study: str) -> Outcome:
    """Train and diagnose a study whose data are wrong on purpose."""
    trained = lab.run(study, Extent(seeds=2, steps=1200, is_curve=True))
    (runs,) = trained.runs.values()
    values, lines = named(lab, study)
    values["training accuracy"] = [run.last_accuracy for run in runs]
    values["training loss"] = [run.last_loss for run in runs]
    values["held-back accuracy"] = [accuracy_on(run, trained.data.validation) for run in runs]
    return Outcome(study=study, values=values, lines={"What diagnosis finds": lines})


def overfitting_unnoticed(lab: Lab) -> Outcome:
    """Train on 500 images for 200 epochs: training loss keeps falling while the held-back loss rises."""
    study = "overfitting-unnoticed"
    trained = lab.run(study, Extent(seeds=3, is_curve=True))
    (runs,) = trained.runs.values()
    values, lines = named(lab, study)
    values["training loss"] = [run.last_loss for run in runs]
    values["rise of the held-back loss"] = [_rise(run) for run in runs]
    shown = [
        curve("training", [epoch.training_loss for epoch in runs[0].epochs], first=1),
        curve("held back", [epoch.validation_loss for epoch in runs[0].epochs], first=1),
    ]
    data = chart(("epoch", "loss"), shown, ("linear", "log"))
    picture = charts(study, "Loss by epoch", "Of the first seed.", {"": data})
    return Outcome(study=study, values=values, pictures=(picture,), lines={"What diagnosis finds": lines})


def _rise(run: Run) -> float:
    """Return the ratio of the final to the smallest held-back loss; NaN without an epoch."""
    found = [epoch.validation_loss for epoch in run.epochs]
    return found[-1] / min(found) if found else float("nan")


def wrong_output_in_regression(lab: Lab) -> Outcome:
    """Train on targets from 25 to 346 with three output activations, of which sigmoid cannot produce them."""
    study = "wrong-output-in-regression"
    trained = lab.run(study, Extent(seeds=3))
    values, lines = named(lab, study)
    for name, runs in trained.runs.items():
        values[f"{name}: loss"] = [run.last_loss for run in runs]
    values["sigmoid over identity"] = [
        one / other for one, other in zip(values["sigmoid: loss"], values["identity: loss"], strict=True)
    ]
    picture = _losses(study, "Training loss by output activation", trained)
    return Outcome(study=study, values=values, pictures=(picture,), lines={"What diagnosis finds": lines})


def _losses(study: str, title: str, trained: Trained) -> Picture:
    series = [curve(name, _loss_line(runs)) for name, runs in trained.runs.items()]
    data = chart(("step", "training loss"), series, ("linear", "log"))
    return charts(study, title, "Of the first seed, the mean of 20 neighbouring minibatches.", {"": data})


def _loss_line(runs: Sequence[Run]) -> Array:
    return smoothed(runs[0].loss, _NEIGHBOURS)
