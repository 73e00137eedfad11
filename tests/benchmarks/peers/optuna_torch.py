"""Optuna with a network of PyTorch: `python -m tests.benchmarks.peers.optuna_torch TASK RESULT`.

The data is in memory as tensors, and minibatches are cut out of them: a `DataLoader` would be several times slower.
"""

from collections.abc import Iterator

import torch
from torch import nn

from tests.benchmarks.peers.optuna_study import optimized
from tests.benchmarks.peers.task import PeerTask, PeerTrial, given_task, write_trials


def search(task: PeerTask) -> list[PeerTrial]:
    """Search, and return the trials."""
    torch.set_num_threads(1)
    x, y, validation_x, validation_y = map(torch.from_numpy, task.arrays())
    classes = int(y.max()) + 1

    def train(rate: float, decay: float, number: int) -> Iterator[float]:
        torch.manual_seed(number)
        model = nn.Sequential(nn.Linear(x.shape[1], task.hidden), nn.ReLU(), nn.Linear(task.hidden, classes))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
        for _ in range(task.epochs):
            for rows in torch.randperm(len(x)).split(task.batch_size):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                hits = model(validation_x).argmax(dim=1) == validation_y
            yield hits.float().mean().item()

    return optimized(task, train)


if __name__ == "__main__":
    write_trials(search(given_task()))
