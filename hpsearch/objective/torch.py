"""A monitor of a PyTorch model in training: the telemetry that the built-in network has, from hooks.

The hooks are there at sampled steps only. A forward pass of the model runs in a `TorchFunctionMode`, which sees every
function that the model calls: layers by their weights, and activations as modules and as functions alike.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, SupportsFloat, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from hpsearch.errors import UsageError
from hpsearch.objective.monitor import UNKNOWN_DATA, Listener, SampleRecorder, plain_sample
from hpsearch.objective.outputs import Outputs, read_outputs
from hpsearch.telemetry import LayerSample, Program, Telemetry
from hpsearch.training.measurements import FLAT, FLAT_SLOPE, SILENT_EXAMPLES
from hpsearch.training.sampling_schedule import is_probe

_ACTIVATIONS: Final[Mapping[str, str]] = {
    "relu": "relu",
    "relu_": "relu",
    "leaky_relu": "leaky_relu",
    "leaky_relu_": "leaky_relu",
    "elu": "elu",
    "elu_": "elu",
    "selu": "selu",
    "selu_": "selu",
    "gelu": "gelu",
    "silu": "silu",
    "silu_": "silu",
    "tanh": "tanh",
    "tanh_": "tanh",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
}
"""PyTorch's functions -> the activations of study files. `nn.ReLU` and the other modules call these functions."""

_CHAIN: Final = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
_CONVOLUTIONS: Final = frozenset({"conv1d", "conv2d", "conv3d"})
_JOINS: Final = frozenset({"add", "add_", "__add__", "cat", "concat", "stack", "matmul", "bmm", "einsum"})
"""Functions that join several tensors: a network that calls them on its own outputs is no chain."""

_NO_LAYERS: Final = frozenset({"__get__", "add", "add_", "__add__", "mul", "layer_norm"})
"""Functions that use a parameter with several axes and are no layer: access to its fields, and elementwise ones."""

_OPTIMIZERS: Final[Mapping[str, str]] = {
    "SGD": "sgd",
    "Adagrad": "adagrad",
    "RMSprop": "rmsprop",
    "AdamW": "adamw",
}
"""PyTorch's optimizers -> those of study files; all others adapt their steps, as Adam does."""

STALE_SAMPLES: Final = 5
"""Samples in a row with gradients of an earlier step, from which on they are stale: one may be deliberate."""


@final
@dataclass(eq=False)
class _Layer:
    """A layer by its weights: its parameters with two axes or more."""

    name: str
    weights: tuple[nn.Parameter, ...]
    function: str
    activation: str = ""
    silence: Tensor | None = None
    first_norm: float = math.nan
    has_changed: bool = False

    @property
    def outputs(self) -> int:
        """The width of a dense layer, or the channels of a convolution."""
        return int(self.weights[0].shape[0])


@final
@dataclass(eq=False)
class _Shares:
    """The measurements of an activation in one forward pass: units that fired (U,), and the flat share."""

    fires: Tensor
    flat: float
    examples: int


@final
@dataclass
class _Pass:
    """One forward pass of a sampled step, and the gradients after it."""

    inputs: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    random_states: tuple[Tensor, Tensor | None] | None = None
    autocast: tuple[str, torch.dtype] | None = None
    shares: dict[int, _Shares] = field(default_factory=dict)
    place: int | None = None
    last_input: Tensor | None = None
    last_delta: Tensor | None = None
    gradients: dict[int, Tensor] = field(default_factory=dict)
    leftovers: list[bool] = field(default_factory=list)
    scale: float = 1.0
    before: dict[int, Tensor] = field(default_factory=dict)
    steps: dict[int, Tensor] = field(default_factory=dict)
    backward_passes: int = 0


@final
class _Observer(TorchFunctionMode):
    """Sees the functions that a model calls in one forward pass."""

    def __init__(self, monitor: "TorchMonitor") -> None:
        super().__init__()
        self._monitor = monitor

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        keywords = kwargs or {}
        name = getattr(func, "__name__", "")
        activation = _ACTIVATIONS.get(name)
        gate = _gate_share(func, args, keywords) if activation in ("gelu", "silu") else math.nan
        result = func(*args, **keywords)
        if activation is not None and isinstance(result, Tensor):
            self._monitor.see_activation(activation, result.detach(), gate)
        else:
            self._monitor.see_function(name, args, keywords, result)
        return result


