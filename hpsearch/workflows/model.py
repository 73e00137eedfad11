"""Use cases of trained models: train one again and export it, read it, and predict for a table."""

import csv
import secrets
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO, final

from hpsearch.analysis.best_trials import leading_trials
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.model.archive import model_bytes, read_model
from hpsearch.model.fitting import fit_again
from hpsearch.model.onnx_file import check_onnx, onnx_bytes
from hpsearch.model.table_predictions import TablePredictions, open_predictions
from hpsearch.model.trained_model import TrainedModel, TrainedOn
from hpsearch.report.file import check_report_path, write_page
from hpsearch.storage.store import Store
from hpsearch.worker.replay import ReplayCheck
from hpsearch.workflows.listener import SILENT, Listener
from hpsearch.workflows.trials import read_trial

FORMATS: Final = (".npz", ".onnx", ".joblib")
"""The endings of files of models: our own, which is the only one that is read again; ONNX; scikit-learn's."""

_BLOCK_CHARACTERS: Final = 1 << 20
"""Characters of a result that are in memory at one time."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedModel:
    """A model in the file `path`, and the comparison of its training with the stored trial."""

    path: Path
    model: TrainedModel
    check: ReplayCheck


def export_model(
    store: Store,
    name: str,
    *,
    output: Path,
    trial: int | None = None,
    on: TrainedOn = "training",
    allow_pruned: bool = False,
    allow_difference: bool = False,
    listener: Listener = SILENT,
) -> ExportedModel:
    """Train a trial again, by default the best one, and write its model to `output`.

    Raises HpsearchError if there is no such trial, if the file cannot be written, and the errors of `fit_again`.
    """
    check_model_path(output, where="--output")
    number = _best(store, name) if trial is None else trial
    stored = read_trial(store, name, number, notify=listener.notify)
    with listener.stage("Training it again"):
        fitted = fit_again(stored, on=on, allow_pruned=allow_pruned, allow_difference=allow_difference)
    save_model(fitted.model, output, where="--output")
    return ExportedModel(path=output, model=fitted.model, check=fitted.check)


def _best(store: Store, name: str) -> int:
    """Return the number of the best trial, in the order of `study best`."""
    study = store.studies.get(name)
    store.queue.sweep(study)
    best = leading_trials(store.trials.all(study), study, store.evaluations.all(study), count=1)
    if not best:
        raise HpsearchError(
            f'study "{name}": must have a complete trial with a finite result to export (got none): '
            f"hpsearch study run {shlex.quote(name)}"
        )
    return best[0].number


def check_model_path(path: Path, *, where: str) -> None:
    """Raise UsageError, about `where`, for an unknown format, and HpsearchError if it cannot be written."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f'{where}: must end in {" or ".join(FORMATS)}, the formats of models (got "{path}"): name such a file'
        )
    if path.suffix.lower() == ".onnx":
        check_onnx(where)
    check_report_path(path, where=where)


def save_model(model: TrainedModel, path: Path, *, where: str) -> None:
    """Write a model to `path`, whole or not at all. An existing file is replaced.

    Raises HpsearchError, about `where`, for a model that the format cannot hold.
    """
    check_model_path(path, where=where)
    write_page(_contents(model, path.suffix.lower(), where=where), path, where=where)


def _contents(model: TrainedModel, suffix: str, *, where: str) -> bytes:
    match suffix:
        case ".onnx":
            return onnx_bytes(model, where=where)
        case ".joblib":
            from hpsearch.model.pipeline import joblib_bytes  # scikit-learn takes a second

            return joblib_bytes(model, where=where)
    return model_bytes(model)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedTable:
    """The number of rows with predictions, and the columns of the table that are no inputs.

    `unknown` is the number of cells by column whose category the training part does not have.
    """

    rows: int
    ignored: tuple[str, ...]
    unknown: Mapping[str, int]


def predict_table(
    model: Path,
    table: Path,
    *,
    output: Path | None = None,
    probabilities: bool = False,
    emit: Callable[[str], None],
) -> PredictedTable:
    """Predict for every row of `table`, and write it with the predictions as CSV, whole or not at all.

    The result goes to `output`; without it, to `emit` in blocks of text. Raises HpsearchError for a file that is no
    model, a table with problems, which it lists, and an output that cannot be written.
    """
    trained = read_model(model)
    if output is not None:
        _check_output(output, table)
    with open_predictions(trained, table, probabilities=probabilities) as predictions:
        with _new_file(output) as file:
            rows = _write(predictions, file)
            if output is None:
                file.seek(0)
                while text := file.read(_BLOCK_CHARACTERS):
                    emit(text)
        return PredictedTable(rows=rows, ignored=predictions.ignored, unknown=predictions.unknown)


def _check_output(output: Path, table: Path) -> None:
    check_report_path(output, where="--output")
    if output.exists() and table.exists() and output.samefile(table):
        raise UsageError(f"--output: must be another file than the table (got {output}): name another file")


def _write(predictions: TablePredictions, file: TextIO) -> int:
    """Write the predictions as CSV, and return the number of rows."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(predictions.names)
    rows = 0
    for cells in predictions.rows:
        writer.writerow(cells)
        rows += 1
    return rows


@contextmanager
def _new_file(output: Path | None) -> Iterator[TextIO]:
    """Yield a file that becomes `output` if the block ends without an error, or a temporary one for None."""
    if output is None:
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
            yield file
        return
    # Next to the output, since a rename is atomic within one file system only.
    unfinished = output.with_name(f".hpsearch-{secrets.token_hex(4)}")
    try:
        with unfinished.open("x", encoding="utf-8", newline="") as file:
            yield file
        unfinished.replace(output)
    except OSError as error:
        raise HpsearchError(
            f"--output: must be writable (got {output}: {error.strerror or error}): name another file"
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
