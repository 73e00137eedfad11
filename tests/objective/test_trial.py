"""The trial that a training function gets: what it reports, and when it ends."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hpsearch.objective.messages import EpochReport, Note, Order, ParameterRequest, TelemetryUpdate
from hpsearch.objective.trial import ObjectiveTrial, TrialStopped
from hpsearch.study.spec import Choices, Range
from hpsearch.trials import ParameterValue


@dataclass
class Recorder:
    """A channel that keeps the messages, and stops the trial after some reports."""

    stop_after: int = 99
    sent: list[Note | TelemetryUpdate | EpochReport] = field(default_factory=list)
    asked: list[ParameterRequest] = field(default_factory=list)

    @property
    def should_stop(self) -> bool:
        """True once there are as many reports."""
        return sum(isinstance(one, EpochReport) for one in self.sent) >= self.stop_after

    def send(self, message: Note | TelemetryUpdate) -> None:
        """Keep the message."""
        self.sent.append(message)

    def report(self, message: EpochReport) -> None:
        """Keep the report."""
        self.sent.append(message)

    def ask(self, message: ParameterRequest) -> ParameterValue:
        """Keep the question, and return the low end or the last choice."""
        self.asked.append(message)
        dimension = message.dimension
        return dimension.choices[-1] if isinstance(dimension, Choices) else dimension.low


def trial_of(channel: Recorder, folder: Path = Path("unused")) -> ObjectiveTrial:
    """Return a trial with one parameter."""
    order = Order(
        number=7,
        params={"width": 32},
        seed=11,
        function="train:train",
        python_path=(),
        metric="accuracy",
        checkpoint_dir=str(folder / "7"),
    )
    return ObjectiveTrial(order, channel)


def test_a_trial_has_its_parameters_number_and_seed(tmp_path: Path) -> None:
    """They are those of the order; its folder exists once it is used."""
    trial = trial_of(Recorder(), tmp_path)
    assert (trial.number, trial.seed, trial.params) == (7, 11, {"width": 32})
    assert trial.checkpoint_dir == tmp_path / "7"
    assert trial.checkpoint_dir.is_dir()


def test_the_number_called_like_the_metric_ranks_the_trial() -> None:
    """`value` comes first; without both, a report does not rank the trial."""
    channel = Recorder()
    trial = trial_of(channel)
    trial.report(0, accuracy=0.5, loss=2)
    trial.report(1, value=0.75, accuracy=0.5)
    trial.report(4, loss=1.0)
    assert channel.sent == [
        EpochReport(epoch=0, value=0.5, numbers={"accuracy": 0.5, "loss": 2.0}),
        EpochReport(epoch=1, value=0.75, numbers={"accuracy": 0.5}),
        EpochReport(epoch=4, value=None, numbers={"loss": 1.0}),
    ]


def test_a_report_raises_if_the_trial_should_end() -> None:
    """The exception is TrialStopped, after the report was sent."""
    channel = Recorder(stop_after=2)
    trial = trial_of(channel)
    trial.report(0, value=1.0)
    with pytest.raises(TrialStopped, match="trial 7 ends after epoch 1"):
        trial.report(1, value=2.0)
    assert len(channel.sent) == 2


def test_optunas_form_of_a_report_raises_nothing() -> None:
    """`report(value, step)` and `should_prune` behave as in Optuna; a second report of a step is ignored."""
    channel = Recorder(stop_after=2)
    trial = trial_of(channel)
    trial.report(0.25, 0)
    trial.report(0.5, step=0)
    assert not trial.should_prune()
    trial.report(0.75, step=3)
    assert trial.should_prune()
    assert channel.sent == [
        EpochReport(epoch=0, value=0.25, numbers={}),
        EpochReport(epoch=3, value=0.75, numbers={}),
    ]


@pytest.mark.parametrize("epoch", [-1, 0.5, True, 2])
def test_epochs_are_whole_numbers_that_grow(epoch: float) -> None:
    """Anything else is a mistake in the function."""
    trial = trial_of(Recorder())
    trial.report(2, value=1.0)
    with pytest.raises(ValueError, match="epoch: must"):
        trial.report(epoch, value=1.0)


def test_a_note_must_be_json() -> None:
    """Notes are stored as JSON, so anything else is refused with its name."""
    channel = Recorder()
    trial = trial_of(channel)
    trial.note("layers", [1, 2])
    trial.set_user_attr("tag", "a")
    with pytest.raises(ValueError, match="note model: must be a JSON value"):
        trial.note("model", object())
    with pytest.raises(ValueError, match="note log: must have at most 60,000 bytes as JSON"):
        trial.note("log", "x" * 70_000)
    assert channel.sent == [Note(name="layers", value=[1, 2]), Note(name="tag", value="a")]
    assert trial.user_attrs == {"layers": [1, 2], "tag": "a"}


def test_a_trial_asks_for_parameters_that_it_has_not() -> None:
    """Each is asked for once, with its range or choices; those of the search are not asked for."""
    channel = Recorder()
    trial = trial_of(channel)
    assert trial.suggest_int("width", 8, 64) == 32
    assert trial.suggest_float("rate", 1e-5, 1, log=True) == 1e-5
    assert trial.suggest_float("rate", 1e-5, 1, log=True) == 1e-5
    assert trial.suggest_int("depth", 1, 9, step=2) == 1
    assert trial.suggest_categorical("kind", ["a", "b"]) == "b"
    assert trial.suggest_categorical("leaves", [10, None]) is None
    assert [one.dimension for one in channel.asked] == [
        Range(1e-5, 1.0, log=True, name="rate"),
        Range(1, 9, step=2.0, integer=True, name="depth"),
        Choices(["a", "b"], name="kind"),
        Choices([10, None], name="leaves"),
    ]
    assert trial.params == {"width": 32, "rate": 1e-5, "depth": 1, "kind": "b", "leaves": None}


@pytest.mark.parametrize(
    ("low", "high", "options"),
    [
        (1.0, 0.0, {}),
        (0.0, 1.0, {"log": True}),
        (1.0, 2.0, {"log": True, "step": 0.5}),
        (0.0, 1.0, {"step": 0.0}),
    ],
)
def test_a_range_that_cannot_be_sampled_is_refused(low: float, high: float, options: dict[str, Any]) -> None:
    """The error names the parameter."""
    with pytest.raises(ValueError, match="rate: "):
        trial_of(Recorder()).suggest_float("rate", low, high, **options)
