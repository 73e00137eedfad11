"""The trial that a training function gets: its parameters, and its reports to the worker."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, final

from hpsearch.objective.messages import EpochReport, Note, Order, ParameterRequest, TelemetryUpdate
from hpsearch.study.spec import Choices, Dimension, Range
from hpsearch.trials import ParameterValue

if TYPE_CHECKING:
    from hpsearch.telemetry import Telemetry


_LONGEST_NOTE: Final = 60_000
_LONGEST_NAME: Final = 190
"""The most that every database stores of a note: bytes of its JSON, and characters of its name."""


class TrialStopped(Exception):  # noqa: N818 # it is no error, as StopIteration is none
    """The trial ends early: other trials are better, or it is over a limit. Do not catch it, or raise it again.

    >>> def train(trial):
    ...     try:
    ...         trial.report(0, value=0.5)
    ...     except hpsearch.TrialStopped:
    ...         print("saving the model")
    ...         raise
    ...     return 0.5
    """


class Channel(Protocol):
    """The connection of a trial to its worker."""

    @property
    def should_stop(self) -> bool:
        """True if the worker asked the trial to end."""

    def send(self, message: Note | TelemetryUpdate) -> None:
        """Send a message that needs no answer."""

    def report(self, message: EpochReport) -> None:
        """Send a report and wait until the worker has ranked the trial."""

    def ask(self, message: ParameterRequest) -> ParameterValue:
        """Return the value that the worker chooses."""


class Monitored(Protocol):
    """A monitor of a model in training."""

    def end_reported_epoch(self, numbers: Mapping[str, float]) -> None:
        """End an epoch after which the function reported `numbers`."""


@final
class ObjectiveTrial:
    """One trial, as a training function gets it. It has the methods of Optuna's trials too.

    >>> def train(trial):
    ...     x = trial.params["x"]
    ...     for epoch in range(3):
    ...         trial.report(epoch, value=x**2 + 1 / (1 + epoch))  # raises TrialStopped if it is outranked
    ...     return x**2
    >>> square = hpsearch.create_study(
    ...     "square",
    ...     objective=train,
    ...     search={"x": hpsearch.Range(-1.0, 1.0)},
    ...     trials=2,
    ...     storage="sqlite:///lab.db",
    ... )
    >>> square.run(workers=1, progress=False).state
    'finished'
    """

    def __init__(self, order: Order, channel: Channel) -> None:
        self._order = order
        self._channel = channel
        self._params = dict(order.params)
        self._notes: dict[str, object] = {}
        self._last_epoch = -1
        self._monitor: Monitored | None = None

    @property
    def number(self) -> int:
        """The number of the trial in its study, from 0."""
        return self._order.number

    @property
    def params(self) -> dict[str, ParameterValue]:
        """The parameters by name: those of `[search]`, and those that were suggested so far."""
        return dict(self._params)

    @property
    def seed(self) -> int:
        """A seed (0..2^32 - 1) of the trial's own, from the study's seed and the trial's number."""
        return self._order.seed

    @property
    def checkpoint_dir(self) -> Path:
        """A folder of this trial's own, which exists. If its worker is lost, the next attempt finds it unchanged."""
        folder = Path(self._order.checkpoint_dir)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def should_stop(self) -> bool:
        """True if the trial should end now: it is outranked or over a limit."""
        return self._channel.should_stop

    def report(
        self,
        epoch: float,
        optuna_step: int | None = None,
        /,
        *,
        value: float | None = None,
        step: int | None = None,
        **numbers: float,
    ) -> None:
        """Report numbers after `epoch` (from 0). Raises TrialStopped if the trial should end.

        `value` ranks the trial among others of the same epoch, for pruning; without it, the number with the name of the
        study's metric does. All `numbers` are stored by epoch.

        In Optuna's form, `report(value, step)`, it raises nothing: `should_prune` returns whether the trial should end.

        Raises ValueError unless epochs are whole numbers that grow.
        """
        if (place := optuna_step if step is None else step) is not None:
            if place > self._last_epoch:  # Optuna ignores a second report of a step
                self._send(place, float(epoch), {})
            return
        if value is None and self._order.metric in numbers:
            value = numbers[self._order.metric]
        self._send(_whole(epoch), None if value is None else float(value), numbers)
        if self.should_stop:
            raise TrialStopped(f"trial {self.number} ends after epoch {epoch}")

    def _send(self, epoch: int, value: float | None, numbers: dict[str, float]) -> None:
        if epoch <= self._last_epoch:
            raise ValueError(f"epoch: must grow from report to report (got {epoch} after {self._last_epoch})")
        self._last_epoch = epoch
        plain = {name: float(number) for name, number in numbers.items()}
        if self._monitor is not None:
            self._monitor.end_reported_epoch(plain)
        self._channel.report(EpochReport(epoch=epoch, value=value, numbers=plain))

    def note(self, name: str, value: object) -> None:
        """Store a JSON value with the trial, which every Optuna tool shows as a user attribute.

        Raises ValueError for a value that is no JSON, or longer than every database stores.
        """
        try:
            size = len(json.dumps(value))
        except (TypeError, ValueError) as error:
            raise ValueError(f"note {name}: must be a JSON value (got {value!r:.80}): {error}") from error
        if size > _LONGEST_NOTE or len(name) > _LONGEST_NAME:
            rule = (
                f"must have at most {_LONGEST_NOTE:,} bytes as JSON, and its name {_LONGEST_NAME} characters"
            )
            raise ValueError(f"note {name:.80}: {rule} (got {size:,} and {len(name)}): write it to a file")
        self._notes[name] = value
        self._channel.send(Note(name=str(name), value=value))

    def watch(self, model: object, optimizer: object, **options: object) -> object:
        """Return a monitor of a PyTorch model in training; call its `step` once per step of the optimizer.

        The trial's verdict comes from what it measures. Each `report` ends an epoch, with the numbers called
        `training_loss`, `validation_loss` and `validation_accuracy`. The model that is watched last counts.
        `options` are those of `hpsearch.watch`: `steps`, `scaler` and `probes`.
        """
        self._monitor = import_module("hpsearch.objective.torch").attach(self, model, optimizer, **options)
        return self._monitor

    def measured(self, telemetry: Telemetry) -> None:
        """Send the measurements of a monitor so far."""
        self._channel.send(TelemetryUpdate(telemetry=telemetry))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a number in [low, high]: the parameter of that name, sampled now if the trial has none."""
        _check_range(name, low, high, step=step, log=log)
        return float(self._suggest(Range(float(low), float(high), log=log, step=step, name=name)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number in [low, high], as `suggest_float`."""
        _check_range(name, low, high, step=None if step == 1 else step, log=log)
        spacing = None if step == 1 else float(step)
        return int(self._suggest(Range(low, high, log=log, step=spacing, integer=True, name=name)))

    def suggest_categorical(self, name: str, choices: Sequence[ParameterValue]) -> ParameterValue:
        """Return one of `choices`, numbers, texts, flags or None, as `suggest_float`."""
        if not choices or not all(isinstance(choice, bool | int | float | str | None) for choice in choices):
            raise ValueError(f"{name}: choices must be numbers, texts, flags or None (got {choices!r:.80})")
        return self._suggest(Choices(choices, name=name))

    def _suggest(self, dimension: Dimension) -> ParameterValue:
        if dimension.name not in self._params:
            self._params[dimension.name] = self._channel.ask(ParameterRequest(dimension=dimension))
        return self._params[dimension.name]

    def should_prune(self) -> bool:
        """Return `should_stop`, under Optuna's name."""
        return self.should_stop

    def set_user_attr(self, key: str, value: object) -> None:
        """Store a JSON value with the trial: `note`, under Optuna's name."""
        self.note(key, value)

    @property
    def user_attrs(self) -> dict[str, object]:
        """The notes so far, under Optuna's name."""
        return dict(self._notes)


def _check_range(name: str, low: float, high: float, *, step: float | None, log: bool) -> None:
    """Raise ValueError for a range that cannot be searched."""
    if not low <= high:
        raise ValueError(f"{name}: low must be at most high (got {low} and {high})")
    if log and (low <= 0 or step is not None):
        raise ValueError(f"{name}: a log scale needs low above 0 and no step (got low {low}, step {step})")
    if step is not None and step <= 0:
        raise ValueError(f"{name}: step must be above 0 (got {step})")


def _whole(epoch: float) -> int:
    if isinstance(epoch, bool) or epoch != int(epoch) or epoch < 0:
        raise ValueError(f"epoch: must be a whole number from 0 on (got {epoch!r})")
    return int(epoch)


Objective = Callable[[ObjectiveTrial], float]
"""A training function: it trains one trial and returns the number that the study optimizes."""
