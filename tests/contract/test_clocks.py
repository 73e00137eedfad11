"""Clocks that jump, machines that sleep, databases that are away: leases run out, and no trial is to blame."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from sqlalchemy import text

from hpsearch.storage.engine import write_transaction
from hpsearch.storage.leases import EXPIRIES_MAX
from hpsearch.storage.records import Attempt, ClaimedTrial, WorkerIdentity
from hpsearch.storage.store import Store, open_store
from hpsearch.trials import TrialState
from hpsearch.verdicts import Cause
from tests.contract.clocks import Clocks, kept_clocks
from tests.contract.conftest import DIALECTS
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

LEASE_S: Final = 30.0
BEAT_S: Final = 2.0
HOUR_S: Final = 3_600.0


@dataclass
class Hand:
    """A worker with its own store, which sends heartbeats as the crew lets time pass, unless it is `silent`."""

    store: Store
    identity: WorkerIdentity
    held: list[ClaimedTrial] = field(default_factory=list)
    silent: bool = False

    def beat(self) -> None:
        """Renew its leases."""
        tokens = {claim.token for claim in self.held}
        self.store.queue.beat(self.identity, lease_s=LEASE_S, tokens=tokens)


@dataclass
class Crew:
    """Workers of one study, and an observer of it."""

    url: str
    lab: Lab
    clocks: Clocks
    hands: list[Hand] = field(default_factory=list)

    def hire(self, name: str, *, ahead_s: float = 0.0, has_parent: bool = False) -> Hand:
        """Start a worker."""
        store = open_store(self.url)
        name = f"{name}-{self.lab.study.key[:8]}"
        self.clocks.keep(store, ahead_s=ahead_s)
        # The host is not this machine, which could tell that there is no such process.
        identity = WorkerIdentity(name=name, host="node7", process_id=1, version="0", has_parent=has_parent)
        store.workers.register(identity)
        self.hands.append(Hand(store=store, identity=identity))
        return self.hands[-1]

    def claim(self, hand: Hand, count: int) -> list[ClaimedTrial]:
        """Let a worker claim trials."""
        hand.held += hand.store.queue.claim(
            self.lab.study, worker=hand.identity.name, count=count, lease_s=LEASE_S
        )
        self.lab.assign(hand.held)
        return hand.held

    def wait(self, seconds: float, *, watchers: int = 0) -> list[int]:
        """Let time pass and workers send heartbeats, and let the first ones sweep; return the swept numbers."""
        swept = []
        for _ in range(int(seconds / BEAT_S)):
            self.clocks.wait(BEAT_S)
            for hand in self.hands:
                if not hand.silent:
                    hand.beat()
            for store in (self.lab.store, *(hand.store for hand in self.hands[:watchers])):
                swept += store.queue.sweep(self.lab.study)
        return swept

    def attempts(self, number: int) -> list[Attempt]:
        """Return the outcomes of earlier attempts at a trial."""
        return self.lab.store.trials.attempts(self.lab.study, number)

    def ends(self, number: int) -> list[tuple[str, bool]]:
        """Return how attempts at a trial ended, and whether that counts."""
        return [(attempt.kind, attempt.crashed) for attempt in self.attempts(number)]


everywhere = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def dialect() -> str:
    """Provide SQLite to tests that are not tried `everywhere`: the rules are the same, and its clock can be set."""
    return "sqlite"


@pytest.fixture
def new_crew(url: str) -> Iterator[Callable[..., Crew]]:
    """Provide a function that makes a crew with a study of its own, in a database where no other process works."""
    with kept_clocks() as clocks, open_store(url) as store:
        clocks.keep(store)
        with write_transaction(store._transactions.engine, durable=False) as connection:
            connection.execute(text("DELETE FROM hpsearch_workers"))
        crews: list[Crew] = []

        def make(trials: int = 20) -> Crew:
            study = store.studies.create(a_spec(trials=trials), fingerprint=FINGERPRINT)
            crews.append(Crew(url=url, lab=Lab(store=store, url=url, study=study), clocks=clocks))
            return crews[-1]

        yield make
        for crew in crews:
            for hand in crew.hands:
                hand.store.close()


@everywhere
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_is_set_takes_no_lease(new_crew: Callable[..., Crew], jump_s: float) -> None:
    """Workers that send heartbeats keep their trials, however often another process looks between beats."""
    crew = new_crew()
    ann, bob = crew.hire("ann"), crew.hire("bob")
    claims = [*crew.claim(ann, 3), *crew.claim(bob, 1)]
    crew.wait(10)
    crew.clocks.jump(jump_s)
    for store in (ann.store, bob.store, crew.lab.store) * 3:
        assert store.queue.sweep(crew.lab.study) == []
        assert store.studies.progress(crew.lab.study).running == 4
    assert crew.wait(40, watchers=2) == []
    assert crew.lab.end(claims) == frozenset()


def test_a_clock_ahead_takes_no_lease(new_crew: Callable[..., Crew]) -> None:
    """If processes have their own clocks, on SQLite, differing clocks take no trials from each other."""
    crew = new_crew()
    ann, bob, eve = crew.hire("ann"), crew.hire("bob", ahead_s=60.0), crew.hire("eve", ahead_s=-HOUR_S)
    claims = [claim for hand in (ann, bob, eve) for claim in crew.claim(hand, 2)]
    assert crew.wait(60, watchers=3) == []
    assert crew.lab.end(claims) == frozenset()


@everywhere
@pytest.mark.parametrize("back_s", [60.0, HOUR_S])
def test_a_claim_shows_that_its_worker_lives(new_crew: Callable[..., Crew], back_s: float) -> None:
    """A clock set back before a claim and forward after it takes no lease, and a dead worker's come back in time."""
    crew = new_crew()
    ann = crew.hire("ann")
    crew.claim(ann, 1)
    crew.wait(10)
    crew.clocks.jump(-back_s)
    crew.claim(ann, 2)
    crew.clocks.jump(HOUR_S)
    assert crew.lab.store.queue.sweep(crew.lab.study) == []
    crew.clocks.jump(-HOUR_S)
    ann.silent = True
    assert crew.wait(60) == [0, 1, 2]


