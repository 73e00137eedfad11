"""A study before it runs: its file, its data, and whether its trials may be trained here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import numpy as np

import hpsearch
from hpsearch.data.cache import data_cache
from hpsearch.data.dataset import RawData, dataset_from
from hpsearch.data.files import SourceAt, source_at
from hpsearch.data.prepare import PreparedData, prepare, prepare_dataset
from hpsearch.data.remote import is_remote, shown_url
from hpsearch.errors import DataError, FingerprintError, Problem, StudyFileError, VersionError
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.configurations import fixed_spec
from hpsearch.study.plan import check_fits, with_fitting_batches
from hpsearch.study.reader import read_study
from hpsearch.study.spec import StudySpec, check_trains_network, resolve, with_target_scale


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedStudy:
    """A specification without "auto", and its data. Minibatches fit the training part.

    `files` is the folder with the data's files, if the study has them in its database.
    """

    spec: StudySpec
    data: PreparedData
    files: Path | None = None


def is_study_file(target: str) -> bool:
    """True if `target` means a study file, and not the name of a stored study."""
    try:
        return target.endswith(".toml") or Path(target).is_file()
    except OSError:  # too long for a path, but possible as a study's name
        return False


def prepare_file(path: Path, *, name: str | None = None, trials: int | None = None) -> PreparedStudy:
    """Return the study of a file, with `name` and `trials` in place of its own. Raises the file's errors."""
    return _prepare(path, read_study(path, name=name, trials=trials))


def prepare_configuration(
    path: Path, settings: Mapping[str, Any], *, chosen: str | None = None
) -> PreparedStudy:
    """Return one configuration of a file as a study that searches nothing, with `settings` in place of its own.

    `settings` are key paths with raw values. `chosen` is the name of one of the file's exact configurations, or its
    place among them from 0. Raises UsageError if it is needed and not given, or the reverse, and errors of the file and
    the settings.
    """
    spec = replace(
        fixed_spec(read_study(path, settings=settings), chosen, settings), search=(), configurations=()
    )
    return _prepare(path, spec, fits_batches="training.batch_size" not in settings)


def _prepare(path: Path, spec: StudySpec, *, fits_batches: bool = True) -> PreparedStudy:
    try:
        return prepare_study(spec, fits_batches=fits_batches)
    except StudyFileError as error:
        # Only the data reveals this, but the error is in the file.
        raise StudyFileError(str(path), error.problems) from error


def prepare_stored(store: Store, study: StoredStudy) -> PreparedStudy:
    """Return a stored study with its data: the files in the database if it has any, else its source."""
    return prepare_study(study.spec, files=stored_files(store, study))


def stored_files(store: Store, study: StoredStudy) -> Path | None:
    """Return the folder with the study's files from the database, which are cached here; None if it has none.

    Raises StorageError for damaged files, and DataError if they cannot be cached.
    """
    found = None if study.spec.objective is not None else store.data.of_study(study)
    if found is None:
        return None
    cache = data_cache(os.environ)
    if (folder := cache.item(found.digest)) is not None:
        return folder
    with cache.new_item() as item:
        for name in found.parts:
            item.write(name, partial(store.data.read, found, name))
        return item.keep(found.digest)


def prepare_study(
    spec: StudySpec,
    *,
    arrays: RawData | None = None,
    files: Path | None = None,
    fits_batches: bool = True,
) -> PreparedStudy:
    """Read the data of `spec`, or take `arrays` that a program passed in its place, and return both.

    `files` is a folder with the files of its source, which are read in place of those that it names. Batch sizes that
    are larger than the training part are lowered, with a note, unless `fits_batches` is False. Raises DataError if the
    data cannot be used, StudyFileError if the study does not fit its data, and HpsearchError if it has an objective.
    """
    check_trains_network(spec)
    spec = with_target_scale(spec)
    precision = spec.training.precision
    if arrays is None:
        at = SourceAt(source=spec.data.source, environment=os.environ)
        if files is not None:
            at = source_at(spec.data.source, files)
        read = replace(spec.data, source=at.source)
        data = prepare(read, seed=spec.seed, precision=precision, environment=at.environment)
    else:
        if spec.data.drop:
            raise DataError(
                f'data.drop: is for tables in files (got "{spec.data.drop[0]}" with arrays):'
                " drop the columns before you pass the data"
            )
        dataset = dataset_from(arrays, name="data", task=spec.data.task)
        data = prepare_dataset(dataset, spec.data, seed=spec.seed, precision=precision)
    examples, notes = min(len(one.training.inputs) for one in data.searched), data.notes
    resolved = resolve(spec, task=data.task)
    if fits_batches:
        resolved, lowered = with_fitting_batches(resolved, examples)
        notes = (*notes, *lowered)
    check_fits(resolved, examples)
    for one in data.searched:
        _check_classes(resolved, one)
    return PreparedStudy(spec=resolved, data=replace(data, notes=notes), files=files)


def _check_classes(spec: StudySpec, data: PreparedData) -> None:
    """Raise StudyFileError if the metric is the ROC AUC, and the validation part lacks a class."""
    if spec.metric != "roc_auc":
        return
    counts = np.bincount(data.validation.targets, minlength=len(data.classes))
    missing = [f'"{name}"' for name, count in zip(data.classes, counts, strict=True) if not count]
    if missing:
        more = f", and {len(missing) - _SHOWN_CLASSES} more" if len(missing) > _SHOWN_CLASSES else ""
        message = (
            f"roc_auc must have an example of every class in the validation part"
            f" (got none of {', '.join(missing[:_SHOWN_CLASSES])}{more}): set data.stratify = true, or rank by"
            " balanced_accuracy"
        )
        raise StudyFileError(spec.name, [Problem(where="metric", message=message)])


_SHOWN_CLASSES: Final = 5


def check_version(study: StoredStudy) -> None:
    """Raise VersionError unless the study was made by this major version of hpsearch."""
    theirs, ours = study.version.partition(".")[0], hpsearch.__version__.partition(".")[0]
    if theirs != ours:
        raise VersionError(
            f'study "{study.spec.name}": was made by hpsearch {study.version}, and its trials must be trained by '
            f"hpsearch {theirs} (got {hpsearch.__version__}): use that version"
        )


def check_data(study: StoredStudy, data: PreparedData) -> None:
    """Raise FingerprintError unless `data` is the data that the study was created with."""
    if data.fingerprint != study.fingerprint:
        source = study.spec.data.source
        origin = shown_url(source) if is_remote(source) else data.origin
        raise FingerprintError(
            f'study "{study.spec.name}": its data has the fingerprint {study.fingerprint} '
            f"(got {data.fingerprint} from {origin}): restore the data that the study was created with, "
            "or create another study"
        )
