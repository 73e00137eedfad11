"""Samples: what the three looks at a step of k trials come to, one record a trial."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.records import LayerSample, Sample
from hpsearch.training.measurements import BackwardStatistics, ForwardStatistics, UpdateStatistics

_OF_A_LAYER: Final = (
    "dead_share",
    "silent_share",
    "saturated_share",
    "gradient_norm",
    "weight_norm",
    "update_norm",
)
_OF_A_TRIAL: Final = (
    "loss",
    "logit_max",
    "predicted_decrease",
    "accuracy",
    "top_share",
    "output_range",
    "gradient_cosine",
    "coherence",
    "actual_decrease",
    "evaluation_loss",
)


def samples_of(
    ahead: ForwardStatistics,
    behind: BackwardStatistics,
    update: UpdateStatistics,
    *,
    losses: Array,
    steps: Sequence[int],
) -> Iterator[Sample]:
    """Yield the samples of k trials out of three looks at the same rows.

    `losses` (k,) are the minibatch means in float64, `steps` the trials' own.
    """
    of_trials = _numbers_of_trials(ahead, behind, update, losses).tolist()
    of_layers = _numbers_of_layers(ahead, behind, update).tolist()
    for step, own, layers in zip(steps, of_trials, of_layers, strict=True):
        yield Sample(
            step=step,
            layers=tuple(LayerSample(**dict(zip(_OF_A_LAYER, layer, strict=True))) for layer in layers),
            **dict(zip(_OF_A_TRIAL, own, strict=True)),
        )


def _numbers_of_layers(
    ahead: ForwardStatistics, behind: BackwardStatistics, update: UpdateStatistics
) -> Array:
    """Return what is measured of each layer, (k, L, 6) as in `_OF_A_LAYER`; the output layer has no shares of units."""
    of_layers = np.zeros((*behind.weight_norms.shape, len(_OF_A_LAYER)))
    hidden = of_layers[:, :-1]
    hidden[:, :, 0] = ahead.dead_shares
    hidden[:, :, 1] = ahead.silent_shares
    hidden[:, :, 2] = ahead.saturated_shares
    np.divide(behind.gradient_norms, behind.scales[:, None], out=of_layers[:, :, 3])
    of_layers[:, :, 4] = behind.weight_norms
    of_layers[:, :, 5] = update.update_norms
    return of_layers


def _numbers_of_trials(
    ahead: ForwardStatistics, behind: BackwardStatistics, update: UpdateStatistics, losses: Array
) -> Array:
    """Return what is measured of each trial, (k, 10) as in `_OF_A_TRIAL`."""
    of_trials = np.empty((len(losses), len(_OF_A_TRIAL)))
    columns = (
        losses,
        ahead.logit_max,
        update.predicted_decrease / behind.scales,
        ahead.accuracy,
        ahead.top_share,
        ahead.output_range,
        behind.cosine,
        behind.coherence,
        update.actual_decrease,
        update.evaluation_loss,
    )
    for place, column in enumerate(columns):
        of_trials[:, place] = column
    return of_trials
