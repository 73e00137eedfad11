"""Monitors of training loops in scripts and notebooks, without a study or a database."""

from __future__ import annotations  # so that `help` shows the names of types, not what they stand for

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, SupportsFloat, final

from hpsearch.analysis.formats import format_share
from hpsearch.api.border import public
from hpsearch.api.trials import TrialVerdict, verdict_of
from hpsearch.diagnosis.programs import facts_of_program
from hpsearch.diagnosis.verdicts import judge
from hpsearch.errors import TrainingWarning, UsageError
from hpsearch.study.messages import format_count
from hpsearch.telemetry import Telemetry
from hpsearch.verdicts import Cause, Finding

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

_WELL = frozenset({Cause.HEALTHY, Cause.INCONCLUSIVE})
_HELD_STEPS = 10
"""The steps for which samples must have the same cause before it is reported: early samples change their minds."""


class _Source(Protocol):
    """The monitor of a loop: `objective.monitor.Monitor`, or `objective.torch.TorchMonitor`."""

    @property
    def telemetry(self) -> Telemetry: ...

    @property
    def notes(self) -> Sequence[str]: ...

    def step(self, loss: Any, *, outputs: Any, targets: Any, accuracy: SupportsFloat | None) -> None: ...

    def end_epoch(
        self,
        *,
        training_loss: SupportsFloat | None,
        validation_loss: SupportsFloat | None,
        validation_accuracy: SupportsFloat | None,
        validation_examples: int,
    ) -> None: ...

    def close(self) -> None: ...


@public
def watch(
    model: nn.Module | None = None,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    steps: int | None = None,
    learning_rate: float | None = None,
    scaler: Any = None,
    probes: bool = True,
    on_verdict: Callable[[TrialVerdict], None] | None = None,
) -> TrainingMonitor:
    """Watch a training loop of your own, and warn with cause and remedy once it goes wrong. It needs no study.

    >>> monitor = hpsearch.watch(model, optimizer)
    >>> for x, y in batches:
    ...     optimizer.zero_grad()
    ...     z = model(x)
    ...     loss = cross_entropy(z, y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     monitor.step(loss, outputs=z, targets=y)
    >>> print(monitor.verdict)
    healthy: Nothing to fix.

    With a PyTorch `model` and its `optimizer`, or a list of all its optimizers, it measures layers, units, gradients
    and steps; without them, the numbers that `step` gets, from any framework, which allow fewer verdicts.

    `steps` are the steps of the optimizer in the whole training, if they are known: they decide whether a learning
    rate is too low. `learning_rate` is that of a loop without an `optimizer`. Pass the `scaler` of AMP, so that
    gradients are measured in their own scale. With `probes` the model is called once more at a few steps (0, 10, 20,
    50, 100, 150, 200, and each 500th), twice with dropout or batch normalization, on the same minibatch and without
    gradients; its random state and buffers are restored.

    Verdicts are at most 85 % sure, because their thresholds were measured on dense networks only. A new one calls
    `on_verdict`; by default it is a `hpsearch.TrainingWarning`, which `warnings.filterwarnings` can hide or make an
    error. Raises UsageError for a model without its optimizer, and for LBFGS.
    """
    if (model is None) != (optimizer is None):
        got = "a model" if optimizer is None else "an optimizer"
        raise UsageError(f"watch: model and optimizer must come together (got {got} alone)")
    monitor = TrainingMonitor(on_verdict)
    if model is None or optimizer is None:
        from hpsearch.objective.monitor import Monitor

        monitor._source = Monitor(learning_rate=learning_rate, steps=steps, listener=monitor._look)  # noqa: SLF001
        return monitor
    from hpsearch.objective.torch import TorchMonitor

    monitor._source = TorchMonitor(  # noqa: SLF001
        model,
        optimizer,
        steps=steps,
        scaler=scaler,
        probes=probes,
        listener=monitor._look,  # noqa: SLF001
    )
    return monitor


