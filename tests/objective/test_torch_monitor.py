"""The monitor of a PyTorch model: what it sees, what it leaves alone, and what it refuses."""

import math
from collections.abc import Callable
from typing import Any

import pytest

import hpsearch
from tests.objective.torch_programs import require_torch

require_torch()

import torch  # noqa: E402 # it may be missing
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from hpsearch.objective.torch import TorchMonitor, attach  # noqa: E402
from hpsearch.telemetry import Telemetry  # noqa: E402

STEPS = 12


def batches() -> list[tuple[Any, Any]]:
    """Return minibatches of 100 examples with 4 classes."""
    generator = torch.Generator().manual_seed(3)
    return [
        (
            torch.randn(100, 8, generator=generator),
            torch.randint(0, 4, (100,), generator=generator),
        )
        for _ in range(STEPS)
    ]


def network(*middle: Any) -> Any:
    """Return a small network, the same each time."""
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(8, 16), *(middle or (nn.ReLU(),)), nn.Linear(16, 4))


def watched(
    model: Any,
    optimizer: Any = None,
    *,
    before_step: Callable[[], None] = lambda: None,
    **options: Any,
) -> TorchMonitor:
    """Train for STEPS under a monitor."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = TorchMonitor(model, optimizer, **options)
    for x, y in batches():
        optimizer.zero_grad()
        z = model(x)
        loss = F.cross_entropy(z, y)
        loss.backward()
        before_step()
        optimizer.step()
        monitor.step(loss, outputs=z, targets=y)
    return monitor


def weights(model: Any) -> Any:
    """Return all parameters and buffers in one vector."""
    return torch.cat([value.detach().flatten().double() for value in model.state_dict().values()])


def test_watching_changes_no_bit() -> None:
    """Weights, running statistics and dropout are the same with and without a monitor, and its probes."""

    def trained(*, is_watched: bool) -> Any:
        model = network(nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        monitor = TorchMonitor(model, optimizer) if is_watched else None
        for x, y in batches():
            optimizer.zero_grad()
            z = model(x)
            loss = F.cross_entropy(z, y)
            loss.backward()
            optimizer.step()
            if monitor is not None:
                monitor.step(loss, outputs=z, targets=y)
        assert model.training
        return weights(model)

    assert torch.equal(trained(is_watched=True), trained(is_watched=False))


def test_clipping_does_not_change_measured_gradients() -> None:
    """Gradient norms are those of the loss, and update norms those of the clipped step."""
    free, clipped = network(), network()
    plain = watched(free).telemetry.samples[0]
    limited = watched(
        clipped, before_step=lambda: nn.utils.clip_grad_norm_(clipped.parameters(), 1e-3)
    ).telemetry.samples[0]
    assert limited.gradient_norm == pytest.approx(plain.gradient_norm)
    assert limited.layers[0].update_norm < 0.1 * plain.layers[0].update_norm


def test_gradients_of_amp_have_their_own_scale() -> None:
    """With the scaler, a loss that AMP multiplies by 65536 gives the gradients of the loss itself."""
    plain = watched(network()).telemetry.samples[0]
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    monitor = TorchMonitor(model, optimizer, scaler=scaler)
    for x, y in batches():
        optimizer.zero_grad()
        z = model(x)
        loss = F.cross_entropy(z, y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        monitor.step(loss, outputs=z, targets=y)
    scaled = monitor.telemetry.samples[0]
    assert scaled.gradient_norm == pytest.approx(plain.gradient_norm, rel=1e-5)
    assert scaled.predicted_decrease == pytest.approx(plain.predicted_decrease, rel=1e-5)
    assert scaled.coherence == pytest.approx(plain.coherence, rel=1e-5)


def test_autocast_is_watched_and_its_loss_recognized() -> None:
    """Outputs in bfloat16 are measured, and their loss is known."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = TorchMonitor(model, optimizer)
    for x, y in batches():
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = model(x)
            loss = F.cross_entropy(z, y)
        loss.backward()
        optimizer.step()
        monitor.step(loss, outputs=z, targets=y)
    program = monitor.telemetry.program
    assert program is not None
    assert program.loss == "cross_entropy"
    assert monitor.telemetry.samples[0].actual_decrease > -1


