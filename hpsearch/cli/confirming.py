"""The best configurations of a study, trained again with fresh seeds: which of them is really the best."""

import shlex
from collections.abc import Sequence
from typing import Any, Final

from hpsearch.analysis.confirmation import (
    Repeated,
    best_configurations,
    confirmation,
    interval_words,
    mean_words,
    ranked_trials,
    sentence,
)
from hpsearch.analysis.formats import format_count, format_parameter, format_result, format_short_metric
from hpsearch.analysis.json_objects import trial_object
from hpsearch.cli.options import Format
from hpsearch.cli.output import Listing, answer, say, write_listing
from hpsearch.cli.stored_data import read_stored
from hpsearch.errors import HpsearchError
from hpsearch.storage.records import Evaluation, StoredStudy
from hpsearch.storage.store import Store
from hpsearch.study.configurations import why_untrainable
from hpsearch.trials import Trial
from hpsearch.worker.capacity import check_memory, job_of, rows_per_worker
from hpsearch.worker.preparation import check_version
from hpsearch.worker.repetitions import fresh_seeds, repetitions, train
from hpsearch.worker.shutdown import INTERRUPTED, StopRequest, stop_on_signals

DONE: Final = 0


def confirm_study(store: Store, name: str, *, best: int, seeds: int, form: Format) -> int:
    """Train the best `best` configurations with `seeds` fresh seeds, except where that is stored, and list them.

    Returns the exit code: 0, or 130 after a request to stop. Raises HpsearchError where no trial is ranked.
    """
    study = store.study(name)
    store.sweep(study)
    chosen = trainable(study, store.trials(study), count=best)
    if not chosen:
        raise HpsearchError(
            f'study "{name}": must have a complete trial with a finite result to confirm (got none): '
            f"hpsearch study run {shlex.quote(name)}"
        )
    stop = StopRequest()
    if not _train(store, study, chosen, seeds=seeds, stop=stop):
        say("Stopped: the same command continues from here")
        return INTERRUPTED
    write_confirmation(store, study, chosen, form)
    return DONE


def trainable(study: StoredStudy, trials: Sequence[Trial], *, count: int) -> list[Trial]:
    """Return the best trial of each of the `count` best configurations that can be trained again.

    Those that another Optuna client told, and that cannot, are named on stderr with the reason.
    """
    chosen: list[Trial] = []
    for trial in best_configurations(trials, maximize=study.maximize, count=len(trials)):
        if len(chosen) == count:
            break
        if (why := why_untrainable(study.spec, trial.params)) is None:
            chosen.append(trial)
        else:
            say(
                f"Left out: trial {trial.number}, which another Optuna client reported: "
                f"it cannot be trained again ({why})"
            )
    return chosen


def _train(
    store: Store, study: StoredStudy, chosen: Sequence[Trial], *, seeds: int, stop: StopRequest
) -> bool:
    """Train what is not stored yet, and store each cohort as it ends; return whether all is there."""
    stored = {(one.number, one.seed) for one in store.evaluations(study) if one.part == "validation"}
    wanted = {
        seed: [trial.number for trial in chosen if (trial.number, seed) not in stored]
        for seed in fresh_seeds(study.spec.seed, "validation", seeds)
    }
    missing = sum(map(len, wanted.values()))
    if not missing:
        return True
    check_version(study)
    prepared = read_stored(study)
    job = job_of(prepared)
    check_memory(job)
    rows = rows_per_worker(job.bytes_per_row, budget=len(chosen) * 10, workers=1)
    planned = repetitions(prepared, {trial.number: trial.params for trial in chosen}, wanted, rows=rows)
    say(
        f"{format_count(len(chosen), 'configuration')}, {seeds} fresh seeds: {format_count(missing, 'training')}"
    )
    done = 0
    with stop_on_signals(stop):
        for made in train(prepared, planned, part="validation", stop=stop):
            store.write_evaluations(study, made)
            done += len(made)
            say(f"{done:,} of {missing:,}")
    return done == missing


def write_confirmation(store: Store, study: StoredStudy, chosen: Sequence[Trial], form: Format) -> None:
    """Write what fresh seeds say about the trials `chosen` to stdout."""
    found = confirmation(chosen, store.evaluations(study), metric=study.spec.metric, maximize=study.maximize)
    write_listing(confirmation_listing(found, study), form)
    if form is Format.TABLE:
        answer()
        answer(sentence(found))


def confirmation_listing(found: Sequence[Repeated], study: StoredStudy) -> Listing:
    """Return configurations over fresh seeds, the best mean first."""
    metric = study.spec.metric
    searched = [dimension.name for dimension in study.spec.search]
    short = format_short_metric(metric)
    return Listing(
        objects=[repeated_object(one) for one in found],
        heads=(
            "rank",
            "trial",
            "in the search",
            f"{short}, fresh seeds",
            "95 % interval",
            "seeds",
            *searched,
        ),
        rows=[
            (
                str(one.rank),
                str(one.number),
                format_result(one.in_search, metric),
                mean_words(one, metric),
                interval_words(one, metric),
                str(len(one.values)),
                *(format_parameter(one.params[name]) if name in one.params else "" for name in searched),
            )
            for one in found
        ],
        right=frozenset({"rank", "trial", "in the search", f"{short}, fresh seeds", "seeds", *searched}),
    )


def confirmed_objects(
    study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """Return the best trial and `confirmed`, what fresh seeds say, the best mean first, as JSON has them."""
    metric, maximize = study.spec.metric, study.maximize
    best = ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=1)
    found = confirmation(trials, evaluations, metric=metric, maximize=maximize)
    return {
        "best": trial_object(best[0]) if best else None,
        "confirmed": [repeated_object(one) for one in found],
    }


def repeated_object(one: Repeated) -> dict[str, Any]:
    """Return a configuration over fresh seeds as a JSON object; `low` and `high` hold the mean at 95 %."""
    low, high = one.interval or (None, None)
    return {
        "rank": one.rank,
        "number": one.number,
        "value": one.in_search,
        "mean": one.mean,
        "low": low,
        "high": high,
        "is_behind": one.is_behind,
        "seeds": [{"seed": seed, "value": value} for seed, value in one.values.items()],
        "params": dict(one.params),
    }
