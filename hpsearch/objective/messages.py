"""Messages between a worker and the child process in which a training function runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from hpsearch.study.spec import Dimension
from hpsearch.telemetry import Telemetry
from hpsearch.trials import Failure, ParameterValue


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The trial that a child process trains: its number, its parameters and its seed.

    `function` is `package.module:name`, found also in `python_path`; `metric` is the name of the number that ranks the
    trial; `checkpoint_dir` is a folder of the trial's own, which need not exist.
    """

    number: int
    params: Mapping[str, ParameterValue]
    seed: int
    function: str
    python_path: tuple[str, ...]
    metric: str
    checkpoint_dir: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EpochReport:
    """Numbers after an epoch. `value` ranks the trial, None if it was not among them. The child waits for an answer."""

    epoch: int
    value: float | None
    numbers: Mapping[str, float]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A JSON value that the function stores with its trial, under a name."""

    name: str
    value: Any


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TelemetryUpdate:
    """All that a monitor measured inside the model so far."""

    telemetry: Telemetry


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterRequest:
    """The range or choices of a parameter that the function asks for. The child waits for its value."""

    dimension: Dimension


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FinalValue:
    """The number that the function returned."""

    value: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EarlyEnd:
    """The early end of the function: the worker asked for it, or it gave up by itself."""


End: TypeAlias = FinalValue | EarlyEnd | Failure
END: Final = (FinalValue, EarlyEnd, Failure)
"""The end of a trial's function."""

FromChild: TypeAlias = EpochReport | Note | TelemetryUpdate | ParameterRequest | End


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledgement:
    """The answer to a report: train on."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EndRequest:
    """The request to end the trial now. It may come at any time."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenValue:
    """The value of a parameter that the function asked for."""

    value: ParameterValue


ToChild: TypeAlias = Acknowledgement | EndRequest | ChosenValue
