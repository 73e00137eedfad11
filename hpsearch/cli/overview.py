"""Where a study stands, for people."""

from collections.abc import Sequence

from hpsearch.analysis.advice import advice
from hpsearch.analysis.audit import Audit, audit_of
from hpsearch.analysis.best_trials import (
    has_several_objectives,
    leading_trials,
    objectives_words,
    result_words,
    rival_words,
    setting_words,
    value_words,
)
from hpsearch.analysis.configurations import configuration_rows
from hpsearch.analysis.confirmation import confirmation, ranked_trials
from hpsearch.analysis.formats import format_count, format_share, format_tick
from hpsearch.analysis.json_objects import study_object
from hpsearch.analysis.study_state import fate_rows, state_sentence
from hpsearch.analysis.summary import Decade, fates_by_decade
from hpsearch.cli.listings import configurations_listing
from hpsearch.cli.options import Format
from hpsearch.cli.output import answer, write_csv, write_json, write_listing, write_table
from hpsearch.storage.foreign_trials import described, remedy
from hpsearch.storage.records import Evaluation, Progress, StoredStudy
from hpsearch.study.spec import fault_in_words
from hpsearch.trials import Fate, Trial


def write_overview(
    study: StoredStudy, progress: Progress, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()
) -> None:
    """Write how the study stands, its fates, its ledger, its advice, and its audit to stdout."""
    answer(f"{study.spec.name}: {state_sentence(progress)}")
    for foreign in progress.foreign:
        words = described(foreign)
        answer(f"{words[:1].upper()}{words[1:]}: {remedy(study.spec.name, foreign)}")
    if study.spec.data.fault is not None:
        answer(f"Fault on purpose: {fault_in_words(study.spec.data.fault)}.")
    _write_best(study, trials, evaluations)
    if rows := configuration_rows(study, trials):
        answer()
        write_listing(configurations_listing(rows, study), Format.TABLE)
    answer()
    write_fates(progress)
    if decades := fates_by_decade(study.spec.search, trials):
        answer()
        write_decades(decades)
    answer()
    write_ledger(progress)
    write_advice(study, trials, evaluations)
    audit = audit_of(trials, maximize=study.maximize)
    if audit.audited or study.spec.pruning.audit:
        answer()
        answer(audit_words(audit))


def _write_best(study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation]) -> None:
    """Write the best trial to stdout, by fresh seeds if any were trained with them."""
    metric, maximize = study.spec.metric, study.maximize
    for trial in ranked_trials(trials, evaluations, metric=metric, maximize=maximize, count=1):
        found = next(iter(confirmation([trial], evaluations, metric=metric, maximize=maximize)), None)
        word = "Best so far" if found is None else "Best"
        params = setting_words(trial, study.spec)
        answer(f"{word}: trial {trial.number} ({result_words(trial, found, metric)}) | {params}")
    if rival := rival_words(trials, study, evaluations=evaluations):
        answer(rival)


def write_foreign_overview(
    study: StoredStudy, progress: Progress, trials: Sequence[Trial], form: Format
) -> None:
    """Write what is known of a study that another Optuna client made to stdout."""
    best = leading_trials(trials, study, count=len(trials))
    if form is not Format.TABLE:
        shown = study_object(study, progress)
        if has_several_objectives(study):
            shown["front"] = [trial.number for trial in best]
        write_json(shown) if form is Format.JSON else write_csv([shown])
        return
    answer(f"{study.name}: {state_sentence(progress)}")
    answer(f"Objective{'s' if has_several_objectives(study) else ''}: {objectives_words(study)}.")
    if best and has_several_objectives(study):
        numbers = ", ".join(str(trial.number) for trial in best[:_FRONT_SHOWN])
        more = f" and {len(best) - _FRONT_SHOWN} more" if len(best) > _FRONT_SHOWN else ""
        answer(f"On the Pareto front, beaten by no other in all objectives: trials {numbers}{more}.")
    elif best:
        params = setting_words(best[0], study.spec)
        answer(f"Best so far: trial {best[0].number} ({value_words(best[0], study)}) | {params}")
    answer()
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}") for row in rows]
    write_table(("fate", "trials"), cells, right=frozenset({"trials"}))


_FRONT_SHOWN = 10


def write_decades(decades: Sequence[Decade]) -> None:
    """Write what became of the trials of each decade of learning rates to stdout."""
    fates = [fate for fate in Fate if any(fate in decade.fates for decade in decades)]
    cells = [
        (
            f"{format_tick(decade.low)} to {format_tick(decade.high)}",
            f"{decade.trials:,}",
            *(f"{decade.fates.get(fate, 0):,}" for fate in fates),
        )
        for decade in decades
    ]
    heads = ("trials", *(fate.value for fate in fates))
    write_table(("learning_rate", *heads), cells, right=frozenset(heads))


def write_advice(study: StoredStudy, trials: Sequence[Trial], evaluations: Sequence[Evaluation] = ()) -> None:
    """Write what the trials advise to stdout, below an empty line; nothing where they advise nothing."""
    if advised := advice(study.spec, trials, maximize=study.maximize, is_confirmed=bool(evaluations)):
        answer()
        answer(f"Advice: {advised}.")


def audit_words(audit: Audit) -> str:
    """Say how often stopping was wrong, by the trials that ran on."""
    if not audit.audited:
        return "Audit: no trial that diagnosis would have stopped has run on to its end yet."
    low, high = (f"{100 * bound:.1f}" for bound in audit.interval)
    return (
        f"Audit: {audit.wrong:,} of {format_count(audit.audited, 'trial')} that diagnosis would have stopped ended in "
        f"the best tenth: false-stop rate {100 * audit.wrong / audit.audited:.1f} % "
        f"(95 % interval {low} to {high} %)."
    )


def write_fates(progress: Progress) -> None:
    """Write how many trials met which fate, and the epochs that they began, to stdout."""
    rows = fate_rows(progress)
    cells = [(row.fate.value, f"{row.trials:,}", f"{row.epochs:,}") for row in rows]
    total = ("all", f"{sum(row.trials for row in rows):,}", f"{sum(row.epochs for row in rows):,}")
    write_table(("fate", "trials", "epochs"), [*cells, total], right=frozenset({"trials", "epochs"}))


def write_ledger(progress: Progress) -> None:
    """Write where every epoch went to stdout."""
    cells = [
        (cause, f"{epochs:,}", format_share(epochs, progress.epochs))
        for cause, epochs in progress.ledger.items()
    ]
    total = ("all", f"{progress.epochs:,}", "")
    write_table(("ledger", "epochs", "share"), [*cells, total], right=frozenset({"epochs", "share"}))
