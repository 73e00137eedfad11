"""Operations on a study from the browser. Each calls the use case that the command of its name calls."""

import shlex
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from hpsearch.errors import UsageError
from hpsearch.storage.store import Store
from hpsearch.study.messages import nearest
from hpsearch.study.schema import MOST_INTEGER, MOST_SEEDS, STUDY, Rule, WholeNumber, number_in
from hpsearch.study.spec import BudgetSpec
from hpsearch.workflows import studies, trials

Fields: TypeAlias = Mapping[str, str]
"""The fields of a form by their names."""

VALUE: Final = "value:"
"""The prefix of a field with the value of a searched dimension; the dimension's name follows."""

LIMITS: Final = ("hours", "epochs", "until", "patience")
"""The limits of a study, which are fields of the form of its budget."""

_BY: Final = "a user of the dashboard"
_PRIORITY: Final = WholeNumber(low=-MOST_INTEGER, high=MOST_INTEGER)
_TRIAL: Final = WholeNumber(low=0, high=MOST_INTEGER)
_BEST: Final = WholeNumber(low=1, high=MOST_INTEGER)
_SEEDS: Final = WholeNumber(low=2, high=MOST_SEEDS)


def operate(store: Store, name: str, fields: Fields) -> str:
    """Carry out the operation that a form names, and return a sentence about it, and one if it needs a worker.

    Raises UsageError for unknown operations and bad values, with all problems, and HpsearchError if it is impossible.
    """
    operation = fields.get("operation", "")
    if operation not in _OPERATIONS:
        near = nearest(operation, _OPERATIONS)
        hint = f"did you mean {near}?" if near else f"choose one of {', '.join(_OPERATIONS)}"
        raise UsageError(f'operation: must be known (got "{operation}"): {hint}')
    sentences = [_OPERATIONS[operation](store, name, fields)]
    if operation in _BRING_WORK and _lacks_worker(store, name):
        sentences.append(
            f"No worker is running: hpsearch worker start --study {shlex.quote(name)} starts one."
        )
    return "\n".join(sentences)


def _lacks_worker(store: Store, name: str) -> bool:
    """Return True if the study has trials to train, and no worker is there to claim them."""
    has_work = store.queue.opening(store.studies.get(name)).room > 0
    return has_work and all(worker.is_lost or worker.should_stop for worker in store.workers.all())


def confirmation_size(fields: Fields) -> tuple[int, int]:
    """Return how many of the best configurations to confirm, and with how many seeds. Raises UsageError."""
    values = _numbers(fields, {"best": _BEST, "seeds": _SEEDS})
    return values["best"], values["seeds"]


def _pause(store: Store, name: str, _: Fields) -> str:
    return "\n".join(studies.pause(store, name, by=_BY).sentences)


def _resume(store: Store, name: str, _: Fields) -> str:
    return "\n".join(studies.resume(store, name).sentences)


def _stop(store: Store, name: str, _: Fields) -> str:
    return "\n".join(studies.stop(store, name).sentences)


def _edit(store: Store, name: str, fields: Fields) -> str:
    """Set the fields that differ from the stored values, so that a form sent unchanged changes nothing."""
    values = _numbers(fields, {"trials": STUDY["trials"], "priority": _PRIORITY})
    study = store.studies.get(name)
    trials = None if values["trials"] == study.spec.trials else values["trials"]
    priority = None if values["priority"] == study.priority else values["priority"]
    limits = _changed_limits(study.spec.budget, fields)
    if trials is None and priority is None and not limits:
        return f'Study "{name}": has these values already'
    edited = studies.edit(store, name, trials=trials, priority=priority, limits=limits)
    return "\n".join(edited.sentences)


def _changed_limits(budget: BudgetSpec, fields: Fields) -> dict[str, int | float | str]:
    """Return the limits of a form that differ from the stored ones; an empty field is none."""
    given = {key: number_in(fields[key]) if fields[key].strip() else None for key in LIMITS if key in fields}
    changed = {key: value for key, value in given.items() if value != getattr(budget, key)}
    return {key: studies.NO_LIMIT if value is None else value for key, value in changed.items()}


def _enqueue(store: Store, name: str, fields: Fields) -> str:
    settings = [
        f"{key.removeprefix(VALUE)}={value.strip()}"
        for key, value in fields.items()
        if key.startswith(VALUE) and value.strip()
    ]
    return trials.enqueue(store, name, settings).sentence


def _retry(store: Store, name: str, fields: Fields) -> str:
    number = _numbers(fields, {"number": _TRIAL})["number"]
    return trials.retry(store, name, number).sentence


_OPERATIONS: Final[Mapping[str, Callable[[Store, str, Fields], str]]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "edit": _edit,
    "enqueue": _enqueue,
    "retry": _retry,
}


_BRING_WORK: Final = frozenset({"resume", "edit", "enqueue", "retry"})
"""The operations after which a study may have trials to train that it did not have before."""


def _numbers(fields: Fields, rules: Mapping[str, Rule]) -> dict[str, int]:
    """Return the whole numbers of these fields. Raises UsageError with every problem."""
    raw = {key: number_in(fields.get(key, "")) for key in rules}
    problems = [str(problem) for key, rule in rules.items() for problem in rule.problems(key, raw[key])]
    if problems:
        raise UsageError("\n".join(problems))
    return {key: int(value) for key, value in raw.items()}
