"""What diagnosis knows about a trial besides its telemetry."""

import math
from dataclasses import dataclass
from typing import final

from hpsearch.study.spec import Configuration


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The trial's own configuration and the size of its task.

    `configuration.model.loss` is resolved. `steps` is how many optimizer steps the whole trial would make,
    `is_classification` whether targets are classes. `chance_loss` is the loss of a network that has learned
    nothing but the shares of the classes: the entropy of the prior, in nats; infinite where that says nothing.
    """

    configuration: Configuration
    steps: int
    is_classification: bool
    chance_loss: float = math.inf

    @property
    def learning_rate(self) -> float:
        """The trial's learning rate."""
        return self.configuration.training.learning_rate

    @property
    def safer_learning_rate(self) -> float:
        """A tenth of the learning rate, for a trial whose own was too high."""
        return self.learning_rate / 10

    @property
    def activation(self) -> str:
        """The name of the hidden layers' activation."""
        return self.configuration.model.activation


def lower_learning_rate(facts: Facts) -> str:
    """Return the remedy for a learning rate that was too high, without its full stop."""
    return f"Lower the learning rate from {facts.learning_rate:.2g} to {facts.safer_learning_rate:.2g}"
