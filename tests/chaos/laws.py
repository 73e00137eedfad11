"""Laws that hold after any events, checked on the database alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from sqlalchemy import text

from hpsearch.trials import ledger_key, ledger_of
from tests.chaos import audit
from tests.chaos.ground import Ground, Result

Law: TypeAlias = Callable[[Ground, Sequence[Result]], Iterator[str]]
"""Yields a line for each way in which the law is broken, given an undisturbed worker's results."""


def exact_budget(ground: Ground, _expected: Sequence[Result]) -> Iterator[str]:
    """Yield unless the number of finished trials is the budget, and none failed."""
    counted = Counter(trial.state.value for trial in ground.store.trials.all(ground.study))
    if counted["complete"] + counted["pruned"] != ground.plan.trials or counted["failed"]:
        yield f"{ground.plan.trials} trials must have finished (got {dict(counted)})"


def numbers_in_order(ground: Ground, _expected: Sequence[Result]) -> Iterator[str]:
    """Yield unless Optuna's trials have the numbers from 0 on, each once."""
    with ground.connect() as connection:
        numbers = list(connection.execute(text("SELECT number FROM trials ORDER BY number")).scalars())
    if numbers != list(range(len(numbers))):
        yield f"numbers must be 0 to {len(numbers) - 1}, each once (got {numbers})"


def nothing_open(ground: Ground, _expected: Sequence[Result]) -> Iterator[str]:
    """Yield for every trial that runs, waits or is leased."""
    with ground.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT t.number, t.state, o.worker, o.lease_until FROM trials AS t "
                "LEFT JOIN hpsearch_trials AS o USING (trial_id) "
                "WHERE t.state IN ('RUNNING', 'WAITING') OR o.lease_until IS NOT NULL"
            )
        )
        for row in rows:
            yield f"trial {row.number} must have ended (got {row.state}, worker {row.worker}, {row.lease_until})"


def same_results(ground: Ground, expected: Sequence[Result]) -> Iterator[str]:
    """Yield for each trial that differs, in whatever bit, from the undisturbed one."""
    found, wanted = ground.results(), list(expected[: ground.plan.trials])
    if len(found) != len(wanted):
        yield f"{len(wanted)} trials must be there (got {len(found)})"
    for got, due in zip(found, wanted, strict=False):
        for name in Result.__slots__:
            if getattr(got, name) != getattr(due, name):
                yield f"trial {due.number}: {name} must be {getattr(due, name)} (got {getattr(got, name)})"


def ledger_adds_up(ground: Ground, _expected: Sequence[Result]) -> Iterator[str]:
    """Yield unless trials and lost attempts together are all epochs, and each attempt is accounted for."""
    trials = ground.store.trials.all(ground.study)
    attempts = _attempts(ground)
    progress = ground.progress()
    lost = sum(epochs for rows in attempts.values() for _, _, epochs in rows)
    if progress.epochs != sum(trial.epochs for trial in trials) + lost:
        yield f"epochs must be those of the trials and {lost} lost ones (got {progress.epochs})"
    every = [attempt for rows in ground.store.trials.all_attempts(ground.study).values() for attempt in rows]
    due = ledger_of(
        [
            *((ledger_key(trial.state, trial.verdict), trial.epochs) for trial in trials),
            *(("stopped" if a.kind == "handed_back" else "worker_lost", a.epochs) for a in every),
        ]
    )
    if dict(progress.ledger) != due:
        yield f"the ledger must be {due} (got {progress.ledger})"
    if sum(progress.ledger.values()) != progress.epochs:
        yield f"the ledger must add up to {progress.epochs} (got {progress.ledger})"
    for trial in trials:
        numbers = [attempt for attempt, _, _ in attempts.get(trial.number, ())]
        if numbers != list(range(1, trial.attempts)):
            yield f"trial {trial.number}: attempts before {trial.attempts} must be known (got {numbers})"


def rightful_writes(ground: Ground, _expected: Sequence[Result]) -> Iterator[str]:
    """Yield for each write of a worker's to a trial of which it did not hold the lease."""
    with ground.connect() as connection:
        noted = audit.entries(connection)
    if not noted:
        yield "writes must have been noted (got none)"
    yield from map(str, audit.wrongful(noted))


def _attempts(ground: Ground) -> Mapping[int, Sequence[tuple[int, str, int]]]:
    """Return number -> (attempt, worker, epochs) of the lost attempts, in order.

    Epochs with which a later attempt went on from a checkpoint are that one's, and do not count here.
    """
    found: dict[int, list[tuple[int, str, int]]] = {}
    with ground.connect() as connection:
        rows = connection.execute(text("SELECT * FROM hpsearch_attempts ORDER BY number, attempt"))
        for row in rows:
            found.setdefault(row.number, []).append((row.attempt, row.worker, row.epochs - (row.kept or 0)))
    return found


RIGHTFUL: Final = "nobody wrote under a lease that was lost"

LAWS: Final[Mapping[str, Law]] = {
    "exactly the budget has finished": exact_budget,
    "numbers run from 0, each once": numbers_in_order,
    "nothing runs, waits or is leased": nothing_open,
    "every trial has the bits of an undisturbed run": same_results,
    "the ledger adds up": ledger_adds_up,
    RIGHTFUL: rightful_writes,
}


def breaches(ground: Ground, expected: Sequence[Result]) -> dict[str, list[str]]:
    """Return law -> how it is broken; an empty list if it is kept."""
    return {name: list(law(ground, expected)) for name, law in LAWS.items()}


def check(ground: Ground, expected: Sequence[Result], *, knows_writers: bool = True) -> None:
    """Raise AssertionError unless every law is kept, except the one on writes if `knows_writers` is False."""
    broken = {name: found[:5] for name, found in breaches(ground, expected).items() if found}
    if not knows_writers:
        broken.pop(RIGHTFUL, None)
    assert not broken, broken
