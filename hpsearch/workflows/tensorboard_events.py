"""Studies as files of TensorBoard: a folder for each trial, with its curves, its verdict and its hyperparameters.

Equal records give equal files, byte by byte, so a file changes only if its trial has changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import HpsearchError
from hpsearch.installation import install_command
from hpsearch.trials import TrialState
from hpsearch.workflows.report import file_name_part
from hpsearch.workflows.tracking import RESULT, TrackedStudy, TrackedTrial, Written

_FILE: Final = "events.out.tfevents.hpsearch"
"""The name of each file. TensorBoard reads those with "tfevents" in their names."""

_OF_VERDICT: Final = ("fate", "verdict")
"""Tags that the HPARAMS page shows as columns, so that it can filter by them."""


def write_events(study: TrackedStudy, place: str) -> Written:
    """Write a study below the folder `place`: the folder of its name, and in it one for each trial.

    Files whose trials have not changed are left alone. Raises HpsearchError if tensorboardX is not installed, or if the
    folder cannot be written or belongs to another study.
    """
    if find_spec("tensorboardX") is None:
        raise HpsearchError(
            f"--to tensorboard: needs tensorboardX, which is not installed: {install_command('tensorboard')}"
        )
    folder = _folder(study, Path(place))
    added = updated = 0
    try:
        for trial in study.trials:
            file = folder / f"trial-{trial.number:04}" / _FILE
            is_new = not file.exists()
            if _write(file, _trial_events(trial)):
                added, updated = added + is_new, updated + (not is_new)
        _write(folder / _own_file(study), [_experiment(study)])
    except OSError as error:
        raise HpsearchError(
            f"--to tensorboard: the folder must be writable (got {folder}: {error.strerror}): name another one"
        ) from error
    return Written(added=added, updated=updated)


def _folder(study: TrackedStudy, place: Path) -> Path:
    """Return the study's folder: the one that has its file already, else the one of its name.

    Raises HpsearchError if that belongs to another study.
    """
    earlier = next(iter(place.glob(f"*/{_own_file(study)}")), None)
    if earlier is not None:
        return earlier.parent
    folder = place / file_name_part(study.name)
    if any(folder.glob(f"{_FILE}.*")):
        raise HpsearchError(
            f"--to tensorboard: the folder must be free (got {folder}, which has another study of this name):"
            " name another one"
        )
    return folder


def _own_file(study: TrackedStudy) -> str:
    return f"{_FILE}.{file_name_part(study.key)}"


def _write(file: Path, events: Sequence[Any]) -> bool:
    """Write the file if its content would change, and return True if so. A reader sees the old or the new file."""
    from tensorboardX.record_writer import RecordWriter

    unfinished = file.with_name(f".{file.name.partition('tfevents')[0]}unfinished")
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = RecordWriter(str(unfinished))
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    writer.close()
    if file.exists() and file.read_bytes() == unfinished.read_bytes():
        unfinished.unlink()
        return False
    unfinished.replace(file)
    return True


def _trial_events(trial: TrackedTrial) -> list[Any]:
    """Return the events of a trial in the order in which they came, so that a longer file begins as the shorter one."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    began = _seconds(trial.started)
    events = [
        Event(wall_time=began, file_version="brain.Event:2"),
        Event(
            wall_time=began, summary=_plugin_summary("session_start_info", session_start_info=_start(trial))
        ),
    ]
    points = [(step, name, value) for name, curve in trial.metrics.items() for step, value in curve.items()]
    for step, name, value in sorted(points, key=lambda point: (point[1] == RESULT, point[0])):
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        events.append(Event(wall_time=began, step=step, summary=summary))
    if trial.state.is_final:
        ended = _seconds(trial.finished) or began
        events.append(Event(wall_time=ended, summary=_verdict_text(trial)))
        events.append(
            Event(wall_time=ended, summary=_plugin_summary("session_end_info", session_end_info=_end(trial)))
        )
    return events


def _experiment(study: TrackedStudy) -> Any:
    """Return the event with the columns of the HPARAMS page."""
    from tensorboardX.proto.api_pb2 import Experiment, MetricInfo, MetricName
    from tensorboardX.proto.event_pb2 import Event

    metrics = dict.fromkeys(name for trial in study.trials for name in trial.metrics)
    experiment = Experiment(
        name=study.name,
        description=", ".join(f"{name} {text}" for name, text in study.tags.items()),
        time_created_secs=_seconds(study.created),
        hparam_infos=list(_columns(study.trials)),
        metric_infos=[MetricInfo(name=MetricName(tag=name)) for name in sorted(metrics, key=_result_first)],
    )
    return Event(
        wall_time=_seconds(study.created), summary=_plugin_summary("experiment", experiment=experiment)
    )


def _result_first(name: str) -> tuple[bool, str]:
    return not name.startswith(RESULT), name


def _columns(trials: Sequence[TrackedTrial]) -> Iterator[Any]:
    """Yield the hyperparameters with their types; with the values that they have unless these are numbers."""
    from tensorboardX.proto.api_pb2 import DataType, HParamInfo

    seen: dict[str, dict[float | str, None]] = {}
    for trial in trials:
        for name, value in _hyperparameters(trial).items():
            seen.setdefault(name, {})[value] = None
    for name, values in seen.items():
        if all(isinstance(value, bool) for value in values):
            kind, discrete = "DATA_TYPE_BOOL", sorted(values, key=str)
        elif all(isinstance(value, int | float) for value in values):
            kind, discrete = "DATA_TYPE_FLOAT64", []
        else:
            kind, discrete = "DATA_TYPE_STRING", sorted(values, key=str)
        info = HParamInfo(name=name, type=DataType.Value(kind))
        if discrete:
            info.domain_discrete.extend(discrete)
        yield info


def _hyperparameters(trial: TrackedTrial) -> Mapping[str, float | str]:
    """Return the parameters of a trial and its verdict. TensorBoard has no null, so None is a text."""
    params = {name: "None" if value is None else value for name, value in trial.params.items()}
    return {**params, **{name: trial.tags[name] for name in _OF_VERDICT if name in trial.tags}}


def _start(trial: TrackedTrial) -> Any:
    from tensorboardX.proto.plugin_hparams_pb2 import SessionStartInfo

    start = SessionStartInfo(start_time_secs=_seconds(trial.started))
    for name, value in _hyperparameters(trial).items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, str):
            start.hparams[name].string_value = value
        else:
            start.hparams[name].number_value = value
    return start


def _end(trial: TrackedTrial) -> Any:
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.plugin_hparams_pb2 import SessionEndInfo

    status = "STATUS_FAILURE" if trial.state is TrialState.FAILED else "STATUS_SUCCESS"
    return SessionEndInfo(status=Status.Value(status), end_time_secs=_seconds(trial.finished))


def _plugin_summary(tag: str, **content: Any) -> Any:
    """Return a summary of the plugin `hparams`."""
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata

    data = HParamsPluginData(version=0, **content).SerializeToString(deterministic=True)
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data)
    metadata = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=f"_hparams_/{tag}", metadata=metadata)])


def _verdict_text(trial: TrackedTrial) -> Any:
    """Return the tags of a trial as a table in Markdown, which the TEXT page shows."""
    from tensorboardX.summary import text

    rows = [f"| {name} | {_cell(value)} |" for name, value in trial.tags.items()]
    return text("verdict", "\n".join(["| | |", "| --- | --- |", *rows]))


def _cell(value: str) -> str:
    return value.replace("|", "\\|").replace("\n", " ")


def _seconds(time: datetime | None) -> float:
    return 0.0 if time is None else time.timestamp()
