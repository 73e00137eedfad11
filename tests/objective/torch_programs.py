"""Programs in PyTorch for tests of the monitor: small networks on digits, ill and healthy."""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest


def require_torch() -> None:
    """Skip the module without torch; let its import fail if HPSEARCH_REQUIRE_TORCH is 1."""
    if os.environ.get("HPSEARCH_REQUIRE_TORCH") != "1":
        pytest.importorskip("torch", reason="the monitor of PyTorch models needs torch")


require_torch()

import torch  # noqa: E402 # it may be missing
from sklearn.datasets import load_diabetes, load_digits  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import hpsearch  # noqa: E402

STEPS: Final = 400
BATCH: Final = 100


def digits() -> tuple[Any, Any]:
    """Return the inputs (1797, 64) in 0..1 and the labels of scikit-learn's digits."""
    bunch = load_digits()
    return torch.tensor(bunch.data / 16, dtype=torch.float32), torch.tensor(bunch.target)


def perceptron(*, depth: int = 2, activation: Callable[[], Any] = nn.ReLU, width: int = 64) -> Any:
    """Return a multilayer perceptron for digits."""
    layers: list[Any] = []
    for place in range(depth):
        layers += [nn.Linear(64 if place == 0 else width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def train(
    model: Any,
    optimizer: Any = None,
    *,
    rate: float = 0.1,
    loss_of: Callable[..., Any] = F.cross_entropy,
    data: tuple[Any, Any] | None = None,
    steps: int = STEPS,
    zeroes: bool = True,
    clips: float | None = None,
    batch: int = BATCH,
    epochs: bool = False,
    seen: list[Any] | None = None,
) -> Any:
    """Train a model on minibatches of `data`, digits by default, and return its monitor."""
    x, y = digits() if data is None else data
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    news: list[Any] = [] if seen is None else seen
    monitor = hpsearch.watch(model, optimizer, steps=steps, on_verdict=news.append)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        chosen = torch.randint(0, len(x), (batch,), generator=generator)
        if zeroes:
            optimizer.zero_grad()
        z = model(x[chosen])
        loss = loss_of(z, y[chosen])
        loss.backward()
        if clips is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clips)
        optimizer.step()
        monitor.step(loss, outputs=z, targets=y[chosen])
        if epochs and step % 20 == 19:
            monitor.end_epoch()
    return monitor


class Recurrent(nn.Module):
    """A recurrent network that reads digits row by row."""

    def __init__(self, kind: Any, hidden: int = 32, **options: Any) -> None:
        super().__init__()
        self.cells = kind(8, hidden, batch_first=True, **options)
        self.out = nn.Linear(hidden, 10)

    def forward(self, x: Any) -> Any:
        """Return logits (B, 10) of x (B, 64)."""
        return self.out(self.cells(x.view(-1, 8, 8))[0][:, -1])


class Transformer(nn.Module):
    """One encoder layer over the rows of digits."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.places = nn.Parameter(torch.randn(8, 32) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.out = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        """Return logits (B, 10) of x (B, 64)."""
        return self.out(self.encoder(self.embed(x.view(-1, 8, 8)) + self.places).mean(dim=1))


class Convolutional(nn.Module):
    """A small convolutional network with functional activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 16, 3, padding=1)
        self.out = nn.Linear(16 * 4, 10)

    def forward(self, x: Any) -> Any:
        """Return logits (B, 10) of x (B, 64)."""
        h = F.max_pool2d(F.relu(self.first(x.view(-1, 1, 8, 8))), 2)
        return self.out(F.max_pool2d(F.relu(self.second(h)), 2).flatten(1))


class Residual(nn.Module):
    """A network of residual blocks with batch normalization."""

    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(64, 32)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(inplace=True)) for _ in range(depth)
        )
        self.out = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        """Return logits (B, 10) of x (B, 64)."""
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h)
        return self.out(h)


class Text(nn.Module):
    """Mean embeddings of tokens: the pixels of digits, in 17 shades."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(17 * 64, 32)
        self.out = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 10))

    def forward(self, x: Any) -> Any:
        """Return logits (B, 10) of x (B, 64)."""
        return self.out(self.embed((x * 16).long() + 17 * torch.arange(64)).mean(dim=1))


class Blind(nn.Module):
    """A network whose first layers get no gradient, by mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Tanh())
        self.out = nn.Linear(1, 10)

    def forward(self, x: Any) -> Any:
        """Return logits (B, 10) of x (B, 64)."""
        return self.out(self.body(x).detach())


def shuffled() -> tuple[Any, Any]:
    """Return digits with labels in random order."""
    x, y = digits()
    return x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(2))]


def exploding() -> Any:
    """Train a recurrent network without clipping whose states grow from row to row."""
    model = Recurrent(nn.RNN, nonlinearity="relu")
    with torch.no_grad():
        model.cells.weight_hh_l0.mul_(4)
    return train(model, rate=1.0)


def frozen() -> Any:
    """Train a head on a body that is frozen by mistake and lets little through."""
    return train(Blind())


