"""Optuna with a network of PyTorch: `python -m tests.benchmarks.peers.optuna_torch TASK RESULT`.

The data is in memory as tensors, and minibatches are cut out of them: a `DataLoader` would be several times slower.
"""

from collections.abc import Iterator

import torch

from tests.benchmarks.peers.optuna_study import optimized
from tests.benchmarks.peers.task import PeerTask, PeerTrial, given_task, write_trials
from tests.benchmarks.peers.torch_network import accuracies


def search(task: PeerTask) -> list[PeerTrial]:
    """Search, and return the trials."""
    arrays = task.arrays()

    def train(rate: float, decay: float, number: int) -> Iterator[float]:
        torch.manual_seed(number)
        return accuracies(task, arrays, rate=rate, decay=decay)

    return optimized(task, train)


if __name__ == "__main__":
    write_trials(search(given_task()))
