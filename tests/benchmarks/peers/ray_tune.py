"""Ray Tune with a network of PyTorch: `python -m tests.benchmarks.peers.ray_tune TASK RESULT`.

It has Optuna's TPE and a median rule, as the others do, and one core for each trial: as many trials at once as there
are cores.
"""

import tempfile
import time
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import MedianStoppingRule
from ray.tune.search.optuna import OptunaSearch

from tests.benchmarks.peers.task import Arrays, PeerTask, PeerTrial, given_task, write_trials
from tests.benchmarks.peers.torch_network import accuracies


def train(config: dict[str, Any], arrays: Arrays, task: PeerTask) -> None:
    """Train one trial, and report the accuracy after each epoch with its time."""
    began_s = time.time()
    rates = {"rate": config["learning_rate"], "decay": config["weight_decay"]}
    for accuracy in accuracies(task, arrays, **rates):
        tune.report({"accuracy": accuracy, "began_s": began_s, "now_s": time.time()})


def search(task: PeerTask, folder: str) -> list[PeerTrial]:
    """Search, and return the trials; `folder` is for Ray's files."""
    ray.init(include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_parameters(train, arrays=task.arrays(), task=task),
        param_space={
            "learning_rate": tune.loguniform(*task.learning_rate),
            "weight_decay": tune.loguniform(*task.weight_decay),
        },
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=task.trials,
            search_alg=OptunaSearch(seed=task.seed),
            reuse_actors=True,  # otherwise each trial starts a process and imports PyTorch
            scheduler=MedianStoppingRule(grace_period=1, min_samples_required=5),
        ),
        run_config=tune.RunConfig(storage_path=folder, verbose=0),
    )
    return [_ended(result.metrics, task) for result in tuner.fit() if result.metrics]


def _ended(last: dict[str, Any], task: PeerTask) -> PeerTrial:
    epochs = int(last["training_iteration"])
    return PeerTrial(
        started_s=last["began_s"],
        ended_s=last["now_s"],
        epochs=epochs,
        accuracy=last["accuracy"] if epochs == task.epochs else None,
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="hpsearch-ray-") as _folder:
        write_trials(search(given_task(), _folder))