@final
class TorchMonitor:
    """A monitor of one model and its optimizers; see `hpsearch.watch`."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        steps: int | None = None,
        scaler: Any = None,
        probes: bool = True,
        listener: Listener | None = None,
    ) -> None:
        self._optimizers = _checked_optimizers(optimizer)
        if not isinstance(model, nn.Module):
            raise UsageError(f"watch: model must be a torch.nn.Module (got a {type(model).__name__})")
        _check_parameters(model)
        self._recorder = SampleRecorder(steps=steps, listener=listener)
        inner = getattr(model, "_orig_mod", None)  # a compiled model holds the model itself
        self._model = inner if isinstance(inner, nn.Module) else model
        self._is_compiled = (
            self._model is not model or getattr(model, "_compiled_call_impl", None) is not None
        )
        self._scaler = scaler
        self._probes = probes
        self._names = {id(parameter): name for name, parameter in self._model.named_parameters()}
        held = {
            id(p): p for optimizer in self._optimizers for g in optimizer.param_groups for p in g["params"]
        }
        self._parameters = list(held.values())
        if not any(id(parameter) in self._names for parameter in self._parameters):
            raise UsageError(
                "watch: the optimizer must hold parameters of the model (got none of them): pass the model and the"
                " optimizer that train together"
            )
        self._layers: list[_Layer] = []
        self._by_weight: dict[int, int] = {}
        self._seen_functions: set[str] = set()
        self._is_known = False
        self._now: int | None = None
        self._pass = _Pass()
        self._is_probing = False
        self._made_steps = 0
        self._last_gradient: Tensor | None = None
        self._stale = 0
        self._stale_since: int | None = None
        self._rate = 0.0
        self._handles: list[Any] = []
        self._permanent = [
            optimizer.register_step_post_hook(self._count_step) for optimizer in self._optimizers
        ]
        self._arm()

    # The public interface.

    @property
    def telemetry(self) -> Telemetry:
        """All measurements so far."""
        return self._recorder.telemetry(self._program())

    @property
    def notes(self) -> Sequence[str]:
        """The blind spots of the monitor, in sentences."""
        return tuple(self._blind_spots())

    def step(
        self,
        loss: Tensor | SupportsFloat,
        *,
        outputs: Tensor | None = None,
        targets: Tensor | None = None,
        accuracy: SupportsFloat | None = None,
    ) -> None:
        """Measure one step, after `optimizer.step()`; see `hpsearch.watch`.

        A call without a step of the optimizer since the last one is a part of a step whose gradients accumulate, or one
        that AMP skipped: it counts no step.
        """
        recorder = self._recorder
        is_due = recorder.is_due
        is_far = (
            isinstance(loss, Tensor) and loss.device.type != "cpu"
        )  # reading it would wait for the device
        number = 0.0 if is_far and not is_due else loss.item() if isinstance(loss, Tensor) else float(loss)
        recorder.add_loss(loss.detach() if isinstance(loss, Tensor) and is_far else number)
        if self._made_steps == 0:
            return
        self._made_steps = 0
        # Not len(outputs), which looks for tracing: a third of the cost of a step that is not measured.
        examples = outputs.shape[0] if isinstance(outputs, Tensor) and outputs.ndim else 0
        if not math.isfinite(number):
            is_broken = outputs is not None and not bool(torch.isfinite(outputs).all())
            recorder.break_off("logits" if is_broken else "loss")
        elif is_due:
            self._sample(number, outputs, targets, accuracy)
        if self._handles:
            self._disarm()
        recorder.end_step(self._program, examples=examples, notifies=is_due)
        if recorder.is_due:
            self._arm()

    def end_epoch(
        self,
        *,
        training_loss: SupportsFloat | None = None,
        validation_loss: SupportsFloat | None = None,
        validation_accuracy: SupportsFloat | None = None,
        validation_examples: int = 0,
    ) -> None:
        """Store the end of an epoch; see `hpsearch.watch`."""
        self._recorder.end_epoch(
            self._program(),
            training_loss=training_loss,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            validation_examples=validation_examples,
        )

    def end_reported_epoch(self, numbers: Mapping[str, float]) -> None:
        """End an epoch after which a trial reported `numbers`, unless no step was made since the last end."""
        if not self._recorder.is_within_epoch:
            return
        self.end_epoch(
            training_loss=numbers.get("training_loss"),
            validation_loss=numbers.get("validation_loss"),
            validation_accuracy=numbers.get("validation_accuracy"),
        )

    def close(self) -> None:
        """Remove all hooks from the model and the optimizers."""
        self._disarm()
        for handle in self._permanent:
            handle.remove()
        self._permanent = []

    # Hooks of a sampled step.

    def _arm(self) -> None:
        """Add the hooks that measure the next step."""
        self._pass = _Pass()
        mode = contextlib.ExitStack()

        def enter(_: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
            if torch.compiler.is_compiling():
                return
            if torch.is_grad_enabled() and not self._is_probing:
                self._begin_pass(inputs, keywords)
                mode.enter_context(_Observer(self))

        def leave(*_: Any) -> None:
            if torch.compiler.is_compiling():
                return
            mode.close()
            self._is_known = self._is_known or bool(self._layers)

        add: list[Any] = []
        if not self._is_compiled:
            add.append(self._model.register_forward_pre_hook(enter, with_kwargs=True))
            add.append(self._model.register_forward_hook(leave, always_call=True))
        trained = (parameter for parameter in self._parameters if parameter.requires_grad)
        add += [parameter.register_post_accumulate_grad_hook(self._keep_gradient) for parameter in trained]
        add.append(self._watch_leftovers())
        for optimizer in self._optimizers:
            add.append(optimizer.register_step_pre_hook(self._keep_parameters))
            add.append(optimizer.register_step_post_hook(self._keep_update))
        self._handles = [handle for handle in add if handle is not None]

    def _disarm(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._pass = _Pass()

    def _begin_pass(self, inputs: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        now = self._pass
        if now.gradients:
            now.shares = {}
        now.inputs, now.keywords = inputs, keywords
        self._now = None
        first = next((value for value in (*inputs, *keywords.values()) if isinstance(value, Tensor)), None)
        if first is None:
            return
        now.device = first.device
        if is_probe(self._recorder.age):
            on_gpu = torch.cuda.get_rng_state(first.device) if first.is_cuda else None
            now.random_states = torch.get_rng_state(), on_gpu
        device = first.device.type
        if torch.is_autocast_enabled(device):
            now.autocast = (device, torch.get_autocast_dtype(device))
        data = self._recorder.data
        if first.is_floating_point() and math.isnan(data.input_mean_square) and first.numel():
            values = first.detach().double()
            data.input_largest = float(values.abs().max())
            data.input_mean_square = float(values.square().mean())

    def see_function(self, name: str, args: Any, keywords: Mapping[str, Any], result: Any) -> None:
        """Note a function that the model called, if it has weights of the model, or joins tensors."""
        if name in _NO_LAYERS and name not in _JOINS:
            return
        weights = [value for value in _flat((*args, *keywords.values())) if id(value) in self._names]
        weights = [weight for weight in weights if weight.ndim > 1]
        if not weights:
            if name in _JOINS and not self._is_known:
                joined = [value for value in _flat(args) if isinstance(value, Tensor) and value.requires_grad]
                self._seen_functions |= {name} if len(joined) > 1 else set()
            return
        if name in _NO_LAYERS or not isinstance(result, Tensor | tuple):
            return
        place = self._by_weight.get(id(weights[0]))
        if place is None:
            if self._is_known:
                return
            place = self._add_layer(name, weights)
        self._now = place
        last = self._pass
        last.place, last.last_input, last.last_delta = place, None, None
        if name == "linear" and isinstance(result, Tensor) and result.ndim == 2 and result.requires_grad:
            last.last_input = args[0].detach()
            delta: Any = result
            delta.register_hook(_into_delta(last, place))

    def _add_layer(self, function: str, weights: Sequence[nn.Parameter]) -> int:
        name = self._names[id(weights[0])].rpartition(".")[0] or self._names[id(weights[0])]
        self._layers.append(_Layer(name=name, weights=tuple(weights), function=function))
        for weight in weights:
            self._by_weight.setdefault(id(weight), len(self._layers) - 1)
        return len(self._layers) - 1

    def see_activation(self, activation: str, y: Tensor, gate_share: float) -> None:
        """Measure the activations of the layer that was called last."""
        if self._now is None or y.ndim < 2 or not y.numel():
            return
        layer, place = self._layers[self._now], self._now
        if layer.activation and not self._is_known and place not in self._pass.shares:
            return
        layer.activation = layer.activation or activation
        if layer.activation != activation:
            return
        axis = 1 if y.ndim > 3 or layer.function in _CONVOLUTIONS else y.ndim - 1
        others = [number for number in range(y.ndim) if number != axis]
        fires = (y > 0).amax(dim=others) if others else y > 0
        flat = gate_share if activation in ("gelu", "silu") else _flat_share(activation, y)
        earlier = self._pass.shares.get(place)
        if earlier is not None:
            fires, flat = fires | earlier.fires, (flat + earlier.flat) / 2
        self._pass.shares[place] = _Shares(fires=fires, flat=flat, examples=len(y))

    def _keep_gradient(self, parameter: Tensor) -> None:
        if parameter.grad is not None and not self._is_probing:
            self._pass.gradients[id(parameter)] = parameter.grad.detach().clone()

    def _watch_leftovers(self) -> Any:
        """Note, at each backward pass, whether a parameter still has the gradient of an earlier one."""
        smallest = min(
            (parameter for parameter in self._parameters if parameter.requires_grad),
            key=Tensor.numel,
            default=None,
        )
        if smallest is None:
            return None

        def note(_: Tensor) -> None:
            grad = smallest.grad
            self._pass.leftovers.append(grad is not None and bool(grad.detach().any()))

        return smallest.register_hook(note)

    def _keep_parameters(self, optimizer: Optimizer, *_: Any) -> None:
        now = self._pass
        now.scale = float(self._scaler.get_scale()) if self._scaler is not None else 1.0
        for group in optimizer.param_groups:
            self._rate = max(self._rate, float(group["lr"]))
            for parameter in group["params"]:
                now.before[id(parameter)] = parameter.detach().clone()

    def _keep_update(self, optimizer: Optimizer, *_: Any) -> None:
        now = self._pass
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                before = now.before.get(id(parameter))
                if before is not None:
                    now.steps[id(parameter)] = before - parameter.detach()

    def _count_step(self, *_: Any) -> None:
        self._made_steps += 1

    # The sample of a step.

    def _sample(
        self, loss: float, outputs: Tensor | None, targets: Tensor | None, accuracy: SupportsFloat | None
    ) -> None:
        recorder, now = self._recorder, self._pass
        if not self._layers:
            self._add_unseen_layers()
        read = None if outputs is None else _read(outputs, targets, loss)
        if read is not None:
            recorder.add_outputs(read)
        self._note_leftovers(now)
        sample = plain_sample(recorder.age, loss, read, accuracy)
        layers = self._layer_samples(now)
        examples = sample.examples or max((shares.examples for shares in now.shares.values()), default=0)
        cosine, coherence = self._output_gradient(now)
        actual, evaluation = math.nan, math.nan
        if self._probes and is_probe(recorder.age) and read is not None and outputs is not None:
            actual, evaluation = self._probe(now, read, outputs, targets)
        recorder.add_sample(
            replace(
                sample,
                examples=examples,
                batch_examples=examples,
                layers=layers,
                predicted_decrease=_predicted_decrease(now),
                gradient_cosine=cosine,
                coherence=coherence,
                actual_decrease=actual,
                evaluation_loss=evaluation,
            )
        )

    def _add_unseen_layers(self) -> None:
        """Take the modules with weights in their own order, of a model whose functions are not seen."""
        for module in self._model.modules():
            weights = [weight for weight in module.parameters(recurse=False) if weight.ndim > 1]
            if weights:
                self._add_layer(type(module).__name__, weights)
        self._is_known = True

    def _note_leftovers(self, now: _Pass) -> None:
        is_stale = bool(now.leftovers) and all(now.leftovers) and self._recorder.age > 0
        self._stale = self._stale + 1 if is_stale else 0
        if self._stale == 0:
            self._stale_since = None
        elif self._stale_since is None:
            self._stale_since = self._recorder.age

    def _layer_samples(self, now: _Pass) -> tuple[LayerSample, ...]:
        last = len(self._layers) - 1
        return tuple(
            self._layer_sample(
                layer, now, None if place == last else now.shares.get(place), is_last=place == last
            )
            for place, layer in enumerate(self._layers)
        )

    def _layer_sample(
        self, layer: _Layer, now: _Pass, shares: _Shares | None, *, is_last: bool
    ) -> LayerSample:
        weight_norm = _norm(now.before.get(id(weight), weight.detach()) for weight in layer.weights)
        if math.isnan(layer.first_norm):
            layer.first_norm = weight_norm
        layer.has_changed = layer.has_changed or weight_norm != layer.first_norm
        unknown = 0.0 if is_last else math.nan
        return LayerSample(
            dead_share=unknown if shares is None else 1 - float(shares.fires.double().mean()),
            silent_share=unknown if shares is None else _silent_share(layer, shares),
            saturated_share=unknown if shares is None else shares.flat,
            gradient_norm=_known_norm(now.gradients, layer.weights) / now.scale,
            weight_norm=weight_norm,
            update_norm=_known_norm(now.steps, layer.weights),
        )

    def _output_gradient(self, now: _Pass) -> tuple[float, float]:
        """Return the cosine with the last sample's gradient of the output's weights, and the m-coherence."""
        weight = self._layers[-1].weights[0] if self._layers else None
        gradient = now.gradients.get(id(weight))
        if gradient is None:
            return math.nan, math.nan
        flat = gradient.double().flatten() / now.scale
        before, self._last_gradient = self._last_gradient, flat
        own = float(flat.norm())
        cosine = math.nan
        if before is not None and before.shape == flat.shape:
            cosine = _ratio(float(before @ flat), float(before.norm()) * own)
        if now.last_input is None or now.last_delta is None or len(now.leftovers) > 1:
            return cosine, math.nan
        delta = now.last_delta.double() / now.scale
        squares = delta.square().sum(dim=1) * now.last_input.double().square().sum(dim=1)
        return cosine, _ratio(own * own, float(squares.sum()))

    def _probe(
        self, now: _Pass, read: Outputs, outputs: Tensor, targets: Tensor | None
    ) -> tuple[float, float]:
        """Return the fall of the minibatch's loss by the step, and its loss in evaluation mode.

        The same forward pass again, without gradients: the random state, buffers such as running statistics, and modes
        are restored. NaN if the loss has no known formula, or gradients were accumulated.
        """
        before = read.mean_loss()
        if math.isnan(before) or now.random_states is None or len(now.leftovers) > 1:
            return math.nan, math.nan

        def loss_now() -> float:
            z = _only_tensor(self._model(*now.inputs, **now.keywords))
            if z is None or z.numel() != outputs.numel():
                return math.nan
            return read.with_outputs(*_arrays(z.reshape(outputs.shape), targets)).mean_loss()

        with self._undisturbed(now):
            decrease = before - loss_now()
        if not _differs_in_evaluation(self._model):
            return decrease, math.nan
        with self._undisturbed(now):
            self._model.eval()
            return decrease, loss_now()

    @contextlib.contextmanager
    def _undisturbed(self, now: _Pass) -> Iterator[None]:
        """Yield without gradients, and restore the model's buffers and modes, and the random state."""
        buffers = [(buffer, buffer.detach().clone()) for buffer in self._model.buffers()]
        modes = [(module, module.training) for module in self._model.modules()]
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng([now.device] if now.device.type == "cuda" else []))
            if now.random_states is not None:
                torch.set_rng_state(now.random_states[0])
                if now.random_states[1] is not None:
                    torch.cuda.set_rng_state(now.random_states[1], now.device)
            stack.enter_context(torch.no_grad())
            if now.autocast is not None:
                stack.enter_context(torch.autocast(now.autocast[0], dtype=now.autocast[1]))
            self._is_probing = True
            try:
                yield
            finally:
                self._is_probing = False
                for buffer, value in buffers:
                    buffer.copy_(value)
                for module, mode in modes:
                    module.training = mode

    # Facts about the program.

    def _program(self) -> Program:
        hidden = self._layers[:-1]
        activations = {layer.activation for layer in hidden if layer.activation}
        groups = [group for optimizer in self._optimizers for group in optimizer.param_groups]
        first = self._optimizers[0]
        momentum = float(groups[0].get("momentum", 0.0) or 0.0)
        name = _OPTIMIZERS.get(type(first).__name__, "adam")
        if name == "sgd" and momentum > 0:
            name = "nesterov" if groups[0].get("nesterov") else "momentum"
        is_chain = not self._seen_functions and all(layer.function in _CHAIN for layer in self._layers)
        return Program(
            data=UNKNOWN_DATA,
            hidden=tuple(layer.outputs for layer in hidden),
            activation=activations.pop() if len(activations) == 1 else "identity",
            is_chain=is_chain and bool(self._layers),
            normalizes=any("norm" in type(module).__name__.lower() for module in self._model.modules()),
            dropout=max(
                (module.p for module in self._model.modules() if isinstance(module, nn.Dropout)), default=0.0
            ),
            optimizer=name,
            learning_rate=self._rate or max(float(group["lr"]) for group in groups),
            momentum=momentum,
            weight_decay=max(float(group.get("weight_decay", 0.0) or 0.0) for group in groups),
            precision="float64" if self._parameters[0].dtype == torch.float64 else "float32",
            stale_since=self._stale_since if self._stale >= STALE_SAMPLES else None,
            untrained=self._untrained(),
        )

    def _untrained(self) -> tuple[str, ...]:
        """Return the layers that have not changed while others have."""
        still = tuple(layer.name for layer in self._layers if not layer.has_changed)
        return still if len(still) < len(self._layers) else ()

    def _blind_spots(self) -> Iterator[str]:
        if self._is_compiled:
            yield "The model is compiled: its units are not seen. Train some steps without torch.compile to judge them."
        if not self._is_known:
            yield "No step was measured yet."
            return
        unseen = [layer.name for layer in self._layers[:-1] if not layer.activation]
        if unseen:
            yield (
                f"No activation is seen after {', '.join(unseen[:5])}{' and more' if len(unseen) > 5 else ''}:"
                " their units are not judged."
            )
        frozen = [name for name, parameter in self._model.named_parameters() if not parameter.requires_grad]
        if frozen:
            yield f"{len(frozen)} parameters are frozen (requires_grad is False), such as {frozen[0]}."