@final
class TrainingMonitor:
    """A watched training loop with its verdicts and remedies. Notebooks show it as a card.

    >>> monitor = hpsearch.watch()
    >>> for loss in (2.3, 2.1, 1.9):
    ...     monitor.step(loss)
    >>> monitor
    <TrainingMonitor: inconclusive after 3 steps, confidence 0 %>
    """

    _source: _Source

    def __init__(self, on_verdict: Callable[[TrialVerdict], None] | None) -> None:
        self._on_verdict = on_verdict
        self._cause = Cause.INCONCLUSIVE
        self._since = 0
        self._reported: set[Cause] = set()
        self._news: TrialVerdict | None = None

    def __repr__(self) -> str:
        finding = self._findings()[0]
        words = f"{finding.cause} after {format_count(self.telemetry.steps, 'step')}"
        return f"<TrainingMonitor: {words}, confidence {format_share(finding.confidence, 1)}>"

    def _repr_html_(self) -> str:
        from hpsearch.api.notebook import verdict_card

        words = f"after {format_count(self.telemetry.steps, 'step')}"
        return verdict_card(self._findings()[0], heading="Training", words=words)

    @public
    def step(
        self,
        loss: SupportsFloat,
        *,
        outputs: Any = None,
        targets: Any = None,
        accuracy: SupportsFloat | None = None,
    ) -> None:
        """Measure one step: call it after each step of the optimizer, with the loss that was minimized.

        `outputs` are the network's outputs for the minibatch, examples first, as they went into the loss, and `targets`
        what they should be; the monitor computes the loss of guessing from them. `accuracy` (0..1) replaces the one
        that it computes from them. Call it once per minibatch if gradients accumulate over several.
        """
        self._source.step(loss, outputs=outputs, targets=targets, accuracy=accuracy)
        self._report()

    @public
    def end_epoch(
        self,
        *,
        training_loss: SupportsFloat | None = None,
        validation_loss: SupportsFloat | None = None,
        validation_accuracy: SupportsFloat | None = None,
        validation_examples: int = 0,
    ) -> None:
        """End an epoch: call it after each epoch if you want verdicts on curves, such as `overfit`.

        The training loss is the mean of the epoch's steps, unless one is given. `validation_examples` is the number of
        examples of the validation accuracy (0..1): without it, no verdict judges whether the accuracy is above chance.
        """
        self._source.end_epoch(
            training_loss=training_loss,
            validation_loss=validation_loss,
            validation_accuracy=validation_accuracy,
            validation_examples=validation_examples,
        )
        self._report()

    @property
    def verdict(self) -> TrialVerdict:
        """The strongest finding so far; `inconclusive` until there is enough evidence."""
        return verdict_of(self._findings()[0])

    @property
    def findings(self) -> tuple[TrialVerdict, ...]:
        """All findings so far, strongest first."""
        return tuple(map(verdict_of, self._findings()))

    @property
    def notes(self) -> tuple[str, ...]:
        """The blind spots of the monitor in this network, in sentences."""
        return tuple(self._source.notes)

    @property
    def telemetry(self) -> Telemetry:
        """All measurements so far."""
        return self._source.telemetry

    def close(self) -> None:
        """Remove all hooks from the model and the optimizers; the measurements are kept."""
        self._source.close()

    def _findings(self) -> tuple[Finding, ...]:
        return _judge(self.telemetry)

    def _look(self, telemetry: Telemetry) -> None:
        """Judge new measurements; keep a verdict to report if it has held for some steps, or numbers broke."""
        finding = _judge(telemetry)[0]
        if finding.cause is not self._cause:
            self._cause, self._since = finding.cause, telemetry.steps
        if finding.cause in _WELL or finding.cause in self._reported:
            return
        if telemetry.steps - self._since >= _HELD_STEPS or telemetry.nonfinite is not None:
            self._reported.add(finding.cause)
            self._news = verdict_of(finding)

    def _report(self) -> None:
        news, self._news = self._news, None
        if news is None:
            return
        if self._on_verdict is not None:
            self._on_verdict(news)
            return
        step = self.telemetry.steps - 1
        warnings.warn(f"step {step}: {news}", TrainingWarning, stacklevel=4)  # at the line that called `step`


def _judge(telemetry: Telemetry) -> tuple[Finding, ...]:
    assert telemetry.program is not None
    return judge(telemetry, facts_of_program(telemetry.program)).findings
