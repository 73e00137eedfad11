"""Verdicts on whole programs in PyTorch, and the cost of watching: `python -m tests.benchmarks.programs --seeds 3`."""

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator

import torch
from torch import nn

import hpsearch
from hpsearch.training.sampling_schedule import is_probe, next_sample_step
from tests.objective.torch_programs import BATCH, HEALTHY, ILL, Convolutional, digits

STEPS, LONG = 700, 10_000
"""The steps that are measured, and those of the training that the cost is given for."""


def verdicts(seeds: int) -> Iterator[str]:
    """Yield a row of the table for each program."""
    yield "| program | verdicts | as expected |"
    yield "| --- | --- | --- |"
    for name, (program, expected) in ILL.items():
        found = _causes(program, seeds)
        yield f"| {name} | {', '.join(found)} | {sum(cause in expected for cause in found)} of {seeds} |"
    for name, program in HEALTHY.items():
        found = _causes(program, seeds)
        yield f"| {name} | {', '.join(found)} | {sum(cause == 'healthy' for cause in found)} of {seeds} |"


def _causes(program: object, seeds: int) -> list[str]:
    assert callable(program)
    found = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        found.append(str(program().verdict.cause))
    return found


class Loop:
    """A training of a small CNN, watched or not."""

    def __init__(self, *, is_watched: bool) -> None:
        torch.manual_seed(0)
        self._model: nn.Module = Convolutional()
        self._optimizer = torch.optim.SGD(self._model.parameters(), lr=0.05)
        self._monitor = hpsearch.watch(self._model, self._optimizer) if is_watched else None
        self._x, self._y = digits()

    def step(self, place: int) -> tuple[float, float]:
        """Train one step; return its seconds of processor time, and those of the monitor's own call."""
        first = place * BATCH % (len(self._x) - BATCH)
        x, y = self._x[first : first + BATCH], self._y[first : first + BATCH]
        began = time.thread_time()
        self._optimizer.zero_grad()
        z = self._model(x)
        loss = nn.functional.cross_entropy(z, y)
        loss.backward()
        self._optimizer.step()
        trained = time.thread_time()
        if self._monitor is not None:
            self._monitor.step(loss, outputs=z, targets=y)
        ended = time.thread_time()
        return ended - began, ended - trained


def overhead() -> Iterator[str]:
    """Yield the cost of watching a small CNN in a training of 10,000 steps, from medians of each kind of step.

    Between samples there are no hooks, so the cost is that of the call alone.
    """
    torch.set_num_threads(1)
    plain, watched = Loop(is_watched=False), Loop(is_watched=True)
    usual: list[float] = []
    kinds: dict[str, list[float]] = {"unsampled": [], "sampled": [], "probed": []}
    for place in range(STEPS):
        usual.append(plain.step(place)[0])
        whole, own = watched.step(place)
        kinds[_kind(place)].append(own if _kind(place) == "unsampled" else whole)
    base = statistics.median(usual)
    extra = {
        kind: statistics.median(times) - (0.0 if kind == "unsampled" else base)
        for kind, times in kinds.items()
    }
    counts = Counter(_kind(place) for place in range(LONG))
    for kind, seconds in extra.items():
        yield f"{kind}: {seconds * 1e6:+.0f} us on {base * 1e6:.0f} us, {counts[kind]} of {LONG} steps"
    yield f"in all: {sum(extra[kind] * count for kind, count in counts.items()) / (base * LONG):.2%}"


def _kind(place: int) -> str:
    is_sampled = place == 0 or next_sample_step(place - 1) == place
    return "unsampled" if not is_sampled else "probed" if is_probe(place) else "sampled"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cost", action="store_true", help="measure the cost alone")
    options = parser.parse_args()
    for line in overhead() if options.cost else verdicts(options.seeds):
        sys.stdout.write(f"{line}\n")
