"""Data as a worker trains on it: split, scaled, in the study's precision, and named by a fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from hpsearch.data import scaling as scale
from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.faults import with_wrong_inputs, with_wrong_labels
from hpsearch.data.fingerprint import fingerprint
from hpsearch.data.preprocessing import AS_PREPARED, Preprocessing, preprocessing_of
from hpsearch.data.sources import load
from hpsearch.data.split import Split, split
from hpsearch.data.table import TableReading
from hpsearch.errors import DataError
from hpsearch.study.spec import DataSpec, KnownTask, Precision


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fold:
    """One part: inputs (N, I), C-contiguous, and targets (N,) int64 classes or (N, O) numbers.

    Inputs, and targets that are numbers, are in the study's precision. Targets are never scaled. `places` (N,) are the
    examples' places in the source, from 0; None if they are unknown, or of a part that the source keeps apart.
    """

    inputs: Array
    targets: Array
    places: npt.NDArray[np.int64] | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PreparedData:
    """The data of a study.

    `inputs` is I; `outputs` is the number of classes C, or the width O of the targets in regression. `class_counts` (C
    entries) are of the training part; one is 0 if a rare class fell into another part. `classes` and `class_counts` are
    empty in regression. `test` is sealed: only `study test` reads it. `preprocessing` turns the source's inputs into
    those of the parts. `notes` are sentences about how the source was read, which a user should check.
    """

    task: KnownTask
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    inputs: int
    outputs: int
    training: Fold
    validation: Fold
    test: Fold | None
    fingerprint: str
    origin: str
    preprocessing: Preprocessing = AS_PREPARED
    notes: tuple[str, ...] = ()


def prepare(
    spec: DataSpec, *, seed: int, precision: Precision, environment: Mapping[str, str]
) -> PreparedData:
    """Return the data of a study with this seed, the same on every machine that has the same source.

    Scaling is fitted on the training part alone. A source that keeps a sealed part (MNIST's 10,000 t10k images) has it
    as the test part if `test_fraction` is 0; else the fraction is taken from the examples, as validation is, and the
    sealed part is unused. With `sealed` "validation" it is the validation part, and never the test part. The
    fingerprint names the data that is trained on, including the fault of `spec`. Raises DataError for data that cannot
    be read, or does not fit `spec`.
    """
    reading = TableReading(header=spec.header, drop=spec.drop)
    source = load(spec.source, target=spec.target, task=spec.task, reading=reading, environment=environment)
    return prepare_dataset(source, spec, seed=seed, precision=precision)


def prepare_dataset(source: Dataset, spec: DataSpec, *, seed: int, precision: Precision) -> PreparedData:
    """Return the data of a study as `prepare` does, from examples that are in memory already."""
    parts = split(source, spec, seed=seed)
    dataset = with_wrong_labels(with_wrong_inputs(source, spec.fault), parts, spec.fault, seed=seed)
    counts = _class_counts(dataset, parts)
    try:
        scaling = scale.fit(dataset.inputs, parts.training, kind=spec.scale, is_image=dataset.is_image)
        training, validation, test = _folds(dataset, parts, scaling, precision)
    except FloatingPointError as error:
        raise DataError(
            f'{dataset.origin}: numbers must fit {precision} after scaling (got "{error}"'
            f' with data.scale = "{spec.scale}"): bring them to a smaller unit'
        ) from error
    return PreparedData(
        task=dataset.task,
        classes=dataset.classes,
        class_counts=counts,
        inputs=training.inputs.shape[1],
        outputs=len(counts) or training.targets.shape[1],
        training=training,
        validation=validation,
        test=test,
        fingerprint=fingerprint(dataset, parts, scaling, stratify=spec.stratify),
        origin=dataset.origin,
        preprocessing=preprocessing_of(source, scaling, fault=spec.fault),
        notes=dataset.notes,
    )


def joined_parts(data: PreparedData) -> PreparedData:
    """Return `data` with the examples of the validation part in the training part too, after its own.

    The preprocessing stays as it was fitted, and so does the validation part, which then measures nothing.
    """
    parts = (data.training, data.validation)
    joined = Fold(
        inputs=np.concatenate([part.inputs for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
    )
    counts = np.bincount(joined.targets, minlength=len(data.classes)).tolist() if data.classes else ()
    return replace(data, training=joined, class_counts=tuple(counts))


def _class_counts(dataset: Dataset, parts: Split) -> tuple[int, ...]:
    """Return the training part's examples per class. Raises DataError if all are of one class."""
    if dataset.task == "regression":
        return ()
    counts = np.bincount(dataset.targets[parts.training], minlength=len(dataset.classes))
    if np.count_nonzero(counts) < 2:
        only = dataset.classes[int(counts.argmax())]
        raise DataError(
            f'{dataset.origin}: the training part must have at least two classes (got "{only}" alone,'
            f" in all {counts.sum()} examples): set data.stratify = true, or bring more examples"
        )
    return tuple(int(count) for count in counts)


def _folds(
    dataset: Dataset, parts: Split, scaling: scale.Scaling, precision: Precision
) -> tuple[Fold, Fold, Fold | None]:
    """Return training, validation and, if there is one, test part."""

    def fold(inputs: Array, targets: Array, rows: npt.NDArray[np.int64]) -> Fold:
        return Fold(
            inputs=scale.apply(scaling, inputs, rows, precision=precision),
            targets=_targets(targets[rows], precision),
        )

    def part(rows: npt.NDArray[np.int64]) -> Fold:
        return replace(fold(dataset.inputs, dataset.targets, rows), places=rows)

    apart, test = None, part(parts.test) if len(parts.test) else None
    if dataset.sealed is not None:
        apart = fold(dataset.sealed.inputs, dataset.sealed.targets, np.arange(len(dataset.sealed.targets)))
    if apart is not None and not len(parts.validation):
        return part(parts.training), apart, test
    return part(parts.training), part(parts.validation), test or apart


def _targets(targets: Array, precision: Precision) -> Array:
    if targets.dtype == np.int64:
        return targets
    with np.errstate(over="raise"):
        return targets.astype(precision)
