"""A training function that fails in every way, with two workers of which one is killed: the budget is exact."""

import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hpsearch.storage.store import open_store
from hpsearch.trials import TrialState
from hpsearch.verdicts import Cause

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

STUDY = """
name = "mine"
trials = 20
[objective]
function = "train:train"
[limits]
trial_memory_mb = 400
[search]
x = { low = -1.0, high = 1.0 }
[sampler]
name = "random"
"""

FUNCTION = '''
import os, pathlib, signal

def worker():
    """Return the worker's process: the parent, or the parent of the process that this one is a copy of."""
    process = os.getppid()
    while b"worker\\0start" not in pathlib.Path(f"/proc/{process}/cmdline").read_bytes():
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
        process = int(status.rpartition(")")[2].split()[1])
    return process

def train(trial):
    (pathlib.Path(__file__).parent / f"process-{os.getpid()}").touch()
    print("trial", trial.number)
    if trial.number in (2, 5, 8):
        raise ValueError("no such width")
    if trial.number == 4:
        killed = trial.checkpoint_dir / "killed"
        if not killed.exists():
            killed.touch()
            os.kill(worker(), signal.SIGKILL)
            signal.pause()
    if trial.number == 6:
        os._exit(3)
    if trial.number == 9:
        blocks = []
        while True:
            blocks.append(b"x" * 2**22)
    for epoch in range(3):
        trial.report(epoch, value=trial.params["x"] ** 2, epoch_number=epoch)
    return trial.params["x"] ** 2
'''

HUNG = """
name = "hung"
trials = 1
[objective]
function = "train:hang"
[limits]
trial_seconds = 0.1
"""
"""Its only trial is over its time on any machine, however fast, and that of no other trial is limited."""

HANG = """
def hang(trial):
    (pathlib.Path(__file__).parent / f"process-{os.getpid()}").touch()
    while True:
        signal.pause()
"""

WORKER = ["worker", "start", "--study", "mine", "--exit-when-idle", "--lease", "5"]


def test_every_failure_has_its_cause_and_the_budget_is_exact(
    make_folder: Callable[[Mapping[str, str]], "Folder"],
) -> None:
    """20 trials finish; each failure has its cause, text and place; a lost trial goes on; nothing is left.

    Another study's trial hangs meanwhile, and is killed.
    """
    folder = make_folder({"mine.toml": STUDY, "train.py": FUNCTION + HANG, "hung.toml": HUNG})
    created = folder.run("study", "create", "mine.toml")
    assert created.returncode == 0, created.stderr
    with folder.start(*WORKER) as one, folder.start(*WORKER) as other:
        hung = folder.run("study", "run", "hung.toml", "--workers", "1")
        assert sorted([one.wait(300), other.wait(300)]) == [-9, 0]

    with open_store(f"sqlite:///{folder.path}/storage/hpsearch.db") as store:
        study = store.studies.get("mine")
        trials, progress = store.trials.all(study), store.studies.progress(study)
    assert (progress.finished, progress.failed, progress.running, progress.waiting) == (20, 5, 0, 0)
    failures = {trial.number: trial.failure for trial in trials if trial.state is TrialState.FAILED}
    found = {n: (one.cause, one.words) for n, one in failures.items() if one is not None}
    line = FUNCTION.splitlines().index('        raise ValueError("no such width")') + 1
    assert found == {
        **dict.fromkeys((2, 5, 8), (Cause.CODE_ERROR, f"ValueError in train.py:{line}")),
        6: (Cause.CODE_ERROR, "exit code 3"),
        9: (Cause.OUT_OF_MEMORY, "over trial_memory_mb"),
    }
    assert all(one is not None and one.output == f"trial {n}" for n, one in failures.items())
    assert trials[4].attempts >= 2
    assert trials[4].state.is_final

    shown = folder.run("study", "show", "mine").stdout
    assert f"3 of 25 trials: ValueError in train.py:{line}: no such width (trials 2, 5, 8)" in shown
    assert "no such width" in folder.run("trial", "show", "mine", "5").stdout
    assert folder.json("trial", "show", "mine", "6")["failure"]["exit_code"] == 3
    assert hung.returncode == 1, hung.stderr
    failure = folder.json("trial", "show", "hung", "0")["failure"]
    assert (failure["cause"], failure["kind"]) == (Cause.TIMEOUT, "over trial_seconds")
    assert not [path for path in folder.path.glob("process-*") if is_running(path.name.partition("-")[2])]
    refused = folder.run("trial", "replay", "mine", "0")
    assert (refused.returncode, "must train the built-in network" in refused.stderr) == (1, True)
    reported = folder.run("report", "mine")
    assert reported.returncode == 0, reported.stderr


def is_running(process_id: str) -> bool:
    """Return True if a process of that id is a trial's."""
    try:
        return b"spawn_main" in Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return False