@everywhere
@pytest.mark.parametrize("jump_s", [0.0, HOUR_S, -HOUR_S])
def test_what_a_dead_worker_held_comes_back(new_crew: Callable[..., Crew], jump_s: float) -> None:
    """Also if the clock was set after its last beat, forwards or backwards: within about a minute of those who look."""
    crew = new_crew()
    ann, bob = crew.hire("ann"), crew.hire("bob")
    crew.claim(ann, 3)
    crew.claim(bob, 1)
    crew.wait(10)
    ann.silent = True
    crew.clocks.jump(jump_s)
    assert crew.wait(50) == [0, 1, 2]
    assert crew.lab.end(bob.held) == frozenset()


@everywhere
def test_a_trial_fails_with_the_third_worker_that_is_lost_with_it(new_crew: Callable[..., Crew]) -> None:
    """The first is lost with several trials, which are suspects from then on; the others with this one alone."""
    crew = new_crew(trials=2)
    crew.hire("witness")
    ann = crew.hire("ann")
    crew.claim(ann, 2)
    ann.silent = True
    crew.wait(50)
    for name in ("bob", "eve"):
        hand = crew.hire(name)
        (claim,) = crew.claim(hand, 2)
        assert (claim.number, claim.is_suspect) == (0, True)
        hand.silent = True
        assert crew.wait(50) == [0]
        if name == "bob":
            (other,) = crew.claim(crew.hire("max"), 2)
            assert (other.number, other.crashes, other.is_suspect) == (1, 0, True)
            crew.lab.end([other])
    assert crew.ends(0) == [("lost", False), ("lost", True), ("lost", True)]
    assert crew.ends(1) == [("lost", False)]
    poison, innocent = crew.lab.store.trials.all(crew.lab.study)
    assert (poison.state, poison.verdict) == (TrialState.FAILED, Cause.WORKER_LOST)
    assert poison.finding is not None
    assert poison.finding.evidence == {"workers_lost": 3.0}
    assert innocent.state is TrialState.COMPLETE
    assert [claim.number for claim in crew.lab.claim(2)] == [2]


def test_what_silences_everybody_counts_for_no_trial(new_crew: Callable[..., Crew]) -> None:
    """A database that is away for longer than leases run, with workers that never come back, thrice."""
    crew = new_crew(trials=2)
    for count in range(3):
        pair = [crew.hire(f"ann-{count}"), crew.hire(f"bob-{count}")]
        held = [claim for hand in pair for claim in crew.claim(hand, 1)]
        assert [claim.number for claim in held] == [0, 1]
        crew.wait(4)
        for hand in pair:
            hand.silent = True
        assert sorted(crew.wait(50)) == [0, 1]
    assert [crew.ends(number) for number in (0, 1)] == [[("expired", False)] * 3] * 2
    assert {trial.state for trial in crew.lab.store.trials.all(crew.lab.study)} == {TrialState.WAITING}


def test_nothing_goes_round_for_ever(new_crew: Callable[..., Crew]) -> None:
    """A trial whose lease expires again and again while it is held alone fails in the end, whatever the reason."""
    crew = new_crew(trials=1)
    for count in range(EXPIRIES_MAX):
        hand = crew.hire(f"ann-{count}", has_parent=True)
        assert len(crew.claim(hand, 1)) == 1
        hand.silent = True
        assert crew.wait(50) == [0]
    assert crew.ends(0) == [("expired", False)] * (EXPIRIES_MAX - 1) + [("expired", True)]
    (trial,) = crew.lab.store.trials.all(crew.lab.study)
    assert trial.finding is not None
    assert trial.finding.evidence == {"workers_lost": float(EXPIRIES_MAX)}