def test_accumulated_gradients_are_one_step() -> None:
    """Two backward passes for one step of the optimizer count one step, and are no stale gradients."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = TorchMonitor(model, optimizer)
    for _ in range(8):
        for place, (x, y) in enumerate(batches()):
            z = model(x)
            loss = F.cross_entropy(z, y) / 2
            loss.backward()
            if place % 2:
                optimizer.step()
                optimizer.zero_grad()
            monitor.step(loss, outputs=z, targets=y)
    telemetry = monitor.telemetry
    assert telemetry.steps == 8 * STEPS / 2
    assert telemetry.program is not None
    assert telemetry.program.stale_since is None
    assert math.isnan(telemetry.samples[0].coherence)


def test_several_optimizers_are_one_step() -> None:
    """Each layer has the update of its own optimizer."""
    model = network()
    both = [torch.optim.SGD(model[0].parameters(), lr=0.1), torch.optim.Adam(model[2].parameters(), lr=0.01)]
    monitor = TorchMonitor(model, both)
    for x, y in batches():
        z = model(x)
        loss = F.cross_entropy(z, y)
        for optimizer in both:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in both:
            optimizer.step()
        monitor.step(loss, outputs=z, targets=y)
    telemetry = monitor.telemetry
    assert telemetry.steps == STEPS
    assert all(layer.update_norm > 0 for sample in telemetry.samples for layer in sample.layers)


def test_compiled_models_are_measured_without_units() -> None:
    """A compiled model has losses, gradients and steps, and a note that its units are not seen.

    `torch.compile` returns a module that holds the model; here it does so without the minutes of a compiler.
    """

    class Compiled(nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self._orig_mod = model

        def forward(self, x: Any) -> Any:
            return self._orig_mod(x)

    inner = network()
    monitor = watched(Compiled(inner), torch.optim.SGD(inner.parameters(), lr=0.1))
    sample = monitor.telemetry.samples[0]
    assert sample.gradient_norm > 0
    assert math.isnan(sample.dead_share)
    assert any("compiled" in note for note in monitor.notes)


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("kind", [nn.ReLU, nn.ELU, nn.SiLU, nn.SELU, nn.LeakyReLU])
def test_activations_in_place_are_seen(kind: Any, inplace: bool) -> None:  # noqa: FBT001 # pytest passes it
    """An activation that overwrites its input has the shares of one that does not."""
    sample = watched(network(kind(inplace=inplace))).telemetry.samples[0]
    assert 0 <= sample.layers[0].dead_share < 0.5
    assert 0 <= sample.layers[0].saturated_share < 0.5


def test_functional_activations_are_seen() -> None:
    """`torch.relu` in `forward` gives the same sample as `nn.ReLU`."""

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, x: Any) -> Any:
            return self.body[2](torch.relu(self.body[0](x)))

    assert watched(Functional()).telemetry.samples == watched(network()).telemetry.samples


def test_frozen_layers_are_noted_and_not_accused() -> None:
    """A layer that is frozen on purpose is a note."""
    model = network()
    model[0].requires_grad_(requires_grad=False)
    monitor = watched(model)
    assert any("frozen" in note for note in monitor.notes)
    assert math.isnan(monitor.telemetry.samples[0].layers[0].gradient_norm)


def test_two_networks_of_a_game_keep_no_stale_gradients() -> None:
    """A network that gets gradients from another one's loss, and zeroes them before its own, is not accused."""
    model, other = network(), nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    second = torch.optim.SGD(other.parameters(), lr=0.01)
    monitor = TorchMonitor(model, optimizer)
    for _ in range(4):
        for x, y in batches():
            F.cross_entropy(other(model(x)), y).backward()
            second.step()
            optimizer.zero_grad()
            z = model(x)
            loss = F.cross_entropy(z, y)
            loss.backward()
            optimizer.step()
            monitor.step(loss, outputs=z, targets=y)
    program = monitor.telemetry.program
    assert program is not None
    assert program.stale_since is None