def test_an_optuna_program_runs_unchanged(
    make_folder: Callable[[Mapping[str, str]], "Folder"], repository: Path
) -> None:
    """The page's Optuna program with `cross_val_score` has an exact budget, and a study of ours with a report."""
    page = (repository / "studies/README.md").read_text().partition("### Optuna programs")[2]
    program, *_ = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    folder = make_folder({"classifiers.py": program.replace("n_trials=6", "n_trials=2")})
    ran = folder.run("run", "classifiers.py")
    assert ran.returncode == 0, ran.stderr
    assert "'classifier'" in ran.stdout
    shown = folder.json("study", "show", "classifiers")
    assert (shown["finished"], shown["trials"], shown["state"]) == (2, 2, "finished")
    trials = folder.json("study", "trials", "classifiers")
    assert {frozenset(trial["params"]) for trial in trials} <= {
        frozenset({"classifier", "svc_c"}),
        frozenset({"classifier", "rf_max_depth"}),
    }
    reported = folder.run("report", "classifiers")
    assert reported.returncode == 0, reported.stderr


PYTORCH = """
import optuna
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torch.utils.data
from optuna.trial import TrialState
from sklearn.datasets import load_digits

DEVICE = torch.device("cpu")
BATCHSIZE = 128
CLASSES = 10
EPOCHS = 3


def define_model(trial):
    n_layers = trial.suggest_int("n_layers", 1, 3)
    layers = []
    in_features = 8 * 8
    for i in range(n_layers):
        out_features = trial.suggest_int("n_units_l{}".format(i), 4, 128)
        layers.append(nn.Linear(in_features, out_features))
        layers.append(nn.ReLU())
        p = trial.suggest_float("dropout_l{}".format(i), 0.2, 0.5)
        layers.append(nn.Dropout(p))
        in_features = out_features
    layers.append(nn.Linear(in_features, CLASSES))
    layers.append(nn.LogSoftmax(dim=1))
    return nn.Sequential(*layers)


def get_digits():
    digits = load_digits()
    dataset = torch.utils.data.TensorDataset(torch.tensor(digits.data / 16.0).float(), torch.tensor(digits.target))
    train, valid = torch.utils.data.random_split(dataset, [0.7, 0.3])
    return (torch.utils.data.DataLoader(part, batch_size=BATCHSIZE, shuffle=True) for part in (train, valid))


def objective(trial):
    model = define_model(trial).to(DEVICE)
    optimizer_name = trial.suggest_categorical("optimizer", ["Adam", "RMSprop", "SGD"])
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    optimizer = getattr(optim, optimizer_name)(model.parameters(), lr=lr)
    clip = trial.suggest_categorical("clip", [None, 1.0])
    train_loader, valid_loader = get_digits()

    for epoch in range(EPOCHS):
        model.train()
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()

        model.eval()
        correct = 0
        with torch.no_grad():
            for data, target in valid_loader:
                correct += (model(data).argmax(dim=1) == target).sum().item()
        accuracy = correct / len(valid_loader.dataset)

        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.exceptions.TrialPruned()

    return accuracy


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"n_layers": 1, "n_units_l0": 32, "optimizer": "Adam", "lr": 0.01, "clip": None})
    study.optimize(objective, n_trials=2, timeout=600)

    pruned_trials = study.get_trials(deepcopy=False, states=[TrialState.PRUNED])
    complete_trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    print("Study statistics: ")
    print("  Number of finished trials: ", len(study.trials))
    print("  Number of pruned trials: ", len(pruned_trials))
    print("  Number of complete trials: ", len(complete_trials))
    print("Best trial:")
    trial = study.best_trial
    print("  Value: ", trial.value)
    for key, value in trial.params.items():
        print("    {}: {}".format(key, value))
"""
"""In the style of `pytorch/pytorch_simple.py` of optuna-examples, on scikit-learn's digits."""


@pytest.mark.skipif(
    find_spec("torch") is None and os.environ.get("HPSEARCH_REQUIRE_TORCH") != "1",
    reason="the program needs torch",
)
def test_a_pytorch_program_runs_unchanged(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> None:
    """It has an exact budget, what it enqueues and reports is stored, and None among choices stays None."""
    folder = make_folder({"simple.py": PYTORCH})
    ran = folder.run("run", "simple.py")
    assert ran.returncode == 0, ran.stderr
    assert "Number of finished trials:  2" in ran.stdout
    shown = folder.json("study", "show", "simple")
    assert (shown["finished"], shown["trials"], shown["state"]) == (2, 2, "finished")
    first, *_ = folder.json("study", "trials", "simple")
    dropout = first["params"].pop("dropout_l0")
    assert first["params"] == {"n_layers": 1, "n_units_l0": 32, "optimizer": "Adam", "lr": 0.01, "clip": None}
    assert 0.2 <= dropout <= 0.5
    assert (first["state"], first["epochs"], first["value"] > 0.5) == ("complete", 3, True)
