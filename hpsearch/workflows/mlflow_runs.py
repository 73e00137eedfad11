"""Studies in MLflow: an experiment with one run of the study, and a nested run for each trial."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Final, final

from hpsearch.errors import HpsearchError, mask
from hpsearch.installation import install_command
from hpsearch.trials import TrialState
from hpsearch.workflows.tracking import RESULT, TrackedStudy, TrackedTrial, Written

_STUDY: Final = "hpsearch.study_key"
_TRIAL: Final = "hpsearch.trial"
_DIGEST: Final = "hpsearch.digest"
"""Tags by which a run is found again: the study's key and the trial's number; and the checksum of what it holds."""

_STATUS: Final[Mapping[TrialState, str]] = {
    TrialState.COMPLETE: "FINISHED",
    TrialState.PRUNED: "KILLED",
    TrialState.FAILED: "FAILED",
}

_LONGEST_TEXT: Final = 5000
"""Characters of a tag: MLflow's databases store at least that many."""

_LONGEST_VALUE: Final = 500
"""Characters of a parameter, which MLflow's older servers store."""

_MOST_METRICS: Final = 1000
_MOST_PARAMS: Final = 100
"""The most that one request of MLflow's REST interface may log."""


def write_runs(study: TrackedStudy, uri: str) -> Written:
    """Write a study to the MLflow server or database at `uri`. Runs whose trials have not changed are left alone.

    Raises HpsearchError if MLflow is not installed, cannot be reached or refuses.
    """
    if find_spec("mlflow") is None:
        raise HpsearchError(
            f"--to mlflow: needs mlflow-skinny, which is not installed: {install_command('mlflow')}"
        )
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        return _Writer(client=client, experiment=_experiment(client, study), study=study).write()
    except MlflowException as error:
        raise HpsearchError(
            f"--to mlflow: MLflow must take the study (got {mask(uri)}: {error.message}): correct the URI"
        ) from error


def _experiment(client: Any, study: TrackedStudy) -> str:
    """Return the id of the study's experiment: the one that has it already, else the one of its name, or a new one."""
    written = client.search_experiments(filter_string=f"tags.`{_STUDY}` = '{_quoted(study.key)}'")
    if written:
        return str(written[0].experiment_id)
    named = client.get_experiment_by_name(study.name)
    if named is None:
        return str(client.create_experiment(study.name, tags={_STUDY: study.key}))
    return str(named.experiment_id)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Writer:
    """Writes one study into one experiment."""

    client: Any
    experiment: str
    study: TrackedStudy

    def write(self) -> Written:
        known = dict(self._known_runs())
        parent = self._write_parent(known.get(None))
        added = updated = 0
        for trial in self.study.trials:
            run = known.get(trial.number)
            if run is None:
                added += 1
            elif run.data.tags.get(_DIGEST) == trial.digest:
                continue
            else:
                updated += 1
            self._write_trial(trial, run, parent)
        return Written(added=added, updated=updated)

    def _known_runs(self) -> Iterator[tuple[int | None, Any]]:
        """Yield the study's runs by the number of their trials, and its own run with None."""
        token = None
        mine = f"tags.`{_STUDY}` = '{_quoted(self.study.key)}'"
        while True:
            page = self.client.search_runs([self.experiment], mine, max_results=1000, page_token=token)
            for run in page:
                number = run.data.tags.get(_TRIAL)
                yield None if number is None else int(number), run
            token = page.token
            if not token:
                return

    def _write_parent(self, run: Any) -> str:
        """Write the run of the study, and return its id."""
        study, created = self.study, _milliseconds(self.study.created)
        if run is None:
            run = self.client.create_run(
                self.experiment, start_time=created, tags={_STUDY: study.key}, run_name=study.name
            )
        points = {} if study.best is None else {f"best_{RESULT}": {len(study.trials): study.best}}
        self._log(run, params={}, metrics=points, tags=study.tags, at=created)
        ended = max((_milliseconds(trial.finished) for trial in study.trials), default=created)
        if study.is_finished and run.info.end_time != ended:
            self.client.set_terminated(run.info.run_id, "FINISHED", end_time=ended)
        elif not study.is_finished and run.info.status != "RUNNING":
            self.client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)

    def _write_trial(self, trial: TrackedTrial, run: Any, parent: str) -> None:
        began = _milliseconds(trial.started or self.study.created)
        if run is None:
            identity = {_STUDY: self.study.key, _TRIAL: str(trial.number), "mlflow.parentRunId": parent}
            run = self.client.create_run(
                self.experiment, start_time=began, tags=identity, run_name=f"trial {trial.number}"
            )
        params = {name: str(value) for name, value in trial.params.items()}
        self._log(run, params=params, metrics=trial.metrics, tags=trial.tags, at=began)
        if trial.state in _STATUS:
            ended = _milliseconds(trial.finished or trial.started or self.study.created)
            self.client.set_terminated(run.info.run_id, _STATUS[trial.state], end_time=ended)
        self.client.set_tag(run.info.run_id, _DIGEST, trial.digest)  # the last write: what is here is whole

    def _log(
        self,
        run: Any,
        *,
        params: Mapping[str, str],
        metrics: Mapping[str, Mapping[int, float]],
        tags: Mapping[str, str],
        at: int,
    ) -> None:
        """Log what the run does not have yet. MLflow never changes a parameter, and keeps every point of a metric."""
        from mlflow.entities import Metric, Param, RunTag

        run_id, data = run.info.run_id, run.data
        points = [
            Metric(name, value, at, step)
            for name, curve in ((_safe(raw), curve) for raw, curve in metrics.items())
            for step, value in self._new_points(run_id, name, curve, is_known=name in data.metrics)
        ]
        new_params = [
            Param(_safe(name), text[:_LONGEST_VALUE])
            for name, text in params.items()
            if _safe(name) not in data.params
        ]
        new_tags = [
            RunTag(f"hpsearch.{name}", text[:_LONGEST_TEXT])
            for name, text in tags.items()
            if data.tags.get(f"hpsearch.{name}") != text[:_LONGEST_TEXT]
        ]
        for part in _parts(points, _MOST_METRICS):
            self.client.log_batch(run_id, metrics=part)
        for part in _parts(new_params, _MOST_PARAMS):
            self.client.log_batch(run_id, params=part)
        if new_tags:
            self.client.log_batch(run_id, tags=new_tags)

    def _new_points(
        self, run_id: str, name: str, curve: Mapping[int, float], *, is_known: bool
    ) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(run_id, name) if is_known else []
        stored = {point.step: point.value for point in history}
        return [(step, value) for step, value in curve.items() if stored.get(step) != value]


def _parts(values: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    return (values[first : first + most] for first in range(0, len(values), most))


def _milliseconds(time: datetime | None) -> int:
    return 0 if time is None else round(time.timestamp() * 1000)


def _safe(name: str) -> str:
    """Return a name in the characters that MLflow takes."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def _quoted(text: str) -> str:
    return text.replace("'", "")
