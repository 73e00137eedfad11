"""Studies in MLflow and TensorBoard: what is written is read back, and writing it again adds only what is new."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow.tracking
import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.store import open_store
from hpsearch.trials import TrialState
from hpsearch.workflows.mlflow_runs import write_runs
from hpsearch.workflows.tensorboard_events import write_events
from hpsearch.workflows.tracking import TrackedStudy, TrackedTrial, export_to_tracker

BEGAN = datetime(2026, 11, 29, 12, tzinfo=UTC)

RUNNING = TrackedTrial(
    number=0,
    state=TrialState.RUNNING,
    params={"lr": 0.1, "batch norm?": True, "optimizer": "sgd"},
    metrics={"validation_loss": {1: 2.0, 2: float("inf")}},
    tags={"state": "running", "fate": "running"},
    started=BEGAN,
    finished=None,
)
ENDED = replace(
    RUNNING,
    state=TrialState.PRUNED,
    metrics={"validation_loss": {1: 2.0, 2: float("inf"), 3: 1.5}, "value": {3: 1.5}},
    tags={"state": "pruned", "fate": "diverged", "verdict": "diverged_lr", "remedy": "Lower | the rate."},
    finished=BEGAN + timedelta(seconds=5),
)
FAILED = replace(ENDED, number=1, state=TrialState.FAILED, metrics={}, params={"lr": 1.0})


def study(
    *trials: TrackedTrial, key: str = "key-1", name: str = "my study", best: float = 1.5
) -> TrackedStudy:
    """Return a study with these trials."""
    return TrackedStudy(
        key=key,
        name=name,
        tags={"metric": "validation_loss"},
        best=best,
        is_finished=all(trial.state.is_final for trial in trials),
        created=BEGAN,
        trials=trials,
    )


def events(file: Path) -> Iterator[Event]:
    """Yield the events of a file in the format of TensorFlow's records, whose checksums must be right."""
    raw = file.read_bytes()
    while raw:
        header, (check,) = raw[:8], struct.unpack("<I", raw[8:12])
        assert check == _masked(header)
        (size,) = struct.unpack("<Q", header)
        data, (check,) = raw[12 : 12 + size], struct.unpack("<I", raw[12 + size : 16 + size])
        assert check == _masked(data)
        yield Event.FromString(data)
        raw = raw[16 + size :]


