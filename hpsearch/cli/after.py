"""`hpsearch study confirm`, `test` and `narrow`: what follows a search."""

from typing import Annotated

import typer

from hpsearch.cli.options import (
    MOST_INTEGER,
    AnswerFormat,
    Format,
    OutputFormat,
    Storage,
    StudyName,
    Trials,
    trial_number,
)
from hpsearch.cli.output import say
from hpsearch.workflows.default_storage import DEFAULT_STORAGE

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
    from hpsearch.cli.confirming import write_confirmation
    from hpsearch.cli.progress import until_stopped
    from hpsearch.storage.store import open_store
    from hpsearch.worker.shutdown import INTERRUPTED
    from hpsearch.workflows.confirmation import confirm as train_again

    with open_store(storage, foreign=True) as store:
        with until_stopped() as listener:
            confirmed = train_again(store, name, best=best, seeds=seeds, listener=listener)
        if confirmed.is_complete:
            write_confirmation(confirmed, form)
        else:
            say("Stopped: the same command continues from here")
        renew_report(store, name, url=storage)
    if not confirmed.is_complete:
        raise typer.Exit(INTERRUPTED)


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
    from hpsearch.cli.progress import until_stopped
    from hpsearch.cli.sealed import approve, write_test
    from hpsearch.storage.store import open_store
    from hpsearch.worker.shutdown import INTERRUPTED
    from hpsearch.workflows import sealed_test

    with open_store(storage, foreign=True) as store:
        with until_stopped() as listener:
            tested = sealed_test.open_test_part(
                store, name, trial=trial, seeds=seeds, approve=None if yes else approve, listener=listener
            )
        if tested.found is not None:
            write_test(tested, tested.found, form)
        else:
            command = sealed_test.opened_command(tested.study, tested.opened.number, tested.seeds)
            say(f"Stopped before the result: {command} finishes it")
        renew_report(store, name, url=storage)
    if tested.found is None:
        raise typer.Exit(INTERRUPTED)


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
    from hpsearch.cli.narrowing import write_follow_up, write_narrowing, write_remedy
    from hpsearch.storage.store import open_store
    from hpsearch.workflows.narrowing import follow_up
    from hpsearch.workflows.narrowing import narrow as propose
    from hpsearch.workflows.studies import check_name

    if new_name is not None:
        check_name("--name", new_name)
    with open_store(storage, foreign=True) as store:
        narrowing = propose(store, name)
        write_narrowing(narrowing, form)
        if yes:
            made = follow_up(store, narrowing, name=new_name, trials=trials)
            write_follow_up(narrowing, made, trials=trials, form=form, where=store.url_shown)
        elif form is Format.TABLE:
            write_remedy(narrowing, new_name)
