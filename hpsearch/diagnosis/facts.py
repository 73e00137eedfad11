"""Facts for the diagnosis of a trial besides its telemetry."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

from hpsearch.study.metrics import Metric
from hpsearch.study.spec import Configuration, Loss, Scale, StudySpec
from hpsearch.telemetry import DataFacts, Program
from hpsearch.verdicts import Cause


@final
@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """The trial's own configuration, its data, and the size of its task.

    `configuration.model.loss` is resolved; "auto" is a program's loss that is unknown. `steps_per_epoch` is the number
    of minibatches in one pass over the training part. `expected` are causes that the study has on purpose: they never
    count as problems. `scale` is the study's scaling of inputs, None if it is unknown. `metric` is what the study is
    scored by. `program` is the user's training loop, None for the built-in network; its verdicts may stop the trial
    only if it `acts`.
    """

    configuration: Configuration
    data: DataFacts
    steps_per_epoch: int
    expected: frozenset[Cause] = frozenset()
    scale: Scale | None = None
    metric: Metric = "auto"
    program: Program | None = None
    acts: bool = False

    @cached_property
    def steps(self) -> int:
        """The number of optimizer steps in the whole trial."""
        return self.configuration.training.epochs * self.steps_per_epoch

    @property
    def is_classification(self) -> bool:
        """True if targets are classes."""
        return self.data.is_classification

    @property
    def is_scored_by_answers(self) -> bool:
        """True if right answers count, whatever their probability."""
        return self.is_classification and not self.metric.endswith("loss")

    @cached_property
    def chance_loss(self) -> float:
        """The loss of a network that has learned only the shares of the classes, or the targets' mean.

        The entropy of the prior in nats for cross-entropy, its mean over outputs for binary cross-entropy, and the
        variance for squared error; infinite if that is unknown.
        """
        return chance_loss(self.configuration.model.loss, self.data)

    @property
    def learning_rate(self) -> float:
        """The trial's learning rate."""
        return self.configuration.training.learning_rate

    @property
    def activation(self) -> str:
        """The name of the hidden layers' activation."""
        return self.configuration.model.activation


def facts_about(spec: StudySpec, data: DataFacts, configuration: Configuration) -> TrialFacts:
    """Return the facts of a configuration of a study with this data."""
    return TrialFacts(
        configuration=configuration,
        data=_as_weighted(data) if configuration.training.class_weight == "balanced" else data,
        steps_per_epoch=-(-data.examples // configuration.training.batch_size),
        expected=frozenset(spec.pruning.expected),
        scale=spec.data.scale,
        metric=spec.metric,
    )


def _as_weighted(data: DataFacts) -> DataFacts:
    """Return the facts as training weights the classes: those that have examples count equally.

    So chance is that of guessing one of them: an accuracy below the share of the largest class is no fault then.
    """
    present = sum(share > 0 for share in data.class_shares)
    shares = tuple(1 / present if share > 0 else 0.0 for share in data.class_shares)
    return replace(data, class_shares=shares, validation_shares=())


def chance_loss(loss: Loss, data: DataFacts) -> float:
    """Return the smallest loss of a network whose outputs do not depend on its inputs."""
    shares = data.class_shares
    match loss:
        case "cross_entropy":
            return _entropy(shares)
        case "binary_cross_entropy":
            # one output for two classes, or one for each of several: see `training.examples.output_count`
            return _entropy(shares) if len(shares) == 2 else _mean_binary_entropy(shares)
        case "mse":
            return _one_hot_variance(shares) if shares else data.target_variance
        case "auto":
            return math.inf


def _entropy(shares: Sequence[float]) -> float:
    return -sum(share * math.log(share) for share in shares if share > 0)


def _mean_binary_entropy(shares: Sequence[float]) -> float:
    return sum(_entropy((share, 1 - share)) for share in shares) / len(shares)


def _one_hot_variance(shares: Sequence[float]) -> float:
    return sum(share * (1 - share) for share in shares) / len(shares)
