"""Generated histories of one study, of what happens to its workers and its database: after each step the laws hold.

Workers claim, train, die, freeze and come back, clocks jump, commits lose their answer, and people change the study
meanwhile. A small model holds what each step may have changed. A commit without an answer may be done or not: both are
allowed, and the next look tells which it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, Row, event, text

from hpsearch.errors import StorageUnavailableError, StudyNotFoundError
from hpsearch.storage.driver_errors import UncertainCommitError
from hpsearch.storage.engine import read_transaction, write_transaction
from hpsearch.storage.leases import CRASHES_MAX
from hpsearch.storage.queue import write_waiting
from hpsearch.storage.records import Attempt, ClaimedTrial, StoredStudy, Update, WorkerIdentity
from hpsearch.storage.store import open_store
from hpsearch.trials import Trial, TrialState
from tests.contract.clocks import Clocks, kept_clocks
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, update

Answer: TypeAlias = Literal["given", "lost before", "lost after"]
"""What becomes of a commit: done and answered, or not done and done without an answer."""

LEASE_S: Final = 6.0
BEAT_S: Final = 2.0
SLOTS: Final = 3
BUDGET: Final = 5
AHEAD_S: Final = (0.0, 60.0, 0.0)
"""How far each worker's clock is ahead, where workers have clocks of their own."""

slots = st.integers(0, SLOTS - 1)
answers: st.SearchStrategy[Answer] = st.sampled_from(["given", "given", "given", "lost before", "lost after"])

_OURS: Final = text(
    "SELECT number, token, worker, lease_until, attempt, crashes FROM hpsearch_trials WHERE study_key = :key"
)


