"""Train one configuration until its fault is clear."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from hpsearch.study.files import with_examples
from hpsearch.study.reader import settings_as_usage_errors
from hpsearch.study.schema import BUILTIN_SOURCES
from hpsearch.study.spec import StudySpec
from hpsearch.worker.capacity import check_memory, job_of
from hpsearch.worker.preparation import prepare_configuration
from hpsearch.worker.trial_diagnosis import TrialDiagnosis, diagnose_configuration
from hpsearch.workflows.listener import SILENT, Listener


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosed:
    """The study, with nothing to search, and the findings from training its configuration."""

    spec: StudySpec
    diagnosis: TrialDiagnosis


def diagnose(
    file: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    data: str | None = None,
    seed: int | None = None,
    configuration: str | None = None,
    listener: Listener = SILENT,
) -> Diagnosed:
    """Train one configuration of a study file, or of an example, with `settings`, data and seed in place of its own.

    `settings` are key paths with raw values; their errors are a UsageError. `configuration` is the name of one of the
    file's exact configurations, or its place among them from 0.
    """
    changes = changes_of(settings or {}, data=data, seed=seed)
    with listener.stage("Reading the study and its data"), settings_as_usage_errors(settings or {}):
        study = prepare_configuration(with_examples(file), changes, chosen=configuration)
        check_memory(job_of(study))
    with listener.stage("Training"):
        return Diagnosed(spec=study.spec, diagnosis=diagnose_configuration(study))


def changes_of(settings: Mapping[str, Any], *, data: str | None, seed: int | None) -> dict[str, Any]:
    """Return key path -> raw value of each given setting."""
    changes = dict(settings)
    if data is not None:
        changes["data.source"] = _source(data)
    if seed is not None:
        changes["seed"] = seed
    return changes


def _source(data: str) -> str:
    """Return a source as a study file holds it. A path is relative to the current folder, not to the file's."""
    try:
        is_path = data not in BUILTIN_SOURCES and Path(data).exists()
    except (OSError, ValueError):
        return data  # too long, or with a zero byte: the reader reports the error
    return str(Path(data).resolve()) if is_path else data
