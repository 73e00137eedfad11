"""PyTorch models in trials of a study: their verdicts come from what a monitor measured."""

import subprocess
import sys
from pathlib import Path

from hpsearch.diagnosis.programs import MOST_CONFIDENT
from hpsearch.objective.messages import TelemetryUpdate
from hpsearch.storage.store import open_store
from hpsearch.study.spec import NO_DATA, Choices, ObjectiveSpec, PruningSpec, SamplerSpec, StudySpec
from hpsearch.trials import Trial, TrialState
from hpsearch.verdicts import Cause
from hpsearch.worker.child_trial import children_of
from hpsearch.worker.loop import Worker, WorkerOptions
from hpsearch.worker.shutdown import StopRequest
from tests.objective.test_trial import Recorder, trial_of
from tests.objective.torch_programs import require_torch

require_torch()

import torch  # noqa: E402 # it may be missing

from hpsearch.objective.torch import TorchMonitor  # noqa: E402

FUNCTION = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

EPOCHS, BATCHES = 3, 17


def train(trial):
    torch.manual_seed(trial.seed)
    torch.set_num_threads(1)
    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    y = torch.tensor(digits.target)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["rate"])
    monitor = trial.watch(model, optimizer, steps=EPOCHS * BATCHES)
    for epoch in range(EPOCHS):
        for chosen in torch.randperm(len(x))[: 100 * BATCHES].split(100):
            optimizer.zero_grad()
            z = model(x[chosen])
            loss = F.cross_entropy(z, y[chosen])
            loss.backward()
            optimizer.step()
            monitor.step(loss, outputs=z, targets=y[chosen])
        trial.report(epoch, value=float(loss.detach()))
    return float(loss.detach())
"""

HEALTHY, SICK = 0.5, 1e6


def trained(folder: Path) -> dict[float, Trial]:
    """Return the two trials of a study by their learning rate, after a worker trained them."""
    (folder / "torch_train.py").write_text(FUNCTION)
    spec = StudySpec(
        name="torch",
        data=NO_DATA,
        metric="value",  # type: ignore[arg-type] # any name, for a study with an objective
        trials=2,
        search=(Choices(name="rate", choices=(HEALTHY, SICK)),),
        sampler=SamplerSpec(name="grid"),
        pruning=PruningSpec(rank="none"),
        objective=ObjectiveSpec(function="torch_train:train", python_path=(str(folder),)),
    )
    with open_store(f"sqlite:///{folder}/lab.db") as store:
        study = store.studies.create(spec, fingerprint="")
        options = WorkerOptions(name="ann", rows=1)
        children = children_of(study, store.folder, None)
        Worker(store, study, children, options=options, stop=StopRequest()).run()
        return {float(trial.params["rate"]): trial for trial in store.trials.all(study)}


def test_a_trial_has_the_verdict_of_its_monitor(tmp_path: Path) -> None:
    """One model learns and the other diverges, which stops no trial by itself; `trial show` prints the verdict."""
    trials = trained(tmp_path)
    healthy, sick = trials[HEALTHY], trials[SICK]
    assert (healthy.state, healthy.verdict, healthy.steps) == (TrialState.COMPLETE, Cause.HEALTHY, 51)
    assert sick.verdict in (Cause.DIVERGED_LR, Cause.EXPLODING)
    assert (sick.epochs, sick.steps) == (3, 51)
    assert sick.finding is not None
    assert sick.finding.evidence
    assert sick.finding.confidence <= MOST_CONFIDENT
    show = ["trial", "show", "torch", str(sick.number), "--storage", f"sqlite:///{tmp_path}/lab.db"]
    shown = subprocess.run(
        [sys.executable, "-m", "hpsearch", *show], capture_output=True, text=True, check=True
    ).stdout
    assert sick.verdict in shown
    assert "Lower the learning rate from 1e+06" in shown


def test_each_report_ends_an_epoch_of_the_monitor() -> None:
    """Its numbers of the known names are the epoch's; a report before the first step ends none."""
    channel = Recorder()
    trial = trial_of(channel)
    model = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = trial.watch(model, optimizer)
    assert isinstance(monitor, TorchMonitor)
    trial.report(0, value=0.0)
    for epoch in (1, 2):
        loss = model(torch.ones(5, 4)).square().mean()
        loss.backward()
        optimizer.step()
        monitor.step(loss)
        trial.report(epoch, validation_loss=0.25 * epoch, accuracy=0.5)
    monitor.close()
    (*_, last) = (one.telemetry for one in channel.sent if isinstance(one, TelemetryUpdate))
    assert [(one.epoch, one.validation_loss, one.validation_accuracy) for one in last.epochs] == [
        (0, 0.25, None),
        (1, 0.5, None),
    ]