@final
@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the database holds of a study: trials, our rows and lost attempts by number."""

    trials: Mapping[int, Trial]
    ours: Mapping[int, Row[Any]]
    attempts: Mapping[int, Sequence[Attempt]]

    def token(self, number: int) -> int | None:
        """Return the token of a trial that runs, or None."""
        runs = number in self.ours and self.trials[number].state is TrialState.RUNNING
        return self.ours[number].token if runs else None

    def count(self, *states: TrialState) -> int:
        """Return how many trials are in these states."""
        return sum(trial.state in states for trial in self.trials.values())

    def fact(self, number: int) -> object:
        """Return what must not change unless a step may change it."""
        if number not in self.trials:
            return None
        trial = self.trials[number]
        return trial.state, self.token(number), trial.epochs, trial.value, trial.curve


@final
@dataclass
class Hand:
    """A worker: its known claims, the progress of each, and a write whose result is pending."""

    name: str
    slot: int
    claims: dict[int, ClaimedTrial] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    unanswered: list[Update] = field(default_factory=list)
    is_dead: bool = False
    is_frozen: bool = False

    @property
    def is_silent(self) -> bool:
        """Return True for one whose heart does not beat."""
        return self.is_dead or self.is_frozen


@final
class Site:
    """A database with a store for each slot, and one for people."""

    def __init__(self, url: str, clocks: Clocks) -> None:
        self.url = url
        self.clocks = clocks
        self.stores = [open_store(url) for _ in range(SLOTS + 1)]
        self.people = self.stores[-1]
        self.answer: Answer = "given"
        for store, ahead_s in zip(self.stores, (*AHEAD_S, 0.0), strict=True):
            clocks.keep(store, ahead_s=ahead_s)
            event.listen(store._transactions.engine, "commit", self._commit)

    def close(self) -> None:
        """Close all stores."""
        for store in self.stores:
            event.remove(store._transactions.engine, "commit", self._commit)
            store.close()

    def _commit(self, connection: Connection) -> None:
        answer = self.answer
        if answer == "given" or not connection.get_execution_options().get("hpsearch_writes", False):
            return
        self.answer = "given"
        if answer == "lost after":
            connection.connection.driver_connection.commit()  # type: ignore[union-attr]
        raise UncertainCommitError

    @contextmanager
    def answering(self, answer: Answer) -> Iterator[None]:
        """Let the next commit have this answer."""
        self.answer = answer
        yield
        self.answer = "given"


def is_written(entries: Mapping[int, Update], number: int, before: Seen, after: Seen) -> bool:
    """Return True for a trial that one of the entries, whose token held, has brought to where it is."""
    entry = entries.get(number)
    if entry is None or before.token(number) != entry.claim.token:
        return False
    trial = after.trials[number]
    if trial.epochs != entry.epochs or dict(trial.curve) != dict(entry.reports):
        return False
    if entry.outcome is None:
        return after.token(number) == entry.claim.token
    return (trial.state, trial.value) == (entry.outcome.state, entry.outcome.value)


def machine_of(site: Site) -> type[RuleBasedStateMachine]:  # noqa: C901  # a class that needs the site
    """Return the histories on one database."""

    class History(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            with write_transaction(site.people._transactions.engine, durable=False) as connection:
                connection.execute(text("DELETE FROM hpsearch_workers"))
            self.hired = 0
            self.hands: list[Hand] = []
            self.silent_once: set[str] = set()
            self.begin()

        def begin(self) -> None:
            spec = a_spec(trials=BUDGET)
            self.study: StoredStudy = site.people.studies.create(spec, fingerprint=FINGERPRINT)
            self.lab = Lab(store=site.people, url=site.url, study=self.study)
            self.budget, self.was_lowered = BUDGET, False
            self.trained: dict[tuple[int, int], set[int]] = {}
            for hand in self.hands:
                hand.is_dead = True
            self.hands = [self.hire(slot) for slot in range(SLOTS)]
            self.seen = self.look()

        def hire(self, slot: int) -> Hand:
            self.hired += 1
            hand = Hand(name=f"worker-{self.study.key[:8]}-{self.hired}", slot=slot)
            site.stores[slot].workers.register(
                WorkerIdentity(name=hand.name, host="node7", process_id=1, version="0")
            )
            return hand

        # What is checked after each step

        def look(self) -> Seen:
            with read_transaction(site.people._transactions.engine) as connection:
                ours = connection.execute(_OURS, {"key": self.study.key}).all()
            trials = site.people.trials.all(self.study)
            assert [trial.number for trial in trials] == list(range(len(trials)))
            return Seen(
                trials={trial.number: trial for trial in trials},
                ours={row.number: row for row in ours},
                attempts=site.people.trials.all_attempts(self.study),
            )

        def check(self, may: Callable[[int, Seen, Seen], bool] = lambda *_: False) -> None:
            """Look, and compare: only what `may` change has changed, and the laws hold."""
            before, after = self.seen, self.look()
            for number, trial in after.trials.items():
                if before.fact(number) == after.fact(number):
                    continue
                was = before.trials.get(number)
                assert was is None or not was.state.is_final, f"finished trial {number} changed"
                assert may(number, before, after) or self.may_be_swept(number, before, after), (
                    f"trial {number}: {before.fact(number)} must not become {after.fact(number)}"
                )
                assert trial.state is not TrialState.FAILED or self.is_rightly_lost(number, after)
            busy = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
            assert after.count(*busy) <= max(self.budget, before.count(*busy))
            self.check_blame(after)
            self.check_ledger(after)
            self.seen = after

        def may_be_swept(self, number: int, before: Seen, after: Seen) -> bool:
            """Return True for a trial returned by a worker that is silent, or unaware that it holds it."""
            token = before.token(number)
            if token is None or after.trials[number].state is TrialState.RUNNING:
                return False
            known = [h for h in self.hands if number in h.claims and h.claims[number].token == token]
            return all(hand.is_silent for hand in known)

        def is_rightly_lost(self, number: int, seen: Seen) -> bool:
            lost = [a for a in seen.attempts[number] if a.kind in ("lost", "crashed")]
            return len(lost) >= CRASHES_MAX and {a.worker for a in lost} <= self.silent_once

        def check_blame(self, seen: Seen) -> None:
            for number, row in seen.ours.items():
                attempts = seen.attempts.get(number, ())
                counted = [attempt for attempt in attempts if attempt.crashed]
                assert {attempt.worker for attempt in counted} <= self.silent_once
                assert row.crashes == len(counted)
                state = seen.trials[number].state
                is_over = state is TrialState.WAITING or any(a.attempt == row.attempt for a in attempts)
                assert len(attempts) == row.attempt - (not is_over)
                assert (row.lease_until is not None) == (state is TrialState.RUNNING)

        def check_ledger(self, seen: Seen) -> None:
            begun = {(n, row.attempt): seen.trials[n].epochs for n, row in seen.ours.items()}
            for number, attempts in seen.attempts.items():
                begun |= {(number, attempt.attempt): attempt.epochs for attempt in attempts}
            for key, epochs in begun.items():
                assert epochs in self.trained.get(key, {0}), f"{key}: {epochs} epochs"
                self.trained[key] = {epochs}
            progress = site.people.studies.progress(self.study)
            assert sum(progress.ledger.values()) == progress.epochs == sum(begun.values())

        # What workers do

        def alive(self, slot: int) -> Hand:
            """Return the slot's worker, a new one if the last one ended; one that froze continues."""
            hand = self.hands[slot]
            if hand.is_dead:
                hand = self.hands[slot] = self.hire(slot)
            if hand.is_frozen:
                hand.is_frozen = False
                self.beat(hand)
            return hand

        def beat(self, hand: Hand) -> None:
            identity = WorkerIdentity(name=hand.name, host="node7", process_id=1, version="0")
            tokens = {claim.token for claim in hand.claims.values()}
            site.stores[hand.slot].queue.beat(identity, lease_s=LEASE_S, tokens=tokens)

        @rule(slot=slots, count=st.integers(1, 3), answer=answers)
        def claim(self, slot: int, count: int, answer: Answer) -> None:
            hand = self.alive(slot)
            if any(claim.is_suspect for claim in hand.claims.values()):
                return
            claims: list[ClaimedTrial] | None = None
            with site.answering(answer):
                try:
                    claims = site.stores[slot].queue.claim(
                        self.study, worker=hand.name, count=count, lease_s=LEASE_S
                    )
                except StorageUnavailableError:
                    assert answer != "given"
            held_nothing = not hand.claims
            for claim in claims or ():
                # One that is given anew was lost.
                hand.claims[claim.number], hand.epochs[claim.number] = claim, 0
                assert not claim.is_suspect or (held_nothing and len(claims or ()) == 1)

            def may(number: int, before: Seen, after: Seen) -> bool:
                was, row = before.trials.get(number), after.ours[number]
                is_free = was is None or was.state is TrialState.WAITING
                is_mine = row.worker == hand.name and after.token(number) is not None
                told = claims is None or any(
                    (claim.number, claim.token, claim.attempt) == (number, row.token, row.attempt)
                    for claim in claims
                )
                is_swept = not is_free and self.may_be_freed(number, before)
                return is_mine and told and (is_free or is_swept) and (answer != "lost before" or is_swept)

            self.check(may)
            assert all(self.seen.token(claim.number) == claim.token for claim in claims or ())

        def may_be_freed(self, number: int, before: Seen) -> bool:
            token = before.token(number)
            known = [h for h in self.hands if number in h.claims and h.claims[number].token == token]
            return all(hand.is_silent for hand in known)

        def send(self, hand: Hand, updates: list[Update], answer: Answer) -> None:
            """Let a worker write; one that got no answer writes the same again first."""
            if hand.unanswered:
                again, hand.unanswered = hand.unanswered, []
                self.send(hand, again, "given")
                updates = [entry for entry in updates if entry.claim.number in hand.claims]
            if not updates:
                return
            lost: frozenset[int] | None = None
            with site.answering(answer):
                try:
                    lost = site.stores[hand.slot].trials.record(self.study, updates)
                except StorageUnavailableError:
                    assert answer != "given"
                    hand.unanswered = updates
            before, entries = self.seen, {entry.claim.number: entry for entry in updates}
            for number, entry in entries.items():
                if before.token(number) == entry.claim.token and answer != "lost before":
                    self.trained[number, entry.claim.attempt] = {entry.epochs}
            self.check(lambda *at: answer != "lost before" and is_written(entries, *at))
            if lost is None:
                return
            for number, entry in entries.items():
                is_own_end = self.seen.trials[number].state.is_final and (
                    self.seen.ours[number].token == entry.claim.token
                )
                assert (number in lost) == (before.token(number) != entry.claim.token and not is_own_end)
                if number in lost:
                    self.check_forgiven(entry.claim)
                if number in lost or entry.outcome is not None:
                    hand.claims.pop(number, None)

        def check_forgiven(self, claim: ClaimedTrial) -> None:
            """An attempt whose worker showed its token counts for nothing, unless the trial has ended."""
            if not self.seen.trials[claim.number].state.is_final:
                attempts = self.seen.attempts.get(claim.number, ())
                assert not any(
                    a.crashed for a in attempts if a.attempt == claim.attempt and a.kind != "crashed"
                )

        @rule(slot=slots, answer=answers)
        def train(self, slot: int, answer: Answer) -> None:
            hand = self.alive(slot)
            updates = []
            for number, claim in hand.claims.items():
                hand.epochs[number] += 1
                reports = {epoch: 0.1 * epoch for epoch in range(hand.epochs[number])}
                updates.append(
                    Update(claim=claim, reports=reports, epochs=len(reports), steps=10 * len(reports))
                )
            self.send(hand, updates, answer)

        @rule(slot=slots, prunes=st.booleans(), answer=answers)
        def finish(self, slot: int, prunes: bool, answer: Answer) -> None:  # noqa: FBT001
            hand = self.alive(slot)
            for number, claim in list(hand.claims.items())[:1]:
                epochs = hand.epochs[number] + 1
                state = TrialState.PRUNED if prunes else TrialState.COMPLETE
                reports = {epoch: 0.1 * epoch for epoch in range(epochs)}
                self.send(hand, [update(claim, state=state, value=0.5 + number, reports=reports)], answer)

        @rule(slot=slots)
        def forget_uncertain_claims(self, slot: int) -> None:
            hand = self.alive(slot)
            store = site.stores[slot]
            unknown = [n for n in store.queue.held(self.study, worker=hand.name) if n not in hand.claims]
            store.queue.release(self.study, worker=hand.name, numbers=unknown, why="unknown", crashed=False)
            self.check(lambda n, _before, after: n in unknown and after.token(n) is None)

        @rule(slot=slots, crashed=st.booleans())
        def end(self, slot: int, crashed: bool) -> None:  # noqa: FBT001
            """Let a worker end in order, or be seen to crash by its parent."""
            hand = self.alive(slot)
            hand.is_dead = True
            if crashed:
                self.silent_once.add(hand.name)
            site.people.queue.release(
                self.study, worker=hand.name, numbers=None, why="ended", crashed=crashed
            )
            if not crashed:
                site.people.workers.unregister(hand.name)
            self.check()

        @rule(slot=slots, dies=st.booleans())
        def fall_silent(self, slot: int, dies: bool) -> None:  # noqa: FBT001
            hand = self.alive(slot)
            hand.is_dead, hand.is_frozen = dies, not dies
            self.silent_once.add(hand.name)
            self.check()

        # What happens to them

        @rule(beats=st.sampled_from([1, 1, 3, 6, 18]))
        def wait(self, beats: int) -> None:
            for _ in range(beats):
                site.clocks.wait(BEAT_S)
                for hand in self.hands:
                    if not hand.is_silent:
                        self.beat(hand)
                site.people.queue.sweep(self.study)
            self.check()

        @rule(seconds=st.sampled_from([60.0, 3_600.0, -60.0, -3_600.0]), slot=st.integers(0, SLOTS))
        def jump(self, seconds: float, slot: int) -> None:
            """Set the clock, or let all machines sleep; another process looks before any heart beats."""
            site.clocks.jump(seconds)
            site.stores[slot].queue.sweep(self.study)
            site.people.workers.all()
            self.check()

        # What people do

        @rule(trials=st.integers(1, 8))
        def edit(self, trials: int) -> None:
            self.was_lowered |= trials < self.budget
            self.budget = trials
            site.people.studies.set_budget(self.study, trials)
            self.check()

        @rule(pauses=st.booleans())
        def pause(self, pauses: bool) -> None:  # noqa: FBT001
            if pauses:
                site.people.studies.pause(self.study, by="ann")
                assert site.people.queue.claim(self.study, worker="nobody", count=1, lease_s=LEASE_S) == []
            else:
                site.people.studies.resume(self.study)
            self.check()

        @rule()
        def enqueue(self) -> None:
            asked = {"learning_rate": 0.5}
            numbers = site.people._transactions.write(write_waiting, self.study.study_id, [asked])
            self.check(lambda number, _before, after: number in numbers and after.token(number) is None)

        @precondition(lambda self: len(self.seen.trials) > 2)
        @rule(slot=slots)
        def delete(self, slot: int) -> None:
            hand = self.alive(slot)
            site.people.studies.delete(self.study.name)
            claims = list(hand.claims.values())
            lost = site.stores[slot].trials.record(self.study, [update(claim) for claim in claims])
            assert lost == set(hand.claims)
            with pytest.raises(StudyNotFoundError):
                site.stores[slot].queue.claim(self.study, worker=hand.name, count=1, lease_s=LEASE_S)
            self.begin()

        def teardown(self) -> None:
            """After any history one more worker spends the budget exactly."""
            for hand in self.hands:
                hand.is_dead = True
                self.silent_once.add(hand.name)
            self.budget = max(self.budget, self.seen.count(TrialState.COMPLETE, TrialState.PRUNED))
            site.people.studies.set_budget(self.study, self.budget)
            site.people.studies.resume(self.study)
            for _ in range(20):
                site.clocks.wait(BEAT_S)
                site.people.queue.sweep(self.study)
            self.check()
            closer = self.hands[0] = self.hire(0)
            for _ in range(60):
                claims = site.stores[0].queue.claim(self.study, worker=closer.name, count=3, lease_s=LEASE_S)
                if not claims:
                    break
                assert (
                    site.stores[0].trials.record(self.study, [update(claim) for claim in claims])
                    == frozenset()
                )
            progress = site.people.studies.progress(self.study)
            is_stopped = progress.stopped is not None
            assert progress.running == 0
            assert progress.finished == self.budget or is_stopped
            super().teardown()

    return History


@pytest.mark.parametrize(
    ("dialect", "histories", "steps"), [("sqlite", 16, 25), ("postgresql", 2, 15), ("mariadb", 2, 15)]
)
def test_the_laws_hold_in_every_history(
    dialect: str, histories: int, steps: int, new_database: Callable[[str], str]
) -> None:
    """Nothing finished changes, no living worker is robbed, no trial is blamed wrongly, the budget is spent exactly."""
    with kept_clocks() as clocks:
        site = Site(new_database(dialect), clocks)
        try:
            run_state_machine_as_test(
                machine_of(site),
                settings=settings(
                    max_examples=histories,
                    stateful_step_count=steps,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate],  # to shrink a failing history takes longer than a test may
                ),
            )
        finally:
            site.close()