@everywhere
@pytest.mark.parametrize("again", [True, False])
def test_a_worker_that_comes_back_takes_the_blame_off_its_trials(
    new_crew: Callable[..., Crew], *, again: bool
) -> None:
    """Its lease is lost, which is reported to it, and its attempt does not count, claimed again by others or not."""
    crew = new_crew(trials=1)
    crew.hire("witness")
    for name in ("ann", "bob"):
        hand = crew.hire(name)
        crew.claim(hand, 1)
        hand.silent = True
        assert crew.wait(50) == [0]
    assert crew.ends(0) == [("lost", True)] * 2
    if again:
        assert crew.claim(crew.hire("eve"), 1)[0].crashes == 2
    assert crew.lab.end(hand.held) == {0}
    assert crew.ends(0) == [("lost", True), ("superseded", False)]
    if not again:
        (claim,) = crew.lab.claim(1)
        assert (claim.crashes, claim.is_suspect) == (1, True)
    assert crew.lab.assign(crew.hands[1].held) == {0}
    assert crew.ends(0) == [("superseded", False)] * 2


@everywhere
def test_a_lease_that_its_worker_does_not_renew_comes_back_at_once(new_crew: Callable[..., Crew]) -> None:
    """A trial whose worker never got the claim waits again after its lease expires, and is not a suspect."""
    crew = new_crew()
    ann = crew.hire("ann")
    crew.claim(ann, 2)
    ann.held.clear()
    assert crew.wait(LEASE_S + 4) == [0, 1]
    assert crew.ends(0) == [("superseded", False)]
    assert [claim.is_suspect for claim in crew.lab.claim(2)] == [False, False]


def test_a_parent_sweeps_no_child_that_runs(new_crew: Callable[..., Crew]) -> None:
    """A process that can observe the worker needs no clock, whatever the lease."""
    crew = new_crew()
    child = crew.hire("child", has_parent=True)
    claims = crew.claim(child, 2)
    child.silent = True
    for _ in range(26):
        crew.clocks.wait(BEAT_S)
        assert crew.lab.store.studies.progress(crew.lab.study, living=[child.identity.name]).running == 2
    assert crew.lab.end(claims[:1]) == frozenset()
    assert crew.lab.store.studies.progress(crew.lab.study).running == 0
    assert crew.ends(1) == [("expired", False)]


@everywhere
def test_a_dead_process_of_this_machine_needs_no_watch(new_crew: Callable[..., Crew], dialect: str) -> None:
    """On SQLite, which serves one machine, a command that looks once gives back a dead worker's trials."""
    crew = new_crew()
    ann = crew.hire("ann")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ann.identity = replace(ann.identity, host=socket.gethostname(), process_id=gone.pid)
    ann.store.workers.register(ann.identity)
    crew.claim(ann, 1)
    assert crew.lab.store.queue.sweep(crew.lab.study) == []
    crew.clocks.wait(LEASE_S + 1)
    assert crew.lab.store.queue.sweep(crew.lab.study) == ([0] if dialect == "sqlite" else [])


def test_a_worker_that_holds_leases_is_not_forgotten(new_crew: Callable[..., Crew]) -> None:
    """After a clock is set by days, no worker loses its leases at once."""
    crew = new_crew()
    ann = crew.hire("ann")
    crew.claim(ann, 1)
    crew.clocks.jump(48 * HOUR_S)
    bob = crew.hire("bob")
    assert bob.store.queue.sweep(crew.lab.study) == []
    assert crew.wait(40) == []


@pytest.mark.parametrize(
    "damage",
    ["seen = 'noon'", "seen = x'00'", "started = 'noon'", "steady_since = 'noon'"]
    + [f"process_id = {value}" for value in ("'init'", "0", "-1", "99999999999")],
)
@pytest.mark.parametrize("who", ["dead", "other"])
def test_a_damaged_row_of_a_worker_stops_no_sweep(
    new_crew: Callable[..., Crew], who: str, damage: str
) -> None:
    """Whatever the row of a dead or another worker holds, trials come back, and those of the living stay theirs."""
    crew = new_crew()
    ann, dead, other = crew.hire("ann"), crew.hire("dead"), crew.hire("other")
    crew.claim(ann, 1)
    crew.claim(dead, 1)
    dead.silent = other.silent = True
    name = (dead if who == "dead" else other).identity.name
    with write_transaction(ann.store._transactions.engine, durable=False) as connection:
        damaged = f"UPDATE hpsearch_workers SET host = :host, {damage} WHERE worker = :name"
        connection.execute(text(damaged), {"host": socket.gethostname(), "name": name})
    assert crew.wait(LEASE_S + 40, watchers=1) == [1]
    assert crew.lab.store.studies.progress(crew.lab.study).running == 1


def test_a_damaged_lease_stops_no_sweep(new_crew: Callable[..., Crew]) -> None:
    """A lease whose end is no time is left alone, and the others come back."""
    crew = new_crew()
    ann = crew.hire("ann")
    crew.claim(ann, 1)
    crew.claim(ann, 1)
    ann.silent = True
    with write_transaction(ann.store._transactions.engine, durable=False) as connection:
        damaged = "UPDATE hpsearch_trials SET lease_until = 'noon' WHERE number = 0 AND study_key = :key"
        connection.execute(text(damaged), {"key": crew.lab.study.key})
        connection.execute(text("UPDATE hpsearch_workers SET seen = seen + 9999"))
    assert crew.wait(LEASE_S + 40) == [1]
    crew.lab.store.studies.delete(crew.lab.study.name)  # other tests need this database intact