def unscaled() -> Any:
    """Train on pixels of 0 to 255, far from 0, with a rate for pixels of 0 to 1."""
    x, y = digits()
    return train(perceptron(), rate=0.1, data=(x * 255, y))


ILL: Final[Mapping[str, tuple[Callable[[], Any], set[str]]]] = {
    "dying ReLU": (lambda: train(perceptron(), rate=30.0), {"dead_relu_total", "diverged_lr"}),
    "exploding RNN": (exploding, {"diverged_lr", "exploding"}),
    "unscaled inputs": (unscaled, {"input_unscaled"}),
    "shuffled labels": (lambda: train(perceptron(), rate=0.3, data=shuffled()), {"labels_unrelated"}),
    "shuffled labels, SGD at 0.1": (
        lambda: train(perceptron(), rate=0.1, data=shuffled()),
        {"labels_unrelated"},
    ),
    "shuffled labels, Adam at 0.001": (
        lambda: adam(perceptron(), rate=1e-3, data=shuffled()),
        {"labels_unrelated"},
    ),
    "softmax before cross-entropy": (
        lambda: train(nn.Sequential(*perceptron(), nn.Softmax(dim=1))),
        {"wrong_loss_pair"},
    ),
    "softmax inside the loss": (
        lambda: train(perceptron(), loss_of=lambda z, y: F.cross_entropy(F.softmax(z, dim=1), y)),
        {"wrong_loss_pair"},
    ),
    "softmax over the examples": (
        lambda: train(nn.Sequential(*perceptron(), nn.LogSoftmax(dim=0)), loss_of=F.nll_loss),
        {"wrong_loss_pair"},
    ),
    "zero_grad forgotten": (lambda: train(perceptron(), zeroes=False), {"stale_gradients"}),
    "frozen layers": (frozen, {"untrained_layers"}),
    "learning rate too low": (lambda: train(perceptron(), rate=1e-6), {"lr_too_low"}),
    "learning rate too high": (
        lambda: train(perceptron(activation=nn.Tanh), rate=30.0),
        {"saturated", "lr_too_high", "diverged_lr", "exploding"},
    ),
}
"""Ill programs -> the verdicts that name their fault."""


def autoencoder() -> Any:
    """Train an autoencoder with a bottleneck of eight."""
    x, _ = digits()
    model = nn.Sequential(
        nn.Linear(64, 32),
        nn.ReLU(),
        nn.Linear(32, 8),
        nn.ReLU(),
        nn.Linear(8, 32),
        nn.ReLU(),
        nn.Linear(32, 64),
    )
    return train(model, torch.optim.Adam(model.parameters(), 3e-3), loss_of=F.mse_loss, data=(x, x))


def regression() -> Any:
    """Train on a table with standardized targets."""
    bunch = load_diabetes()
    x = torch.tensor(bunch.data * math.sqrt(len(bunch.data)), dtype=torch.float32)
    y = torch.tensor((bunch.target - bunch.target.mean()) / bunch.target.std(), dtype=torch.float32)
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0))
    return train(model, torch.optim.Adam(model.parameters(), 1e-2), loss_of=F.mse_loss, data=(x, y))


def binary() -> Any:
    """Train on two classes with one output; at a rate of 0.1 the loss ends five times as high as at 1."""
    x, y = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.SiLU(), nn.Linear(32, 1), nn.Flatten(0))
    return train(model, loss_of=F.binary_cross_entropy_with_logits, data=(x, (y > 4).float()), rate=1.0)


def adam(model: Any, rate: float = 3e-3, **options: Any) -> Any:
    """Train with Adam."""
    return train(model, torch.optim.Adam(model.parameters(), lr=rate), **options)


def dropped() -> Any:
    """Return a perceptron with dropout."""
    return nn.Sequential(
        nn.Linear(64, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(64, 10),
    )


HEALTHY: Final[Mapping[str, Callable[[], Any]]] = {
    "perceptron": lambda: train(perceptron()),
    "CNN": lambda: adam(Convolutional()),
    "MLP with dropout": lambda: adam(dropped()),
    "LSTM": lambda: adam(Recurrent(nn.LSTM), rate=1e-2),
    "GRU with clipping": lambda: adam(Recurrent(nn.GRU), rate=1e-2, clips=1.0),
    "transformer": lambda: adam(Transformer()),
    "autoencoder": autoencoder,
    "residual with batch norm": lambda: adam(Residual()),
    "embeddings": lambda: adam(Text(), rate=1e-2),
    "regression": regression,
    "binary, one output": binary,
    "AdamW, ELU": lambda: train(
        model := perceptron(activation=nn.ELU), torch.optim.AdamW(model.parameters(), lr=1e-3)
    ),
    "label smoothing": lambda: adam(
        perceptron(), loss_of=lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1)
    ),
    "minibatches of 8": lambda: train(perceptron(), rate=0.1, batch=8),
    "deep tanh": lambda: train(perceptron(depth=4, activation=nn.Tanh), rate=0.1),
}
"""Healthy programs, which must get no other verdict."""
