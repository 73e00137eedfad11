"""Faults of workers and their database. Each calamity returns its action, or None if it spared them.

A trial that has lost two workers is spared a third: it would fail, and rightly so.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from sqlalchemy import text

from tests.chaos.cluster import Cluster, Stop
from tests.chaos.crew import Crew, Hand
from tests.chaos.ground import Ground
from tests.chaos.proxy import Cut, Proxy
from tests.chaos.waiting import let_pass

CRASHES_SPARED: Final = 2
SILENCE_S: Final = 2
"""Seconds after which a worker gives up a silent line; longer than any statement of a campaign."""

CANCELS: Final = 50
"""How often running statements are cancelled in one go: each runs for some milliseconds."""

LEASES_FROZEN: Final = 5
"""How many lengths of a lease a worker stands still at most."""


@final
@dataclass(kw_only=True, slots=True)
class Scene:
    """The targets of calamities. `cluster` and `proxy` are None on SQLite."""

    ground: Ground
    crew: Crew
    chance: random.Random
    lease_s: float
    outage_s: float
    cluster: Cluster | None = None
    proxy: Proxy | None = None

    def victim(self) -> Hand | None:
        """Return a worker that stands still and holds trials, none of which it must be spared; else None.

        It stands still so that its trials do not change before it is struck.
        """
        hands = [hand for hand in self.crew.hands if hand.is_alive and not hand.is_frozen and hand.has_begun]
        if not hands:
            return None
        hand = self.chance.choice(hands)
        hand.freeze()
        if self.ground.held_by(hand.name) and self.ground.most_crashes(hand.name) < CRASHES_SPARED:
            return hand
        hand.thaw()
        return None

    def everybody_is_spared(self) -> bool:
        """Return True if a trial would fail if every worker was lost now."""
        return self.ground.most_crashes() >= CRASHES_SPARED


Calamity: TypeAlias = Callable[[Scene], str | None]


def kill(scene: Scene) -> str | None:
    """Kill a worker that holds trials."""
    hand = scene.victim()
    if hand is None:
        return None
    hand.kill()
    return f"killed {hand.name}"


def freeze(scene: Scene) -> str | None:
    """Stop a worker that holds trials. `thaw` lets it continue later.

    On SQLite one that stands in a transaction keeps all others from renewing leases, so all may lose them.
    """
    if any(hand.is_frozen for hand in scene.crew.hands):
        return None
    if scene.cluster is None and scene.everybody_is_spared():
        return None
    hand = scene.victim()
    return None if hand is None else f"stopped {hand.name}"


def thaw(scene: Scene) -> list[str]:
    """Let stopped workers continue that have lost all their leases; return what was done.

    One that stands in the middle of a transaction may keep all others from taking them. It continues after a while.
    """
    done = []
    for hand in scene.crew.hands:
        if hand.is_frozen and not scene.ground.held_by(hand.name):
            hand.thaw()
            done.append(f"continued {hand.name}, which has lost its leases")
        elif hand.is_frozen and time.monotonic() - hand.frozen_at > LEASES_FROZEN * scene.lease_s:
            hand.thaw()
            done.append(f"continued {hand.name}, which kept the others waiting")
    return done


def terminate(scene: Scene) -> str | None:
    """Let the server end the connections of all workers."""
    assert scene.cluster is not None
    return f"terminated {scene.cluster.terminate_connections()} connections"


def cut_commit(scene: Scene) -> str | None:
    """Cut off the next commit, before or after the server has done it."""
    assert scene.proxy is not None
    where: Cut = scene.chance.choice(("before", "after"))
    scene.proxy.cut_commit(where)
    return f"cut a commit, {where} the server heard of it"


def restart(scene: Scene) -> str | None:
    """Restart the server, in order or as after a crash."""
    assert scene.cluster is not None
    if scene.everybody_is_spared():
        return None
    how: Stop = scene.chance.choice(("fast", "crash"))
    scene.cluster.stop(how)
    scene.cluster.start()
    return f"restarted the database ({how})"


def outage(scene: Scene) -> str | None:
    """Cut all lines to the database for a while."""
    assert scene.proxy is not None
    if scene.everybody_is_spared():
        return None
    scene.proxy.go_down()
    let_pass(scene.outage_s)
    scene.proxy.come_up()
    return f"cut all lines for {scene.outage_s:g} s"


def silence(scene: Scene) -> str | None:
    """Stop the traffic of all open connections, as a firewall that forgot them does; new connections work."""
    assert scene.proxy is not None
    if scene.everybody_is_spared():
        return None
    scene.proxy.fall_silent()
    scene.proxy.speak_again()
    let_pass(SILENCE_S + scene.lease_s)  # until the leases that this costs are counted
    return "let all lines fall silent"


def cancel(scene: Scene) -> str | None:
    """Let the server cancel workers' statements, until it meets some."""
    assert scene.cluster is not None
    return f"cancelled {sum(scene.cluster.cancel_statements() for _ in range(CANCELS))} statements"


def fail_over(scene: Scene) -> str | None:
    """Let the database be read-only for a while, as after a failover to a standby that is promoted later."""
    assert scene.cluster is not None
    if scene.everybody_is_spared():
        return None
    scene.cluster.set_read_only(True)
    let_pass(scene.outage_s)
    scene.cluster.set_read_only(False)
    let_pass(scene.lease_s)  # until the leases that this costs are counted
    return f"made the database read-only for {scene.outage_s:g} s"


def lock(scene: Scene) -> str | None:
    """Keep the database's file locked for a while, unless a worker does that which stands still."""
    if scene.everybody_is_spared() or any(
        hand.is_frozen and scene.ground.is_blocked_by(hand.name) for hand in scene.crew.hands
    ):
        return None
    with scene.ground.connect() as connection:
        connection.execute(text("UPDATE hpsearch_studies SET priority = priority"))
        let_pass(scene.outage_s)
        connection.rollback()
    return f"locked the file for {scene.outage_s:g} s"


ON_SQLITE: Final[Mapping[Calamity, int]] = {kill: 4, freeze: 4, lock: 2}
"""Calamity -> how often it happens, compared to the others."""

ON_POSTGRESQL: Final[Mapping[Calamity, int]] = {
    kill: 4,
    freeze: 4,
    terminate: 2,
    cut_commit: 4,
    restart: 2,
    outage: 1,
    silence: 1,
    cancel: 2,
    fail_over: 1,
}
