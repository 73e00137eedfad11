"""What the sealed test part showed, for people and for programs."""

from collections.abc import Callable
from typing import Any

from hpsearch.analysis.confirmation import Repeated, interval_words, mean_words
from hpsearch.analysis.formats import format_parameters, format_result, format_time
from hpsearch.analysis.json_objects import moment_text
from hpsearch.cli.asking import ask
from hpsearch.cli.confirming import repeated_object
from hpsearch.cli.options import AnswerFormat
from hpsearch.cli.output import answer, write_json
from hpsearch.storage.records import StoredStudy, Unsealing
from hpsearch.storage.store import Store
from hpsearch.trials import Trial
from hpsearch.workflows.sealed_test import SealedTest, measured_on_test


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


def approve(study: StoredStudy, chosen: Trial) -> None:
    """Return after a yes. Raises UsageError where nobody can be asked, and Abort after a no."""
    name, params = study.spec.name, format_parameters(chosen.params, study.spec.search)
    ask(
        f'Open the sealed test part of "{name}" for trial {chosen.number}? It opens once',
        refusal=f'Not opening the sealed test part of "{name}", which opens once',
        lines=[f"Trial {chosen.number} | {params}"],
    )


def write_test(tested: SealedTest, found: Repeated, form: AnswerFormat) -> None:
    """Write what the chosen configuration reaches on the test part, and who opened it, to stdout."""
    study = tested.study
    if form is AnswerFormat.JSON:
        shown = {
            key: value for key, value in repeated_object(found).items() if key not in ("rank", "is_behind")
        }
        write_json(shown | {"test": opened_object(tested.opened)})
        return
    answer(f"Trial {tested.trial.number} | {format_parameters(tested.trial.params, study.spec.search)}")
    answer(result_sentence(found, study.spec.metric))
    answer(opened_words(study, tested.opened, has_result=True))


def result_sentence(found: Repeated, metric: str) -> str:
    """Say what a configuration reaches on the test part."""
    kind = "accuracy" if metric == "validation_accuracy" else "loss"
    span = interval_words(found, metric)
    held = f", 95 % interval {span}" if span else ""
    return (
        f"Test {kind}: {mean_words(found, metric)}{held}, over {len(found.values)} fresh seeds "
        f"(validation {kind} in the search: {format_result(found.in_search, metric)})."
    )
