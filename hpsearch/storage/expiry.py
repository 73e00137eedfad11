"""When a lease that has run out is over, and whether its worker is lost.

Pure: rows and clocks come as arguments. No rule here trusts a difference between two clocks alone, because clocks are
set, jump with a suspended machine, and differ between machines that share an SQLite file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

QUIET_SHARE: Final = 0.5
"""Share of its length for which a process must watch a lease that has run out stand still before it sweeps it. A heart
beats three times in a lease at least."""

QUIET_MOST_S: Final = 15.0

QUIET_UNDATED_S: Final = 30.0
"""How long a lease must stand still whose worker was seen in the future: the clock was set back since."""

STEP_MOST_S: Final = 2.5
"""How much of the time between two looks counts at most: a process that could not look, perhaps because
the database was away, has not seen the time between. Hearts beat every 2 s at least."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """What the registry holds of a worker, in seconds by the database's clock.

    It has beaten without a gap since `steady_since`, None if an older hpsearch wrote the row. One that `has_parent`
    was started by a process that sees it end.
    """

    worker: str
    started_s: float
    seen_s: float
    steady_since_s: float | None
    has_parent: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A lease that may be over: by its claim's token, until when it runs, and how long it must stand still."""

    token: int
    until_s: float
    quiet_s: float


def quiet_s(*, until_s: float, seen_s: float | None, now_s: float, is_gone: bool) -> float:
    """Return how long a lease must be seen to stand still before it is over.

    That is no time at all for one whose worker left the registry, is known to be gone, or has beaten since without
    renewing it, and so no longer needs it.
    """
    if seen_s is None or is_gone:
        return 0.0
    if until_s >= now_s:
        return QUIET_UNDATED_S
    return min(max(until_s - seen_s, 0.0) * QUIET_SHARE, QUIET_MOST_S)


@final
class Watch:
    """Watches leases that may be over, by a monotonic clock (`time.monotonic`).

    A lease whose end moves is renewed by a live worker, whatever the clocks show.
    """

    def __init__(self) -> None:
        self._looked_s: dict[str, float] = {}
        self._still: dict[str, dict[int, tuple[float, float]]] = {}

    def over(self, study: str, doubts: Iterable[Doubt], *, now_s: float) -> dict[int, float]:
        """Look at all leases of a study that may be over; return token -> end of those that are."""
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
    """True for a worker that was seen after its lease had run out."""
    return life is not None and life.seen_s > until_s


def is_lost(name: str, *, until_s: float, registry: Mapping[str, Life]) -> bool:
    """True when a worker whose lease ran out at `until_s` was lost, and not what all workers stand on.

    It never left the registry, no process of ours saw it end, and others lived through its silence, or no other worker
    was there. A machine that slept, a clock that was set, and a database that was away silence all workers.
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
