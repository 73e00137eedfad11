"""`hpsearch model`: trained models taken out of a study."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias, final

import typer

from hpsearch.cli.options import CommandGroup, Format, Storage, TableFormat, complete_study_name, trial_number
from hpsearch.cli.output import write_json, write_line, write_message, write_properties, write_text
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

if TYPE_CHECKING:
    from hpsearch.workflows.model import ExportedModel

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    help="Export trained models, predict with them, and show what they are.",
)

ModelFile: TypeAlias = Annotated[Path, typer.Argument(metavar="MODEL", help="A file of `model export`.")]


@final
class ModelFormat(StrEnum):
    """The output format of a model's description."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


@final
class TrainedOnOption(StrEnum):
    """The examples that the weights of a model come from."""

    TRAINING = "training"
    ALL = "all"


@app.command()
def export(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A stored study.", autocompletion=complete_study_name)
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            metavar="PATH",
            help="The file: .npz, .onnx, or .joblib, a scikit-learn pipeline whose loading executes code.",
        ),
    ],
    number: Annotated[
        int | None,
        typer.Option(
            "--trial",
            metavar="NUMBER",
            parser=trial_number,
            help="The trial.  [default: the first of `study best`]",
        ),
    ] = None,
    on: Annotated[
        TrainedOnOption,
        typer.Option("--on", help="`all` trains it again on training and validation part together."),
    ] = TrainedOnOption.TRAINING,
    allow_pruned: Annotated[
        bool, typer.Option("--allow-pruned", help="Also export a pruned trial, as of its last whole epoch.")
    ] = False,
    allow_difference: Annotated[
        bool,
        typer.Option(
            "--allow-difference",
            help="Also export a training that differs from the stored one, marked as not verified.",
        ),
    ] = False,
    form: Annotated[
        TableFormat, typer.Option("--format", help="The format of the result.")
    ] = TableFormat.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Train a trial again, check it bit for bit against the stored curve, and write its model to a file.

    The file holds weights, preprocessing and classes. An .npz file also has the study; it is a NumPy archive without
    pickles, so loading it executes no code, and the other commands read it. An .onnx file is checked with onnxruntime.

    Example: hpsearch model export digits --output digits.npz
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.model.description import model_object
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.model import export_model

    with open_store(storage, foreign=True) as store:
        exported = export_model(
            store,
            study,
            output=output,
            trial=number,
            on=on.value,
            allow_pruned=allow_pruned,
            allow_difference=allow_difference,
            listener=TERMINAL,
        )
    if form is TableFormat.JSON:
        write_json({"path": str(output), **model_object(exported.model)})
    else:
        _write_exported(exported)


def _write_exported(exported: "ExportedModel") -> None:
    from hpsearch.analysis.formats import format_result, format_short_metric
    from hpsearch.analysis.replay import check_sentence

    model, path = exported.model, exported.path
    metric = model.spec.metric
    write_line(f"{model.spec.name}: trial {model.trial}: {check_sentence(exported.check)}")
    write_line(f"Model: {path} ({format_short_metric(metric)} {format_result(model.value, metric)})")
    write_line(_next_step(path))


def _next_step(path: Path) -> str:
    match path.suffix.lower():
        case ".onnx":
            return "Next: onnxruntime.InferenceSession(PATH); its predictions equal those of the model"
        case ".joblib":
            return (
                "Next: joblib.load(PATH).predict(X). Loading a .joblib file executes code: share it as .npz"
            )
    return f"Next: hpsearch model predict {shlex.quote(str(path))} new.csv"


@app.command()
def predict(
    model: ModelFile,
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="The inputs: a CSV file, plain or gzipped, or Parquet.")
    ],
    *,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Add a column with the probability of each class.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="PATH", help="The file.  [default: stdout]")
    ] = None,
) -> None:
    """Predict for each row of a table, and write the table with a column `prediction` as CSV.

    Columns are found by their names, in any order; others are kept and ignored. Problems are listed all at once, and
    then nothing is written. The table may be larger than memory.

    Example: hpsearch model predict digits.npz new.csv --output predicted.csv
    """
    from hpsearch.workflows.model import predict_table

    predicted = predict_table(model, table, output=output, probabilities=probabilities, emit=write_text)
    if predicted.ignored:
        columns = "column is" if len(predicted.ignored) == 1 else "columns are"
        write_message(
            f"Ignored: {len(predicted.ignored)} {columns} no input of the model: {', '.join(predicted.ignored)}"
        )
    if predicted.unknown:
        counts = ", ".join(f"{name} ({count:,})" for name, count in predicted.unknown.items())
        write_message(
            f"Categories that the training part does not have, counted as rare ones (rows): {counts}"
        )
    if output is not None:
        write_line(f"{output}: {predicted.rows:,} rows with predictions")


@app.command()
def show(
    model: ModelFile,
    form: Annotated[
        ModelFormat, typer.Option("--format", help="How to write it; `markdown` is a model card.")
    ] = ModelFormat.TABLE,
    card: Annotated[bool, typer.Option("--card", help="The same as --format markdown.")] = False,
) -> None:
    """Show a model: its study, its network, its results and its data.

    The model card adds an interval of the accuracy, the use of the model, its limits, and every setting.

    Example: hpsearch model show digits.npz --card
    """
    from hpsearch.model.archive import read_model
    from hpsearch.model.card import model_card
    from hpsearch.model.description import model_facts, model_object

    found = read_model(model)
    if card or form is ModelFormat.MARKDOWN:
        write_text(model_card(found))
    else:
        write_properties(model_facts(found), model_object(found), Format(form.value))