def test_validation_is_not_measured() -> None:
    """Forward passes without gradients, as in validation, leave the sample alone."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = TorchMonitor(model, optimizer)
    for x, y in batches():
        optimizer.zero_grad()
        z = model(x)
        loss = F.cross_entropy(z, y)
        loss.backward()
        with torch.no_grad():
            model(torch.full_like(x, -1e6))
        optimizer.step()
        monitor.step(loss, outputs=z, targets=y)
    assert monitor.telemetry.samples == watched(network()).telemetry.samples


def test_an_error_in_forward_leaves_no_mode_behind() -> None:
    """A forward pass that raises is the caller's error, and the next one is measured."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = TorchMonitor(model, optimizer)
    with pytest.raises(RuntimeError):
        model(torch.ones(2, 3))
    assert torch.overrides._get_current_function_mode_stack() == []
    x, y = batches()[0]
    z = model(x)
    loss = F.cross_entropy(z, y)
    loss.backward()
    optimizer.step()
    monitor.step(loss, outputs=z, targets=y)
    assert monitor.telemetry.samples[0].layers[0].dead_share < 1


def test_hooks_are_there_at_sampled_steps_only() -> None:
    """Between samples the model has no hook, and after `close` the optimizer has none either."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = watched(model, optimizer)
    assert monitor.telemetry.steps == STEPS  # the next sample is that of step 15
    assert not model._forward_pre_hooks
    assert not model._forward_hooks
    monitor.close()
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks


def test_a_loss_that_is_no_number_ends_the_samples() -> None:
    """The first NaN is stored with its step, and later steps are not sampled."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = TorchMonitor(model, optimizer)
    for x, y in batches()[:3]:
        optimizer.zero_grad()
        z = model(x * (math.nan if monitor.telemetry.steps else 1.0))
        loss = F.cross_entropy(z, y)
        loss.backward()
        optimizer.step()
        monitor.step(loss, outputs=z, targets=y)
    nonfinite = monitor.telemetry.nonfinite
    assert nonfinite is not None
    assert (nonfinite.step, nonfinite.array) == (1, "logits")
    assert len(monitor.telemetry.samples) == 1


def test_a_trial_gets_what_its_monitor_measures() -> None:
    """`attach` sends telemetry to the trial after each sample."""

    class Trial:
        def __init__(self) -> None:
            self.sent: list[Telemetry] = []

        def measured(self, telemetry: Telemetry) -> None:
            self.sent.append(telemetry)

    trial, model = Trial(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = attach(trial, model, optimizer, probes=False)
    for x, y in batches():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        monitor.step(loss)
    assert [telemetry.steps for telemetry in trial.sent] == [1, 6, 11]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda model: (model, None), "watch: model and optimizer must come together (got a model alone)"),
        (
            lambda model: (model, "sgd"),
            "watch: optimizer must be a torch.optim.Optimizer, or a list of them (got a str)",
        ),
        (lambda model: (model, []), "watch: optimizer must be a torch.optim.Optimizer, or a list of them"),
        (
            lambda model: ("net", torch.optim.SGD(model.parameters())),
            "watch: model must be a torch.nn.Module (got a str)",
        ),
        (
            lambda model: (model, torch.optim.SGD(network().parameters())),
            "watch: the optimizer must hold parameters of the model (got none of them)",
        ),
        (
            lambda model: (model, torch.optim.LBFGS(model.parameters())),
            "watch: LBFGS computes several gradients in a step",
        ),
        (
            lambda _: (lazy := nn.LazyLinear(4), torch.optim.SGD(lazy.parameters())),
            "watch: the model must have all its parameters (got the lazy weight): call it on a minibatch first",
        ),
        (
            lambda _: (model := nn.Linear(2, 2, dtype=torch.cfloat), torch.optim.SGD(model.parameters())),
            "watch: parameters must be real (got weight, which is complex)",
        ),
    ],
)
def test_what_cannot_be_watched_is_refused(arguments: Any, message: str) -> None:
    """Each refusal is one sentence."""
    with pytest.raises(hpsearch.UsageError) as error:
        hpsearch.watch(*arguments(network()))
    assert str(error.value).startswith(message)
