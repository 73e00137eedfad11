"""The network of the peers that train with PyTorch."""

from collections.abc import Iterator

import torch
from torch import nn

from tests.benchmarks.peers.task import Arrays, PeerTask


def accuracies(task: PeerTask, arrays: Arrays, *, rate: float, decay: float) -> Iterator[float]:
    """Train a network of the task by plain SGD; yield its validation accuracy, 0 to 1, after each epoch."""
    torch.set_num_threads(1)
    x, y, validation_x, validation_y = (torch.tensor(array) for array in arrays)
    model = nn.Sequential(
        nn.Linear(x.shape[1], task.hidden), nn.ReLU(), nn.Linear(task.hidden, int(y.max()) + 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, weight_decay=decay)
    for _ in range(task.epochs):
        for rows in torch.randperm(len(x)).split(task.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            hits = model(validation_x).argmax(dim=1) == validation_y
        yield hits.float().mean().item()
