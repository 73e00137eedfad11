"""What a claim costs, and how long a worker takes to join, in a study with many finished trials."""

import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select, text

from hpsearch.storage import open_storage, optuna_schema, schema
from hpsearch.storage.address import parse_address
from hpsearch.storage.details import stored_parameters
from hpsearch.storage.engine import make_engine, write_transaction
from hpsearch.storage.payloads import SERIES_FORMAT, pack_finding, pack_series
from hpsearch.storage.records import ClaimedTrial, StoredStudy
from hpsearch.storage.statements import write_rows
from hpsearch.storage.store import Store, open_store
from tests.benchmarks.storage.databases import on_server
from tests.benchmarks.storage.tables import say, show
from tests.benchmarks.storage.trials import LEASE_S, REPORTS, assignment, end, new_study

FEW: Final = 1_000
COUNT: Final = 32
_CHUNK: Final = 5_000

_T = TypeVar("_T")


def run(many: int, rounds: int) -> None:
    """Print what a claim and a start cost with few and with many finished trials."""
    say("## A study that grows, on PostgreSQL\n")
    with on_server("PostgreSQL") as url:
        if url is None:
            say("There is no PostgreSQL.\n")
            return
        with open_store(url) as store:
            studies = {count: new_study(store, 10**7) for count in (FEW, many)}
            for count, study in studies.items():
                _fill(url, study, count)
            first_s = {count: _claim(store, study) for count, study in studies.items()}
            claims_s = _claims(store, studies, rounds)
            starts_s = {count: _start(store, study) for count, study in studies.items()}
        reads_s = {count: _read_by_optuna(url, study) for count, study in studies.items()}
    show(
        [
            "finished trials",
            "claim of 32, ms",
            "first of all claims, ms",
            "worker joins, s",
            "open_storage reads, s",
        ],
        [
            [
                f"{count:,}",
                f"{claims_s[count] * 1e3:.2f}",
                f"{first_s[count] * 1e3:.1f}",
                f"{starts_s[count]:.2f}",
                f"{reads_s[count]:.2f}",
            ]
            for count in studies
        ],
    )
    say(f"A claim with {many:,} costs {claims_s[many] / claims_s[FEW]:.2f} times one with {FEW:,}.\n")


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    began = time.perf_counter()
    result = work()
    return result, time.perf_counter() - began


def _claim(store: Store, study: StoredStudy) -> float:
    """Claim trials and end them; return the seconds of the claim alone."""
    claims, claim_s = _timed(
        lambda: store.queue.claim(study, worker="benchmark", count=COUNT, lease_s=LEASE_S)
    )
    store.trials.assign(study, [assignment(claim) for claim in claims])
    store.trials.record(study, [end(claim) for claim in claims])
    return claim_s


def _claims(store: Store, studies: dict[int, StoredStudy], rounds: int) -> dict[int, float]:
    """Return the median seconds of a claim in each study, taken in turn."""
    times_s: dict[int, list[float]] = {count: [] for count in studies}
    for _ in range(rounds):
        for count, study in studies.items():
            times_s[count].append(_claim(store, study))
    return {count: statistics.median(times) for count, times in times_s.items()}


def _start(store: Store, study: StoredStudy) -> float:
    """Return the seconds that a new worker takes to read all trials."""
    return _timed(lambda: store.trials.changes(study, None))[1]


def _read_by_optuna(url: str, study: StoredStudy) -> float:
    """Return the seconds that a new process's storage takes to read all trials."""
    storage = open_storage(url)
    _, read_s = _timed(lambda: storage.get_all_trials(study.study_id, deepcopy=False))
    storage.remove_session()
    return read_s


def _fill(url: str, study: StoredStudy, count: int) -> None:
    """Write finished trials as a worker would have, many at a time, and let the server look at its tables."""
    engine = make_engine(parse_address(url))
    for first in range(0, count, _CHUNK):
        with write_transaction(engine, durable=False) as connection:
            _write(connection, study, range(first, min(first + _CHUNK, count)))
    with write_transaction(engine, durable=False) as connection:
        connection.execute(text("ANALYZE"))
    engine.dispose()


def _write(connection: Connection, study: StoredStudy, numbers: Sequence[int]) -> None:
    theirs = optuna_schema.trials
    now = datetime.now(UTC).replace(tzinfo=None)
    ended = {"study_id": study.study_id, "state": "COMPLETE", "datetime_start": now, "datetime_complete": now}
    write_rows(connection, theirs, [{**ended, "number": number} for number in numbers])
    made = connection.execute(
        select(theirs.c.trial_id, theirs.c.number).where(
            theirs.c.study_id == study.study_id, theirs.c.number.between(numbers[0], numbers[-1])
        )
    )
    ids = {row.number: row.trial_id for row in made}
    for table, rows in _details(study, ids).items():
        write_rows(connection, table, rows)


def _details(study: StoredStudy, ids: dict[int, int]) -> dict[Any, list[dict[str, Any]]]:
    """Return the rows of finished trials, by table."""
    params = stored_parameters(study.spec, {"learning_rate": 0.01, "weight_decay": 1e-4})
    outcome = end(ClaimedTrial(number=0, trial_id=0, token=0, attempt=1)).outcome
    assert outcome is not None
    attributes = {"verdict": '"healthy"', "epochs": "5", "worker": '"benchmark"'}
    return {
        optuna_schema.trial_params: [
            {"trial_id": i, "param_name": name, "param_value": value, "distribution_json": kind}
            for i in ids.values()
            for name, value, kind in params
        ],
        optuna_schema.trial_intermediate_values: [
            {"trial_id": i, "step": step, "intermediate_value": value, "intermediate_value_type": "FINITE"}
            for i in ids.values()
            for step, value in REPORTS.items()
        ],
        optuna_schema.trial_values: [
            {"trial_id": i, "objective": 0, "value": 0.9, "value_type": "FINITE"} for i in ids.values()
        ],
        optuna_schema.trial_user_attributes: [
            {"trial_id": i, "key": key, "value_json": value}
            for i in ids.values()
            for key, value in attributes.items()
        ],
        schema.trials: [
            {
                "study_key": study.key,
                "number": number,
                "trial_id": i,
                "attempt": 1,
                "crashes": 0,
                "token": 1,
                "worker": "benchmark",
                "epochs": 5,
                "steps": 500,
                "reported": 4,
                "version": 3,
                "verdict": "healthy",
                "finding": pack_finding(outcome.finding),
            }
            for number, i in ids.items()
        ],
        schema.series: [
            {
                "study_key": study.key,
                "number": number,
                "format": SERIES_FORMAT,
                "payload": pack_series(outcome.series),
            }
            for number in ids
        ],
    }