class MeasuredTrial(Protocol):
    """A trial that takes telemetry."""

    def measured(self, telemetry: Telemetry) -> None:
        """Send the measurements of a monitor so far."""


def attach(trial: MeasuredTrial, model: Any, optimizer: Any, **options: Any) -> TorchMonitor:
    """Return a monitor whose measurements go to the worker of `trial`."""
    return TorchMonitor(model, optimizer, listener=trial.measured, **options)


def _check_parameters(model: nn.Module) -> None:
    """Raise UsageError for parameters that cannot be measured: complex ones, and those without a shape yet."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise UsageError(
                f"watch: the model must have all its parameters (got the lazy {name}): call it on a minibatch first"
            )
        if parameter.is_complex():
            raise UsageError(
                f"watch: parameters must be real (got {name}, which is complex): watch the loss alone, with"
                " hpsearch.watch()"
            )


def _checked_optimizers(optimizer: Optimizer | Sequence[Optimizer]) -> list[Optimizer]:
    optimizers = [optimizer] if isinstance(optimizer, Optimizer) else optimizer
    if not isinstance(optimizers, list | tuple) or not optimizers:
        raise UsageError(
            "watch: optimizer must be a torch.optim.Optimizer, or a list of them"
            f" (got a {type(optimizer).__name__})"
        )
    for one in optimizers:
        if not isinstance(one, Optimizer):
            raise UsageError(
                f"watch: optimizer must be a torch.optim.Optimizer (got a {type(one).__name__}):"
                " pass the optimizer inside it"
            )
        if isinstance(one, torch.optim.LBFGS):
            raise UsageError(
                "watch: LBFGS computes several gradients in a step (got LBFGS): watch the loss alone, with"
                " hpsearch.watch()"
            )
    return list(optimizers)


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values, those of lists and tuples one by one."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from value
        else:
            yield value


def _into_delta(now: _Pass, place: int) -> Callable[[Tensor], None]:
    def keep(delta: Tensor) -> None:
        if now.place == place:  # not of a layer before the last
            now.last_delta = delta.detach()

    return keep


def _flat_share(activation: str, y: Tensor) -> float:
    """Return the share of activations on a flat part; 0 if there is none."""
    bounds = FLAT.get(activation)
    if bounds is None:
        return 0.0
    low, high = bounds
    is_flat = y < low
    if high < math.inf:
        is_flat = is_flat | (y > high)
    return float(is_flat.double().mean())


def _gate_share(function: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> float:
    """Return the share of pre-activations of GELU or SiLU, the first argument, where the slope is flat."""
    with torch.enable_grad():
        point = (args[0] if args else keywords["input"]).detach().clone().requires_grad_()
        options = {name: value for name, value in keywords.items() if name not in ("input", "inplace")}
        (slope,) = torch.autograd.grad(function(point, **options).sum(), point)
    return float((slope.abs() < FLAT_SLOPE).double().mean())


def _silent_share(layer: _Layer, shares: _Shares) -> float:
    """Return the share of units that have not fired for long, counting this sample, in place."""
    if layer.silence is None or layer.silence.shape != shares.fires.shape:
        layer.silence = torch.zeros_like(shares.fires, dtype=torch.int64)
    layer.silence += shares.examples
    layer.silence[shares.fires] = 0
    return float((layer.silence >= SILENT_EXAMPLES).double().mean())


def _norm(tensors: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


def _known_norm(known: Mapping[int, Tensor], weights: Sequence[nn.Parameter]) -> float:
    """Return the norm of the weights whose values are in `known`; NaN if none is."""
    found = [known[id(weight)] for weight in weights if id(weight) in known]
    return _norm(found) if found else math.nan


def _predicted_decrease(now: _Pass) -> float:
    """Return the product of gradients and steps, over the parameters that have both; NaN if none has."""
    both = now.gradients.keys() & now.steps.keys()
    if not both:
        return math.nan
    return (
        sum(float((now.gradients[one].double() * now.steps[one].double()).sum()) for one in both) / now.scale
    )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else math.nan


def _only_tensor(outputs: Any) -> Tensor | None:
    if isinstance(outputs, tuple) and outputs:
        outputs = outputs[0]
    return outputs if isinstance(outputs, Tensor) else None


def _differs_in_evaluation(model: nn.Module) -> bool:
    """Return True if a module of the model computes something else in evaluation mode."""
    return any(
        isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd)  # noqa: SLF001
        for module in model.modules()
    )


def _arrays(outputs: Tensor, targets: Tensor | None) -> tuple[Any, Any]:
    z = outputs.detach().double().cpu().numpy()
    if not isinstance(targets, Tensor):
        return z, targets
    t = targets.detach().cpu()
    return z, (t.double() if t.is_floating_point() else t).numpy()


def _read(outputs: Tensor, targets: Tensor | None, loss: float) -> Outputs | None:
    if not isinstance(outputs, Tensor):
        raise UsageError(f"step: outputs must be a tensor (got a {type(outputs).__name__}): pass the logits")
    is_coarse = outputs.dtype in (torch.float16, torch.bfloat16)
    return read_outputs(*_arrays(outputs, targets), loss, coarse=is_coarse)
