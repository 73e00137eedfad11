"""The sealed test part of a study: opened once, for one configuration, and remembered for ever."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any, Final

from hpsearch.analysis.confirmation import Repeated, best_confirmed, interval_words, mean_words, repeat
from hpsearch.analysis.formats import format_count, format_parameters, format_result, format_time
from hpsearch.analysis.json_objects import moment_text
from hpsearch.cli.asking import ask
from hpsearch.cli.confirming import repeated_object, trainable
from hpsearch.cli.options import AnswerFormat
from hpsearch.cli.output import answer, say, write_json
from hpsearch.cli.stored_data import read_stored
from hpsearch.errors import HpsearchError
from hpsearch.storage.records import Evaluation, StoredStudy, Unsealing
from hpsearch.storage.store import Store
from hpsearch.study.configurations import why_untrainable
from hpsearch.trials import Trial, TrialState
from hpsearch.worker.capacity import check_memory, job_of
from hpsearch.worker.preparation import PreparedStudy, check_version
from hpsearch.worker.repetitions import fresh_seeds, repetitions, train
from hpsearch.worker.shutdown import INTERRUPTED, StopRequest, stop_on_signals

DONE: Final = 0


def open_once(
    store: Store, name: str, *, trial: int | None, seeds: int, yes: bool, form: AnswerFormat
) -> int:
    """Open the sealed test part for a configuration and say what it reaches there; return the exit code.

    A test part that was opened before is not opened again: what is recorded is said, and an opening that was cut off
    before its result is finished, for the configuration and with as many seeds as it was made for. All seeds are stored
    together.
    """
    study = store.study(name)
    store.sweep(study)
    opened, results = store.unsealing(study), measured_on_test(store.evaluations(study))
    if opened is not None:
        _refuse_another(study, opened, trial)
    if opened is None or not results:
        prepared = _prepared(study)
        if opened is None:
            opened = _open(store, study, trial=trial, seeds=seeds, yes=yes)
        seeds = opened.seeds or seeds
        stop = StopRequest()
        if not _train(store, study, prepared, store.trial(study, opened.number), seeds=seeds, stop=stop):
            say(f"Stopped before the result: {opened_command(study, opened.number, seeds)} finishes it")
            return INTERRUPTED
    else:
        say("The test part was opened before; nothing is trained again")
    write_test(store, study, opened, form)
    return DONE


def measured_on_test(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return what was measured on the test part."""
    return [one for one in evaluations if one.part == "test"]


def opened_words(study: StoredStudy, opened: Unsealing, *, has_result: bool) -> str:
    """Say that the test part was opened, when, for what and by which command."""
    unfinished = "" if has_result else "; it was stopped before the result, and the same command finishes it"
    return (
        f"{study.spec.name}: the test part was opened on {format_time(opened.opened)} for trial {opened.number} "
        f"by `{opened.command}`{unfinished}."
    )


def opened_object(opened: Unsealing | None) -> dict[str, Any] | None:
    """Return the opening of the test part as a JSON object; null while it is sealed."""
    if opened is None:
        return None
    return {"number": opened.number, "command": opened.command, "opened": moment_text(opened.opened)}


def tell_if_opened(store: Store, study: StoredStudy, tell: Callable[[str], None]) -> None:
    """Tell that the test part was opened, where it was."""
    if (opened := store.unsealing(study)) is not None:
        tell(opened_words(study, opened, has_result=bool(measured_on_test(store.evaluations(study)))))


def opened_command(study: StoredStudy, number: int, seeds: int) -> str:
    """Return the command that opens the test part, without what it does not depend on."""
    return f"hpsearch study test {shlex.quote(study.spec.name)} --trial {number} --seeds {seeds}"


def _refuse_another(study: StoredStudy, opened: Unsealing, trial: int | None) -> None:
    """Raise HpsearchError where the test part was opened for another configuration than `trial`."""
    if trial is not None and trial != opened.number:
        raise HpsearchError(
            f"--trial: must be {opened.number}, for which the sealed test part was opened by `{opened.command}` "
            f"on {format_time(opened.opened)} (got {trial}): it opens once; search on other data, or with another "
            f'seed, to test "{study.spec.name}" again'
        )


def _prepared(study: StoredStudy) -> PreparedStudy:
    """Return the study with its data. Raises HpsearchError where that has no test part."""
    check_version(study)
    prepared = read_stored(study)
    if prepared.data.test is None:
        raise HpsearchError(
            f'study "{study.spec.name}": must have a sealed test part (got data.test_fraction = '
            f"{study.spec.data.test_fraction:g}): give it one in the study file, 0.2 say, and search under another name"
        )
    check_memory(job_of(prepared))
    return prepared


