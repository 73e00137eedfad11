"""Looks at the rows of a cohort whose time has come, at the three moments of a step that show something."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.training.measurements import (
    FLAT,
    BackwardStatistics,
    ForwardStatistics,
    SamplingContext,
    measure_backward,
    measure_forward,
    measure_update,
)
from hpsearch.training.memory import Memory
from hpsearch.training.row import Row
from hpsearch.training.samples import samples_of
from hpsearch.training.sampling_schedule import is_probe
from hpsearch.training.workspace import Lane, Workspace


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PendingSample:
    """A look at neighbouring rows of a lane, `first` to `last`, that is under way: what the forward pass showed."""

    first: int
    last: int
    part: Lane
    rows: Sequence[Row]
    probes: bool
    ahead: ForwardStatistics


@final
class TelemetrySampler:
    """Looks at the rows of one cohort, and remembers of each what the next look needs."""

    def __init__(self, network: Network, workspace: Workspace, *, activation: str, classifies: bool) -> None:
        self._outlook = SamplingContext(network=network, classifies=classifies, flat=FLAT.get(activation))
        self._workspace = workspace
        self.memory = Memory(network, rows=workspace.rows, dtype=workspace.dtype)

    def look_ahead(self, lane: Lane, rows: Sequence[Row]) -> list[PendingSample]:
        """Look at those of the lane's rows that are due, behind the forward pass."""
        looks = []
        for first, last in _due_stretches(rows):
            part, watched = self._workspace.part(lane, first, last), rows[first:last]
            kept = np.array([1 - row.configuration.model.dropout for row in watched])
            looks.append(
                PendingSample(
                    first=first,
                    last=last,
                    part=part,
                    rows=watched,
                    probes=is_probe(watched[0].age),
                    ahead=measure_forward(self._outlook, part, self.memory, kept),
                )
            )
        return looks

    def look_behind(self, looks: Sequence[PendingSample], scale: Array) -> list[BackwardStatistics]:
        """Look at the same rows behind the backward pass, whose gradients were multiplied by `scale` (k, 1, 1)."""
        return [
            measure_backward(
                self._outlook,
                look.part,
                self.memory,
                activity=look.ahead.activity,
                scales=scale[look.first : look.last, 0, 0],
            )
            for look in looks
        ]

    def note(
        self, looks: Sequence[PendingSample], behind: Sequence[BackwardStatistics], losses: Array
    ) -> list[int]:
        """Look at them behind the update, and give each row its sample; return their places in the cohort.

        `losses` (k,) are the lane's minibatch means, float64.
        """
        for look, back in zip(looks, behind, strict=True):
            own = losses[look.first : look.last]
            update = measure_update(self._outlook, look.part, back, losses=own, probes=look.probes)
            steps = [row.age for row in look.rows]
            for row, sample in zip(
                look.rows, samples_of(look.ahead, back, update, losses=own, steps=steps), strict=True
            ):
                row.note(sample)
        return [place for look in looks for place in range(look.part.start, look.part.stop)]


def _due_stretches(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Return stretches (first, last) of neighbours that are all due, and all probed or none."""
    stretches: list[tuple[int, int]] = []
    probed: bool | None = None
    for place, row in enumerate(rows):
        if row.look_at > row.age:
            continue
        probes = is_probe(row.age)
        if stretches and stretches[-1][1] == place and probes == probed:
            stretches[-1] = (stretches[-1][0], place + 1)
        else:
            stretches.append((place, place + 1))
        probed = probes
    return stretches
