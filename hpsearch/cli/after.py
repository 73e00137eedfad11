"""`hpsearch study confirm`, `test` and `narrow`: what follows a search."""

from typing import Annotated

import typer

from hpsearch.cli.options import (
    DEFAULT_STORAGE,
    MOST_INTEGER,
    AnswerFormat,
    Format,
    OutputFormat,
    Storage,
    StudyName,
    Trials,
    trial_number,
)

MOST_SEEDS = 1000


def confirm(
    name: StudyName,
    *,
    best: Annotated[
        int,
        typer.Option(
            "--best", metavar="N", min=1, max=MOST_INTEGER, help="How many of the best configurations."
        ),
    ] = 5,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=2, max=MOST_SEEDS, help="How many fresh seeds.")
    ] = 5,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Train the best configurations again with fresh seeds, and report whether the best differs by more than chance.

    A fresh seed changes weights, dropout and the order of the data, not the split. What is stored is not trained
    again: after Ctrl-C the same command continues, and only the cohort in training is lost.

    Example: hpsearch study confirm digits --best 3 --seeds 10
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.confirming import confirm_study
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        code = confirm_study(store, name, best=best, seeds=seeds, form=form)
        renew_report(store, name, url=storage)
    raise typer.Exit(code)


def open_test_part(
    name: StudyName,
    *,
    trial: Annotated[
        int | None,
        typer.Option(
            "--trial",
            metavar="NUMBER",
            parser=trial_number,
            help="The configuration.  [default: the best, by fresh seeds if there are any]",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=2, max=MOST_SEEDS, help="How many fresh seeds.")
    ] = 5,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    form: Annotated[
        AnswerFormat, typer.Option("--format", help="How to write the answer.")
    ] = AnswerFormat.TEXT,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Open the sealed test part, once, and print what one configuration reaches there over fresh seeds.

    It trains on the training part as the search did. That the part was opened, when and by which command, is recorded
    first and permanently; later calls print the stored result.

    Example: hpsearch study test flowers --trial 17 --yes
    """
    from hpsearch.cli.conclusion import renew_report
    from hpsearch.cli.sealed import open_once
    from hpsearch.storage.store import open_store

    with open_store(storage, foreign=True) as store:
        code = open_once(store, name, trial=trial, seeds=seeds, yes=yes, form=form)
        renew_report(store, name, url=storage)
    raise typer.Exit(code)


def narrow(
    name: StudyName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Create the follow-up study.")] = False,
    new_name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NEW",
            help="Its name.  [default: NAME-round-2, or X-round-3 if NAME is X-round-2]",
        ),
    ] = None,
    trials: Trials = None,
    form: OutputFormat = Format.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Propose what to search next, from the best trials and the deaths, with a reason for every bound.

    With --yes it creates the follow-up study. That keeps the seed and the split, so results compare, and begins with
    the best configurations that lie inside, which are trained again and count.

    Example: hpsearch study narrow digits --yes
    """
    from hpsearch.cli.names import check_name
    from hpsearch.cli.narrowing import narrow_study
    from hpsearch.storage.store import open_store

    if new_name is not None:
        check_name("--name", new_name)
    with open_store(storage, foreign=True) as store:
        narrow_study(store, store.study(name), yes=yes, name=new_name, trials=trials, form=form)