def _open(store: Store, study: StoredStudy, *, trial: int | None, seeds: int, yes: bool) -> Unsealing:
    """Choose the configuration, ask, and record that the test part is opened: before anything is trained.

    Raises HpsearchError where it was opened meanwhile for another configuration.
    """
    chosen = _chosen(store, study, trial)
    _warn(store, study)
    if not yes:
        _ask(study, chosen)
    command = opened_command(study, chosen.number, seeds)
    opened = store.unseal(study, number=chosen.number, command=command, seeds=seeds)
    _refuse_another(study, opened, chosen.number)  # another process may have opened it while we asked
    return opened


def _chosen(store: Store, study: StoredStudy, number: int | None) -> Trial:
    """Return the trial `number`, or the best one: by fresh seeds where there are any, else by the search."""
    if number is not None:
        trial = store.trial(study, number)
        if trial.state is not TrialState.COMPLETE:
            raise HpsearchError(
                f'--trial: must be a complete trial of "{study.spec.name}" (got {number}, which is '
                f"{trial.state.value}): choose one that `hpsearch study best {shlex.quote(study.spec.name)}` lists"
            )
        if (why := why_untrainable(study.spec, trial.params)) is not None:
            raise HpsearchError(
                f'--trial: must be a trial that "{study.spec.name}" can train (got {number}, which another Optuna '
                f"client reported: {why}): choose another one"
            )
        return trial
    trials = store.trials(study)
    metric, maximize = study.spec.metric, study.maximize
    confirmed = best_confirmed(trials, store.evaluations(study), metric=metric, maximize=maximize)
    best = [confirmed] if confirmed is not None else trainable(study, trials, count=1)
    if not best:
        raise HpsearchError(
            f'study "{study.spec.name}": must have a complete trial with a finite result to test (got none): '
            f"hpsearch study run {shlex.quote(study.spec.name)}"
        )
    return best[0]


def _warn(store: Store, study: StoredStudy) -> None:
    """Say on stderr what speaks against opening the test part now."""
    progress = store.progress(study)
    if not progress.is_done:
        done = f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"
        say(f"Warning: the search is not finished ({done}): the test part is for its end")
    for other in store.studies():
        if other.key == study.key or other.fingerprint != study.fingerprint:
            continue
        if (opened := store.unsealing(other)) is not None:
            say(
                f'Warning: study "{other.spec.name}" opened the same test part on {format_time(opened.opened)}: '
                "if anything was chosen by its result, this one is no test any more"
            )


def _ask(study: StoredStudy, chosen: Trial) -> None:
    """Return after a yes. Raises UsageError where nobody can be asked, and Abort after a no."""
    name, params = study.spec.name, format_parameters(chosen.params, study.spec.search)
    ask(
        f'Open the sealed test part of "{name}" for trial {chosen.number}? It opens once',
        refusal=f'Not opening the sealed test part of "{name}", which opens once',
        lines=[f"Trial {chosen.number} | {params}"],
    )


def _train(
    store: Store, study: StoredStudy, prepared: PreparedStudy, trial: Trial, *, seeds: int, stop: StopRequest
) -> bool:
    """Train the configuration with every seed, and store all results at once; return False once `stop` is asked."""
    wanted = {seed: [trial.number] for seed in fresh_seeds(study.spec.seed, "test", seeds)}
    planned = repetitions(prepared, {trial.number: trial.params}, wanted, rows=1)
    say(f"Training trial {trial.number} with {seeds} fresh seeds")
    with stop_on_signals(stop):
        made = [one for batch in train(prepared, planned, part="test", stop=stop) for one in batch]
        if len(made) < seeds:
            return False
        store.write_evaluations(study, made)
        return True


def write_test(store: Store, study: StoredStudy, opened: Unsealing, form: AnswerFormat) -> None:
    """Write what the chosen configuration reaches on the test part, and who opened it, to stdout."""
    trial = store.trial(study, opened.number)
    found = repeat(trial, store.evaluations(study), part="test", metric=study.spec.metric)
    if form is AnswerFormat.JSON:
        shown = {
            key: value for key, value in repeated_object(found).items() if key not in ("rank", "is_behind")
        }
        write_json(shown | {"test": opened_object(opened)})
        return
    answer(f"Trial {trial.number} | {format_parameters(trial.params, study.spec.search)}")
    answer(result_sentence(found, study.spec.metric))
    answer(opened_words(study, opened, has_result=True))


def result_sentence(found: Repeated, metric: str) -> str:
    """Say what a configuration reaches on the test part."""
    kind = "accuracy" if metric == "validation_accuracy" else "loss"
    span = interval_words(found, metric)
    held = f", 95 % interval {span}" if span else ""
    return (
        f"Test {kind}: {mean_words(found, metric)}{held}, over {len(found.values)} fresh seeds "
        f"(validation {kind} in the search: {format_result(found.in_search, metric)})."
    )
