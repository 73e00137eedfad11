"""What diagnosis knows about a trial besides its telemetry."""

from dataclasses import dataclass
from typing import final

from hpsearch.study.spec import Configuration


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """The trial's own configuration and the size of its task.

    `configuration.model.loss` is resolved. `steps` is how many optimizer steps the whole trial would make,
    `is_classification` whether targets are classes.
    """

    configuration: Configuration
    steps: int
    is_classification: bool

    @property
    def learning_rate(self) -> float:
        """The trial's learning rate."""
        return self.configuration.training.learning_rate

    @property
    def activation(self) -> str:
        """The name of the hidden layers' activation."""
        return self.configuration.model.activation
