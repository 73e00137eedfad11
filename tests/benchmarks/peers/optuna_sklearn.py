"""Optuna with scikit-learn's MLPClassifier: `python -m tests.benchmarks.peers.optuna_sklearn TASK RESULT`."""

from collections.abc import Iterator

import numpy as np
import optuna
from sklearn.neural_network import MLPClassifier

from tests.benchmarks.peers.optuna_study import optimized
from tests.benchmarks.peers.task import PeerTask, PeerTrial, given_task, write_trials


def search(task: PeerTask) -> list[PeerTrial]:
    """Search, and return the trials."""
    x, y, validation_x, validation_y = task.arrays()
    classes = np.unique(y)

    def train(rate: float, decay: float, number: int) -> Iterator[float]:
        network = MLPClassifier(
            (task.hidden,),
            solver="sgd",
            momentum=0.0,
            learning_rate_init=rate,
            alpha=decay * task.batch_size,  # it divides by the examples of a minibatch
            batch_size=task.batch_size,
            random_state=number,
        )
        for _ in range(task.epochs):
            try:
                network.partial_fit(x, y, classes=classes)
            except ValueError as error:  # weights are not finite any more
                raise optuna.TrialPruned from error
            yield float(network.score(validation_x, validation_y))

    with np.errstate(all="ignore"):
        return optimized(task, train)


if __name__ == "__main__":
    write_trials(search(given_task()))
