"""When an expired lease is over, and whether its worker is lost.

Pure: rows and clocks are arguments. No rule trusts a difference between two clocks alone, because clocks are set, jump
if a machine is suspended, and differ between machines that share an SQLite file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

QUIET_SHARE: Final = 0.5
"""Share of its length for which a process must see an expired lease unchanged to sweep it. A lease spans at least three
heartbeats."""

QUIET_MOST_S: Final = 15.0

QUIET_UNDATED_S: Final = 30.0
"""How long a lease must stay unchanged if its worker was seen in the future: the clock was set back since."""

STEP_MOST_S: Final = 2.5
"""Longest time between two checks that counts: a process that could not check, perhaps because the database was away,
has not observed the time between. Heartbeats come at least every 2 s."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """The registry's times of a worker, in seconds by the database's clock.

    It has sent heartbeats without a gap since `steady_since`, None if an older hpsearch wrote the row. A worker that
    `has_parent` was started by a process that sees it end.
    """

    worker: str
    started_s: float
    seen_s: float
    steady_since_s: float | None
    has_parent: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A lease that may be over: its claim's token, its end, and how long it must stay unchanged."""

    token: int
    until_s: float
    quiet_s: float


def quiet_s(*, until_s: float, seen_s: float | None, now_s: float, is_gone: bool) -> float:
    """Return how many seconds a lease must be seen unchanged until it is over.

    Return 0 if its worker left the registry, is known to be gone, or has sent a heartbeat since without renewing it,
    and so no longer needs it.
    """
    if seen_s is None or is_gone:
        return 0.0
    if until_s >= now_s:
        return QUIET_UNDATED_S
    return min(max(until_s - seen_s, 0.0) * QUIET_SHARE, QUIET_MOST_S)


@final
class Watch:
    """Watches leases that may be over, by a monotonic clock (`time.monotonic`).

    A lease whose end changes is being renewed by a live worker, regardless of the clocks.
    """

    def __init__(self) -> None:
        self._looked_s: dict[str, float] = {}
        self._still: dict[str, dict[int, tuple[float, float]]] = {}

    def over(self, study: str, doubts: Iterable[Doubt], *, now_s: float) -> dict[int, float]:
        """Check all leases of a study that may be over; return token -> end of those that are."""
        step_s = min(max(now_s - self._looked_s.get(study, now_s), 0.0), STEP_MOST_S)
        before = self._still.get(study, {})
        still, over = {}, {}
        for doubt in doubts:
            until_s, quiet = before.get(doubt.token, (None, 0.0))
            quiet = quiet + step_s if until_s == doubt.until_s else 0.0
            still[doubt.token] = doubt.until_s, quiet
            if quiet >= doubt.quiet_s:
                over[doubt.token] = doubt.until_s
        self._looked_s[study], self._still[study] = now_s, still
        return over


def lives_on(life: Life | None, *, until_s: float) -> bool:
    """Return True for a worker that was seen after its lease had expired."""
    return life is not None and life.seen_s > until_s


def is_lost(name: str, *, until_s: float, registry: Mapping[str, Life]) -> bool:
    """Return True if a worker whose lease expired at `until_s` was lost, not something that all workers depend on.

    It never left the registry, no process of ours saw it end, and other workers survived its silence, or there was no
    other worker. A machine that slept, a clock that was set, and a database that was away silence all workers.
    """
    life = registry.get(name)
    if life is None or life.has_parent or life.seen_s > until_s:
        return False
    lease_s = until_s - life.seen_s
    others = [
        other
        for other in registry.values()
        if other.worker != name and other.started_s <= until_s and other.seen_s >= life.seen_s - lease_s
    ]
    return not others or any(_lived_through(other, until_s) for other in others)


def _lived_through(life: Life, moment_s: float) -> bool:
    return life.steady_since_s is not None and life.steady_since_s <= moment_s < life.seen_s
