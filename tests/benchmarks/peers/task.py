"""What a peer searches, as a file of JSON, and the trials that it writes as another."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]
"""Training inputs (N, I) and classes (N,), validation inputs (M, I) and classes (M,)."""


@final
@dataclass(frozen=True, kw_only=True)
class PeerTask:
    """A search: a budget of `trials`, each a network with one hidden layer that SGD trains for `epochs`.

    `data` is the path of an `.npz` file. `storage` is the URL of a database, None to keep trials in memory. Both ranges
    are sampled on a log scale; the decay is the factor of the weights in their gradient.
    """

    data: str
    trials: int
    epochs: int
    hidden: int
    batch_size: int
    learning_rate: tuple[float, float]
    weight_decay: tuple[float, float]
    seed: int
    storage: str | None = None

    def arrays(self) -> Arrays:
        """Return the data."""
        with np.load(self.data) as stored:
            return (
                stored["training_inputs"],
                stored["training_targets"],
                stored["validation_inputs"],
                stored["validation_targets"],
            )


@final
@dataclass(frozen=True, kw_only=True)
class PeerTrial:
    """A trial that has ended: its times in seconds since 1970, its epochs, and its accuracy unless it was pruned."""

    started_s: float
    ended_s: float
    epochs: int
    accuracy: float | None


def write_task(task: PeerTask, path: Path) -> None:
    """Write the file that a peer reads."""
    path.write_text(json.dumps(asdict(task)), encoding="utf-8")


def given_task() -> PeerTask:
    """Return the task whose file the command line names first."""
    fields = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name in ("learning_rate", "weight_decay"):
        fields[name] = tuple(fields[name])
    return PeerTask(**fields)


def write_trials(trials: Sequence[PeerTrial]) -> None:
    """Write the trials to the file that the command line names second."""
    Path(sys.argv[2]).write_text(json.dumps([asdict(trial) for trial in trials]), encoding="utf-8")


def read_trials(path: Path) -> tuple[PeerTrial, ...]:
    """Return the trials that a peer wrote."""
    return tuple(PeerTrial(**fields) for fields in json.loads(path.read_text(encoding="utf-8")))
