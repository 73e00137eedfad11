"""How fast a database answers and commits, and how far its clock is from this machine's."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Final, final

from sqlalchemy import Connection, Engine, delete, insert, literal, select

from hpsearch.storage import schema
from hpsearch.storage.clock import EpochSeconds
from hpsearch.storage.engine import writing

_ROUND_TRIPS: Final = 9

_BURST_S: Final = 0.25
_COMMITS_MIN: Final = 3
_COMMITS_MAX: Final = 100

_PAYLOAD: Final = bytes(64)

_KEY: Final = "hpsearch storage check"
"""The study of the rows that a burst writes. No study has such a key, and no reader looks for one."""


def clock(connection: Connection) -> tuple[float, float]:
    """Return the round-trip time, as the median of a few empty queries, and the database's clock minus ours, in s."""
    trips = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        connection.execute(select(literal(1))).scalar_one()
        trips.append(time.perf_counter() - began)
    before = time.time()
    there = connection.execute(select(EpochSeconds())).scalar_one()
    return median(trips), float(there) - (before + time.time()) / 2


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WriteRate:
    """How many small transactions one connection commits.

    `durable` ones outlive a power cut, as finished trials do; `light` ones, such as claims, need not (`engine`).
    """

    durable_per_s: float
    light_per_s: float


def write_rate(engine: Engine) -> WriteRate:
    """Return how fast the database commits, from two bursts of a quarter of a second or 100 transactions.

    Each transaction puts one row of 64 bytes into our table of series. All of them are removed at the end, with
    those of a check that was killed. Raises SQLAlchemyError where the user may not write.
    """
    series = schema.series
    try:
        return WriteRate(
            durable_per_s=_burst(engine, durable=True), light_per_s=_burst(engine, durable=False)
        )
    finally:
        with writing(engine, durable=True) as connection:
            connection.execute(delete(series).where(series.c.study_key == _KEY))


def _burst(engine: Engine, *, durable: bool) -> float:
    """Return commits per second."""
    began = time.perf_counter()
    for count in range(1, _COMMITS_MAX + 1):
        with writing(engine, durable=durable) as connection:
            row = {"study_key": _KEY, "number": _number(), "format": 0, "payload": _PAYLOAD}
            connection.execute(insert(schema.series).values(**row))
        elapsed_s = time.perf_counter() - began
        if elapsed_s > _BURST_S and count >= _COMMITS_MIN:
            break
    return count / elapsed_s


def _number() -> int:
    """Return a number that another check at the same time does not have."""
    return time.time_ns() % 2**31