def _masked(data: bytes) -> int:
    """Return the masked checksum of https://www.tensorflow.org/tutorials/load_data/tfrecord."""
    crc = crc32c(data)
    return int((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def scalars(file: Path) -> list[tuple[str, int, float]]:
    """Return the tag, the step and the value of the scalars of a file."""
    return [
        (value.tag, event.step, value.simple_value)
        for event in events(file)
        for value in event.summary.value
        if not value.HasField("metadata")
    ]


def hyperparameters(file: Path) -> dict[str, HParamsPluginData]:
    """Return what the HPARAMS page of TensorBoard reads from a file, by tag."""
    return {
        value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for event in events(file)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    }


def trial_file(number: int = 0) -> Path:
    """Return the file of a trial in the only study of the folder `runs`."""
    (file,) = Path("runs").glob(f"*/trial-{number:04}/*tfevents*")
    return file


def test_tensorboard_has_curves_and_hyperparameters() -> None:
    """A trial's folder has its curves, its result, its hyperparameters with their types, and how it ended."""
    assert write_events(study(ENDED, FAILED), "runs") == (2, 0)
    assert scalars(trial_file()) == [
        ("validation_loss", 1, 2.0),
        ("validation_loss", 2, float("inf")),
        ("validation_loss", 3, 1.5),
        ("value", 3, 1.5),
    ]
    found = hyperparameters(trial_file())
    start = found["_hparams_/session_start_info"].session_start_info
    assert start.hparams["lr"].number_value == 0.1
    assert start.hparams["batch norm?"].bool_value is True
    assert start.hparams["verdict"].string_value == "diverged_lr"
    ends = [hyperparameters(trial_file(n))["_hparams_/session_end_info"].session_end_info for n in (0, 1)]
    assert [end.status for end in ends] == [1, 2]  # STATUS_SUCCESS, STATUS_FAILURE


def test_tensorboard_knows_the_columns_of_the_study() -> None:
    """The study's file has every hyperparameter with its type and every metric, the result first."""
    write_events(study(ENDED, FAILED), "runs")
    (file,) = Path("runs").glob("*/*tfevents*")
    experiment = hyperparameters(file)["_hparams_/experiment"].experiment
    kinds = {info.name: info.type for info in experiment.hparam_infos}
    assert kinds == {"lr": 3, "batch norm?": 2, "optimizer": 1, "fate": 1, "verdict": 1}
    assert [info.name.tag for info in experiment.metric_infos] == ["value", "validation_loss"]


def test_tensorboard_shows_none_as_a_text() -> None:
    """It has no null: the trials and the column have the text, and numbers among the choices stay numbers."""
    trials = [replace(ENDED, number=n, params={"depth": depth}) for n, depth in enumerate((None, 5))]
    write_events(study(*trials), "runs")
    starts = [
        hyperparameters(trial_file(n))["_hparams_/session_start_info"].session_start_info for n in (0, 1)
    ]
    assert starts[0].hparams["depth"].string_value == "None"
    assert starts[1].hparams["depth"].number_value == 5
    (file,) = Path("runs").glob("*/*tfevents*")
    column = hyperparameters(file)["_hparams_/experiment"].experiment.hparam_infos[0]
    assert list(column.domain_discrete) == [5, "None"]


def test_tensorboard_gets_only_what_is_new() -> None:
    """Again writes no file; a trial that went on changes its own file, which begins as before."""
    assert write_events(study(RUNNING), "runs") == (1, 0)
    before, stamp = trial_file().read_bytes(), trial_file().stat().st_mtime_ns
    assert write_events(study(RUNNING), "runs") == (0, 0)
    assert trial_file().stat().st_mtime_ns == stamp
    assert write_events(study(ENDED, FAILED, name="renamed"), "runs") == (1, 1)
    assert [event.step for event in events(trial_file())][:4] == [0, 0, 1, 2]
    assert len(trial_file().read_bytes()) > len(before)
    assert len(list(Path("runs").rglob("*"))) == 6  # three folders with a file each, and nothing unfinished


def test_a_folder_of_another_study_is_refused() -> None:
    """Two studies of one name do not share a folder of TensorBoard."""
    write_events(study(ENDED), "runs")
    with pytest.raises(HpsearchError, match=r"must be free .got runs/my-study-"):
        write_events(study(ENDED, key="key-2"), "runs")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Return the URI of an MLflow store in files, which is much faster than a new database."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return (tmp_path / "mlflow").as_uri()


def runs(uri: str) -> Mapping[str, Any]:
    """Return the runs of an MLflow store by their names."""
    client = mlflow.tracking.MlflowClient(uri)
    experiments = [one.experiment_id for one in client.search_experiments() if one.name != "Default"]
    return {run.info.run_name: run for run in client.search_runs(experiments)}


def points(uri: str, name: str, metric: str) -> list[tuple[int, float]]:
    """Return all points of a run's metric."""
    history = mlflow.tracking.MlflowClient(uri).get_metric_history(runs(uri)[name].info.run_id, metric)
    return [(point.step, point.value) for point in history]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mlflow_has_a_run_for_each_trial(store: str) -> None:
    """One run of the study holds a nested run for each trial: parameters, curve, result, and the verdict as tags."""
    assert write_runs(study(ENDED, FAILED), store) == (2, 0)
    found = runs(store)
    assert set(found) == {"my study", "trial 0", "trial 1"}
    parent, trial = found["my study"], found["trial 0"]
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert trial.data.params == {"lr": "0.1", "batch norm_": "True", "optimizer": "sgd"}
    assert trial.data.tags["hpsearch.verdict"] == "diverged_lr"
    assert trial.data.metrics["value"] == 1.5
    assert [point for point in points(store, "trial 0", "validation_loss") if point[0] != 2] == [
        (1, 2.0),
        (3, 1.5),
    ]
    assert parent.data.metrics == {"best_value": 1.5}
    assert [run.info.status for run in (parent, trial, found["trial 1"])] == ["FINISHED", "KILLED", "FAILED"]
    assert trial.info.end_time - trial.info.start_time == 5000


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_mlflow_gets_only_what_is_new(store: str) -> None:
    """Again adds nothing; a trial that went on gets its new points and its end, under another name of the study too."""
    write_runs(study(RUNNING), store)
    assert runs(store)["my study"].info.status == "RUNNING"
    assert write_runs(study(RUNNING), store) == (0, 0)
    assert write_runs(study(ENDED, FAILED, name="renamed"), store) == (1, 1)
    assert write_runs(study(ENDED, FAILED), store) == (0, 0)
    assert len(runs(store)) == 3
    assert [step for step, _ in points(store, "trial 0", "validation_loss")] == [1, 2, 3]
    assert points(store, "my study", "best_value") == [(1, 1.5), (2, 1.5)]
    assert runs(store)["trial 0"].info.status == "KILLED"


def test_a_refusal_of_mlflow_is_an_error_of_the_user(tmp_path: Path) -> None:
    """The message has the URI and MLflow's own words."""
    with pytest.raises(
        HpsearchError, match=r"--to mlflow: MLflow must take the study .got carrier-pigeon://x"
    ):
        write_runs(study(ENDED), "carrier-pigeon://x")


def test_an_unknown_tracker_is_refused() -> None:
    """The message names the two that there are."""
    with open_store("sqlite:///new.db") as empty:
        for target in ("wandb:x", "mlflow:", "runs"):
            with pytest.raises(UsageError, match="--to: must be mlflow:URI or tensorboard:DIR"):
                export_to_tracker(empty, "any", target)
