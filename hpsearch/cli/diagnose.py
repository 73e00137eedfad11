"""`hpsearch diagnose`: train one configuration until its fault is clear."""

from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.options import AnswerFormat
from hpsearch.study.schema import MOST_SEED


def diagnose(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A study file (TOML), or an example by its name.")
    ],
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A value in place of the file's, such as training.epochs=5; may be given again.",
        ),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option(
            "--configuration",
            metavar="NAME|INDEX",
            help="Which of the file's [[configurations]]: its name, or its place from 0.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="PATH_OR_NAME", help="The data to train on, in place of the file's."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, max=MOST_SEED, help="The seed, in place of the file's."),
    ] = None,
    form: Annotated[
        AnswerFormat, typer.Option("--format", help="How to write the answer.")
    ] = AnswerFormat.TEXT,
) -> None:
    """Train one configuration of a study file, ignoring [search], and report its fault.

    It trains until that is clear, for at most the file's epochs, and needs no database. The exit code is 0 for every
    verdict.

    Example: hpsearch diagnose digits --set learning_rate=30
    """
    from hpsearch.cli.diagnose_rendering import Question, examination_object, write_examination
    from hpsearch.cli.output import write_json
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.study.reader import parse_settings
    from hpsearch.workflows.diagnosis import diagnose as train_until_clear

    question = Question(
        file=file, settings=tuple(settings or ()), data=data, seed=seed, configuration=configuration
    )
    diagnosed = train_until_clear(
        file,
        parse_settings(question.settings),
        data=data,
        seed=seed,
        configuration=configuration,
        listener=TERMINAL,
    )
    if form is AnswerFormat.JSON:
        write_json(examination_object(diagnosed.diagnosis))
    else:
        write_examination(diagnosed.diagnosis, diagnosed.spec, question)
