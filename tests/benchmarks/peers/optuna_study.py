"""The study of a peer with Optuna: TPE and the median pruner, Optuna's defaults for one objective."""

from collections.abc import Callable, Iterator

import optuna

from tests.benchmarks.peers.task import PeerTask, PeerTrial


def optimized(task: PeerTask, train: Callable[[float, float, int], Iterator[float]]) -> list[PeerTrial]:
    """Search with `train`, which yields the accuracy after each epoch of a learning rate, decay and trial number."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", *task.learning_rate, log=True)
        decay = trial.suggest_float("weight_decay", *task.weight_decay, log=True)
        accuracy = 0.0
        for epoch, accuracy in enumerate(train(rate, decay, trial.number)):  # the last one counts
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study = optuna.create_study(
        study_name=f"peer-{task.seed}",
        storage=task.storage,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=task.seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.optimize(objective, n_trials=task.trials)
    return [_ended(trial) for trial in study.trials]


def _ended(trial: optuna.trial.FrozenTrial) -> PeerTrial:
    started, ended = trial.datetime_start, trial.datetime_complete
    assert started is not None
    assert ended is not None
    is_complete = trial.state is optuna.trial.TrialState.COMPLETE
    return PeerTrial(
        started_s=started.timestamp(),
        ended_s=ended.timestamp(),
        epochs=len(trial.intermediate_values),
        accuracy=trial.value if is_complete else None,
    )
