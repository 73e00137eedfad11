"""Which hidden units fired for the last time, and when."""

from dataclasses import dataclass
from typing import final

from hpsearch.training.evaluation import evaluate
from hpsearch.training.measurements import SILENT_EXAMPLES
from hpsearch.training.recording import Recording


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class LayerUnits:
    """The units of one hidden layer (counted from 1), `deaths` by unit: the step of the last firing, -1 for never.

    `never_positive` is the share of units that are positive for none of the `held_back` validation examples at the end.
    """

    layer: int
    units: int
    deaths: dict[int, int]
    never_positive: float
    held_back: int


def layer_units(recording: Recording) -> tuple[LayerUnits, ...]:
    """Return what became of the units of each hidden layer."""
    fold = recording.subject.data.validation
    shares = evaluate(recording.network, recording.final, fold).never_positive
    return tuple(
        LayerUnits(
            layer=layer + 1,
            units=len(last),
            deaths=deaths(recording, layer),
            never_positive=share,
            held_back=len(fold.inputs),
        )
        for layer, (last, share) in enumerate(zip(recording.last_fired, shares, strict=True))
    )


def deaths(recording: Recording, layer: int) -> dict[int, int]:
    """Return the step of the last firing of each unit that was silent to the end, or until numbers were not finite.

    Silent is a unit that did not fire in the last 1,000 examples or more, or in the second half of a run of fewer
    than 2,000, which dying trials often are. NaN does not fire and is no death.
    """
    end = recording.steps if recording.nonfinite is None else recording.nonfinite.step
    patience = min(-(-SILENT_EXAMPLES // recording.subject.configuration.training.batch_size), end // 2)
    found = enumerate(recording.last_fired[layer].tolist())
    return {unit: step for unit, step in found if step + patience < end}
