"""The monitor of a PyTorch model measures what the built-in network measures of itself."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from hpsearch.diagnosis.facts import TrialFacts
from hpsearch.diagnosis.programs import facts_of_program
from hpsearch.diagnosis.verdicts import judge
from hpsearch.nn.arrays import Array
from hpsearch.nn.network import Network
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import LayerSample, Sample, Telemetry
from hpsearch.training.examples import EpochOrders
from tests.objective.torch_programs import require_torch
from tests.training.cases import SEED, classification, cohort_of, configuration, regression

require_torch()

import torch  # noqa: E402 # it may be missing

from hpsearch.objective.torch import TorchMonitor  # noqa: E402

STEPS, BATCH, EXAMPLES = 60, 100, 1000


class BatchNorm(torch.nn.BatchNorm1d):
    """Batch normalization whose running variance is that of the minibatch, as in the built-in network.

    PyTorch keeps an estimate of the population's, which is 1 % larger.
    """

    def forward(self, x: Any) -> Any:
        """Return x normalized, by the minibatch in training and by running statistics in evaluation."""
        if not self.training:
            return super().forward(x)
        with torch.no_grad():
            self.running_mean.lerp_(x.mean(dim=0), 0.1)
            self.running_var.lerp_(x.var(dim=0, unbiased=False), 0.1)
        return torch.nn.functional.batch_norm(x, None, None, self.weight, self.bias, training=True)


ACTIVATIONS = {
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "elu": torch.nn.ELU,
    "selu": torch.nn.SELU,
    "leaky_relu": lambda: torch.nn.LeakyReLU(0.01),
    "gelu": lambda: torch.nn.GELU("tanh"),
    "silu": torch.nn.SiLU,
}
WAYS = [
    {"activation": "relu"},
    {"activation": "relu", "learning_rate": 30.0},
    {"activation": "tanh", "hidden": (6, 5)},
    {"activation": "tanh", "learning_rate": 2.0},
    {"activation": "elu"},
    {"activation": "selu", "learning_rate": 3.0},
    {"activation": "gelu"},
    {"activation": "silu"},
    {"activation": "leaky_relu"},
    {"activation": "relu", "batch_norm": True},
    {"activation": "relu", "optimizer": "adam", "learning_rate": 0.01},
    {"activation": "relu", "optimizer": "momentum", "learning_rate": 0.05},
    {"activation": "relu", "weight_decay": 0.1},
    {"activation": "relu", "learning_rate": 1e-6},
    {"activation": "relu", "loss": "mse"},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_every_number_of_a_sample_agrees(way: dict[str, Any]) -> None:
    """The same weights and minibatches through both networks give the same samples to 1e-5, and the same verdict."""
    chosen = configuration(
        **{
            "batch_size": BATCH,
            "precision": "float64",
            "epochs": 6,
            "learning_rate": 0.1,
            "hidden": (8,),
            **way,
        }
    )
    built_in, data = trained_here(chosen)
    watched = trained_in_torch(chosen)
    assert [sample.step for sample in watched.samples] == [sample.step for sample in built_in.samples]
    for own, sample in zip(watched.samples, built_in.samples, strict=True):
        assert_agrees(own, sample)
    assert watched.program is not None
    facts = facts_of_program(replace(watched.program, data=data, steps_planned=STEPS, steps_per_epoch=10))
    known = replace(facts, program=None, configuration=chosen)
    expected = judge(replace(built_in, epochs=[]), known)
    assert judge(watched, facts).cause in (expected.cause, *expected_early(watched, facts))


def expected_early(telemetry: Telemetry, facts: TrialFacts) -> set[str]:
    """Return the verdict that a loop without epochs gets and a trial without epochs does not."""
    return {"healthy"} if telemetry.samples[-1].loss < 0.9 * facts.chance_loss else set()


def assert_agrees(own: Sample, expected: Sample) -> None:
    """Fail unless all fields agree to 1e-5."""
    for field in fields(Sample):
        if field.name != "layers":
            assert_close(getattr(own, field.name), getattr(expected, field.name), field.name)
    assert len(own.layers) == len(expected.layers)
    for place, (layer, reference) in enumerate(zip(own.layers, expected.layers, strict=True)):
        for field in fields(LayerSample):
            name = f"layer {place}: {field.name}"
            assert_close(getattr(layer, field.name), getattr(reference, field.name), name)


def assert_close(number: float, expected: float, name: str) -> None:
    """Fail unless two numbers agree to 1e-5, or are both NaN."""
    assert number == pytest.approx(expected, rel=1e-5, abs=1e-7, nan_ok=True), name


def prepared(chosen: Configuration) -> Any:
    """Return the data of a configuration."""
    if chosen.model.loss == "mse":
        return regression(training=EXAMPLES, precision="float64")
    return classification(training=EXAMPLES, precision="float64")


def trained_here(chosen: Configuration) -> tuple[Telemetry, Any]:
    """Return the telemetry of the built-in network after STEPS, and the facts of its data."""
    from hpsearch.data.description import facts_of  # noqa: PLC0415 # next to its use

    data = prepared(chosen)
    cohort = cohort_of(data, [chosen])
    with np.errstate(all="ignore"):
        while cohort.age < STEPS:
            cohort._step()
    return cohort.telemetry(0), facts_of(data)


def trained_in_torch(chosen: Configuration) -> Telemetry:
    """Return the telemetry that the monitor has after the same steps of the same network."""
    data = prepared(chosen)
    cohort = cohort_of(data, [chosen])
    model = model_of(cohort.network, cohort.parameters(0), chosen)
    optimizer = optimizer_of(model, chosen)
    monitor = TorchMonitor(model, optimizer, steps=STEPS)
    x, y = torch.tensor(data.training.inputs), torch.tensor(data.training.targets)
    orders = EpochOrders(SEED, EXAMPLES, order="reshuffle")
    mean = torch.nn.functional.mse_loss if chosen.model.loss == "mse" else torch.nn.functional.cross_entropy
    for step in range(STEPS):
        epoch, place = divmod(step, EXAMPLES // BATCH)
        chosen_now = torch.tensor(orders.order(epoch)[place * BATCH : (place + 1) * BATCH])
        optimizer.zero_grad()
        z = model(x[chosen_now])
        loss = mean(z, y[chosen_now])
        loss.backward()
        optimizer.step()
        monitor.step(loss, outputs=z, targets=y[chosen_now])
    return monitor.telemetry


def model_of(network: Network, flat: Array, chosen: Configuration) -> Any:
    """Return the same network in PyTorch."""
    modules: list[Any] = []
    for block, own in zip(network.blocks, network.views(flat[None]), strict=True):
        dense = torch.nn.Linear(block.dense.inputs, block.dense.outputs, dtype=torch.float64)
        with torch.no_grad():
            dense.weight.copy_(torch.tensor(own.w[0].T))
            dense.bias.copy_(torch.tensor(own.b[0].reshape(-1)))
        modules.append(dense)
        if block is not network.blocks[-1]:
            if block.norm is not None:
                modules.append(BatchNorm(block.dense.outputs, dtype=torch.float64))
            modules.append(ACTIVATIONS[chosen.model.activation]())
    return torch.nn.Sequential(*modules)


def optimizer_of(model: Any, chosen: Configuration) -> Any:
    """Return the same optimizer in PyTorch; biases do not decay."""
    training = chosen.training
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    if training.optimizer == "adam":
        return torch.optim.Adam(groups, lr=training.learning_rate)
    momentum = training.momentum if training.optimizer == "momentum" else 0.0
    return torch.optim.SGD(groups, lr=training.learning_rate, momentum=momentum)


def test_agreement_is_not_by_missing_numbers() -> None:
    """The samples that agree have every number that the built-in network measures."""
    chosen = configuration(batch_size=BATCH, precision="float64", epochs=6, learning_rate=0.1, hidden=(8,))
    probed = trained_in_torch(chosen).samples[2]
    known = (probed.coherence, probed.actual_decrease, probed.gradient_cosine, probed.layers[0].silent_share)
    assert not any(map(math.isnan, known))
