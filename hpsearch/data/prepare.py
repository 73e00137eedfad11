"""Data as a worker trains on it: split, scaled, in the study's precision, and named by a fingerprint."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from hpsearch.data import scaling as scale
from hpsearch.data.column_kinds import ColumnUse
from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.encoding import Encoding, cross_fitted, fit_encoding
from hpsearch.data.faults import with_wrong_inputs, with_wrong_labels
from hpsearch.data.fingerprint import fingerprint, folds_fingerprint
from hpsearch.data.memory import check_size
from hpsearch.data.preprocessing import AS_PREPARED, Preprocessing, preprocessing_of
from hpsearch.data.sources import load
from hpsearch.data.split import Split, split, split_folds, whole_split
from hpsearch.data.table import TableReading
from hpsearch.data.target_scaling import UNSCALED, TargetScaling, fit_targets
from hpsearch.errors import DataError
from hpsearch.study.spec import DataSpec, KnownTask, Precision, TargetScale


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DataPart:
    """One part: inputs (N, I), C-contiguous, and targets (N,) int64 classes or (N, O) numbers.

    Inputs, and targets that are numbers, are in the study's precision and scaled. `values` (N, O) float64 are the
    targets of a regression in the user's unit; None for classes, and if they are `targets` themselves. `places` (N,)
    are the examples' places in the source, from 0; None if they are unknown, or of a part that the source keeps apart.
    """

    inputs: Array
    targets: Array
    values: Array | None = None
    places: npt.NDArray[np.int64] | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PreparedData:
    """The data of a study.

    `inputs` is I; `outputs` is the number of classes C, or the width O of the targets in regression. `class_counts` (C
    entries) are of the training part; one is 0 if a rare class fell into another part. `classes` and `class_counts` are
    empty in regression. `test` is sealed: only `study test` reads it. `preprocessing` turns the source's inputs into
    those of the parts, and `target_scaling` the outputs of a regression into the unit of its targets. `notes` are
    sentences about how the source was read, which a user should check. `uses` are the columns of a table, with those
    that are no inputs.

    With `data.folds`, `folds` are the data of each fold, with parts and preprocessing of its own, and `training` has
    every example but those of the test part, which the folds lack. `validation` then is inside `training`, and so
    measures nothing.
    """

    task: KnownTask
    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    inputs: int
    outputs: int
    training: DataPart
    validation: DataPart
    test: DataPart | None
    fingerprint: str
    origin: str
    preprocessing: Preprocessing = AS_PREPARED
    target_scaling: TargetScaling = UNSCALED
    notes: tuple[str, ...] = ()
    uses: tuple[ColumnUse, ...] = ()
    folds: "tuple[PreparedData, ...]" = ()

    @property
    def searched(self) -> "tuple[PreparedData, ...]":
        """The data that each trial of a search is trained on, once on each: the folds, or this."""
        return self.folds or (self,)


def prepare(
    spec: DataSpec, *, seed: int, precision: Precision, environment: Mapping[str, str]
) -> PreparedData:
    """Return the data of a study with this seed, the same on every machine that has the same source.

    Encoding and scaling are fitted on the training part alone. A source that keeps a sealed part (MNIST's 10,000
    t10k images) has it as the test part if `test_fraction` is 0; else the fraction is taken from the examples, as
    validation is, and the sealed part is unused. With `sealed` "validation" it is the validation part, and never the
    test part. The fingerprint names the data that is trained on, including the fault of `spec`. Raises DataError for
    data that cannot be read, or does not fit `spec`.
    """
    reading = TableReading(
        header=spec.header,
        drop=spec.drop,
        types=spec.types,
        columns=spec.columns or (),
        split_column=spec.split_column,
    )
    source = load(spec.source, target=spec.target, task=spec.task, reading=reading, environment=environment)
    return prepare_dataset(source, spec, seed=seed, precision=precision)


def prepare_dataset(source: Dataset, spec: DataSpec, *, seed: int, precision: Precision) -> PreparedData:
    """Return the data of a study as `prepare` does, from examples that are in memory already."""
    if not spec.folds:
        return _prepared(source, split(source, spec, seed=seed), spec, seed=seed, precision=precision)
    splits = split_folds(source, spec, seed=seed)
    check_size((len(splits) + 1) * source.inputs.size * np.dtype(precision).itemsize, f"{spec.folds} folds")
    whole, *folds = (
        _prepared(source, parts, spec, seed=seed, precision=precision)
        for parts in (whole_split(splits), *splits)
    )
    name = folds_fingerprint([data.fingerprint for data in (whole, *folds)])
    return replace(whole, folds=tuple(replace(data, test=None) for data in folds), fingerprint=name)


def _prepared(
    source: Dataset, parts: Split, spec: DataSpec, *, seed: int, precision: Precision
) -> PreparedData:
    """Return the data of one split."""
    source, encoding, named = _encoded(source, parts, seed=seed)
    dataset = with_wrong_labels(with_wrong_inputs(source, spec.fault), parts, spec.fault, seed=seed)
    counts = _class_counts(dataset, parts)
    target_scaling = _target_scaling(dataset, parts, spec)
    try:
        scaling = scale.fit(dataset.inputs, parts.training, kind=spec.scale, is_image=dataset.is_image)
        training, validation, test = _parts(dataset, parts, (scaling, target_scaling), precision)
    except FloatingPointError as error:
        of_targets = (
            "" if dataset.task == "classification" else f' and data.target_scale = "{spec.target_scale}"'
        )
        raise DataError(
            f'{dataset.origin}: numbers must fit {precision} after scaling (got "{error}"'
            f' with data.scale = "{spec.scale}"{of_targets}): bring them to a smaller unit'
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
        fingerprint=fingerprint(
            dataset if named is None else replace(dataset, inputs=named),
            parts,
            scaling,
            stratify=spec.stratify,
            target_scaling=target_scaling,
            encoding="" if encoding is None else f"{encoding.description()}\n{spec.fault}",
        ),
        origin=dataset.origin,
        preprocessing=preprocessing_of(source, scaling, fault=spec.fault, encoding=encoding),
        target_scaling=target_scaling,
        notes=dataset.notes,
        uses=dataset.uses,
    )


def _encoded(source: Dataset, parts: Split, *, seed: int) -> tuple[Dataset, Encoding | None, Array | None]:
    """Return the data set with encoded inputs, the encoding, fitted on the training part, and its codes (N, R).

    A data set of numbers is returned as it is, with None.
    """
    columns = source.columns
    if not columns:
        return source, None, None
    _check_target_encoding(source)
    fitted = fit_encoding(columns, source.inputs, parts.training, targets=source.targets, task=source.task)
    fitted = replace(fitted, is_named=bool(source.features))
    codes = fitted.recoded(source.inputs, columns)
    inputs = fitted.apply(codes)
    for place, column in enumerate(columns):
        if column.kind == "category" and column.encoding == "target":
            names = fitted.columns[place].inputs
            first, rows = fitted.features.index(names[0]), parts.training
            inputs[rows, first : first + len(names)] = cross_fitted(
                codes[rows, place], targets=source.targets[rows], task=source.task, seed=seed
            )
    return replace(source, inputs=inputs, features=fitted.features, columns=()), fitted, codes


def _check_target_encoding(source: Dataset) -> None:
    """Raise DataError for columns that are encoded by several targets."""
    names = [column.name for column in source.columns if column.encoding == "target"]
    if names and source.task == "regression" and source.targets.shape[1] > 1:
        raise DataError(
            f'data.columns: encoding = "target" must have one target (got {source.targets.shape[1]} targets for the'
            f' column "{names[0]}"): use encoding = "one_hot"'
        )


def joined_parts(data: PreparedData) -> PreparedData:
    """Return `data` with the examples of the validation part in the training part too, after its own.

    The preprocessing stays as it was fitted, and so does the validation part, which then measures nothing.
    """
    parts = (data.training, data.validation)
    joined = DataPart(
        inputs=np.concatenate([part.inputs for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        values=None
        if data.training.values is None
        else np.concatenate([part.values for part in parts if part.values is not None]),
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


def _target_scaling(dataset: Dataset, parts: Split, spec: DataSpec) -> TargetScaling:
    """Return the scaling of the targets, fitted on the training part; none for classes.

    "auto" is "standard" here: `study.spec.with_target_scale` knows the network.
    """
    if dataset.task == "classification":
        return UNSCALED
    kind: TargetScale = "none" if spec.target_scale == "none" else "standard"
    return fit_targets(dataset.targets, parts.training, kind=kind, where=dataset.origin)


def _parts(
    dataset: Dataset, parts: Split, scalings: tuple[scale.Scaling, TargetScaling], precision: Precision
) -> tuple[DataPart, DataPart, DataPart | None]:
    """Return training, validation and, if there is one, test part."""
    scaling, target_scaling = scalings

    def data_part(inputs: Array, targets: Array, rows: npt.NDArray[np.int64]) -> DataPart:
        own, is_classes = targets[rows], dataset.task == "classification"
        return DataPart(
            inputs=scale.apply(scaling, inputs, rows, precision=precision),
            targets=own if is_classes else target_scaling.apply(own, precision=precision),
            values=None if is_classes else own,
        )

    def part(rows: npt.NDArray[np.int64]) -> DataPart:
        return replace(data_part(dataset.inputs, dataset.targets, rows), places=rows)

    apart, test = None, part(parts.test) if len(parts.test) else None
    if dataset.sealed is not None:
        apart = data_part(
            dataset.sealed.inputs, dataset.sealed.targets, np.arange(len(dataset.sealed.targets))
        )
    if apart is not None and not len(parts.validation):
        return part(parts.training), apart, test
    return part(parts.training), part(parts.validation), test or apart
