"""The loop of one worker: claim, train, judge and write, until the budget is spent.

Only this module uses all stages. Training has no verdicts, and diagnosis cannot drop rows: the worker passes verdicts
from one to the other, and results to the database.
"""

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

from hpsearch.data.description import facts_of
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import facts_about
from hpsearch.errors import HpsearchError, StudyNotFoundError
from hpsearch.objective.children import ChildObservation, Children
from hpsearch.objective.messages import EpochReport, ParameterRequest, TelemetryUpdate
from hpsearch.search.searcher import Searcher
from hpsearch.storage.records import (
    Assignment,
    ClaimedTrial,
    LimitStanding,
    Opening,
    StoredStudy,
    TrialOutcome,
    Update,
    limit_words,
)
from hpsearch.storage.store import Store
from hpsearch.storage.trials import Mark
from hpsearch.study.messages import format_count
from hpsearch.study.plan import dimension_in_words
from hpsearch.study.spec import HISTORY_SAMPLERS, Configuration, Dimension, configure
from hpsearch.training.cohort import never
from hpsearch.training.folds import trainer_for
from hpsearch.training.loop import Trainer
from hpsearch.training.row import Observation, Shape, shape_of
from hpsearch.trials import ParameterValue, TrialState
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.active_trial import ActiveTrial, is_audited, outranked
from hpsearch.worker.checkpoints import EVERY_S, FINAL_WITHIN_S, Checkpoint, Checkpoints
from hpsearch.worker.child_trial import ChildTrial, pause_reason, repeated_failure
from hpsearch.worker.failure_rate import failure_rate
from hpsearch.worker.preparation import check_data, check_version
from hpsearch.worker.retry import Reconnect
from hpsearch.worker.shutdown import StopRequest, do_nothing

LEASE_S = 30.0
IDLE_WAIT_S = 0.2
MOST_IDLE_WAIT_S = 5.0
IDLE_SHARE = 0.05
"""A worker without trials looks again after this share of its idle time, within the two bounds in seconds.

At 0.2 s, 5,000 workers that waited for the last trials of a study looked 25,000 times a second.
"""
WRITE_EVERY_S = 1.0
LIMITS_EVERY_S = 0.25
"""Seconds between two looks at a study's limits: each writes what is new, and reads sums from the database."""

NEW_LIMITS_EVERY_S = 2.0
"""The same for a study without limits, which may get some: each look reads one row."""

REFILL_SHARE = 4
REFILL_WITHIN_S = 0.1
REMEMBERED_COHORTS = 4
RECHECK_EVERY_S = 5.0
"""Time between two looks at the failures of a worker that waits for those of others."""


def idle_wait_s(idle_s: float) -> float:
    """Return how long a worker that has had no trials for `idle_s` seconds waits before it looks again, in seconds."""
    return min(max(IDLE_SHARE * idle_s, IDLE_WAIT_S), MOST_IDLE_WAIT_S)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """Options of one worker: it trains `rows` trials at once, under `name`, with leases of `lease_s` seconds.

    `notify` receives messages for users, such as that the database is gone; `notify_opening` receives the study's
    remaining work while the worker waits for it. With `wait_for_trials` it waits while other workers hold the rest of
    the budget. While `should_yield` it claims no trials, and ends with its last one. A trial's checkpoints are
    written after epochs, at least `checkpoint_every_s` seconds apart.
    """

    name: str
    rows: int
    lease_s: float = LEASE_S
    notify: Callable[[str], None] = do_nothing
    notify_opening: Callable[[Opening], None] = do_nothing
    wait_for_trials: bool = True
    should_yield: Callable[[], bool] = never
    checkpoint_every_s: float = EVERY_S


@final
@dataclass(kw_only=True, slots=True)
class LimitWatch:
    """Decides when a worker looks at its study's limits: often enough to end within an epoch of one.

    `due_s` is the time of the next look. `epochs` and `looked_s` are the study's epochs at the last one and its time.
    """

    due_s: float = 0.0
    looked_s: float = 0.0
    epochs: float = 0.0

    def is_due(self, *, has_ended: bool) -> bool:
        """Return True if it is time, or a trial has ended here and may have changed the best one."""
        return has_ended or time.monotonic() >= self.due_s

    def look(self, limits: Sequence[LimitStanding]) -> LimitStanding | None:
        """Return the limit that is reached, None if there is none, and set the time of the next look.

        It comes sooner if hours or epochs, at the speed of all workers since the last look, would be over by then.
        """
        now_s = time.monotonic()
        every_s = LIMITS_EVERY_S if limits else NEW_LIMITS_EVERY_S
        wait_s = every_s if self.looked_s else 0.0
        for limit in limits:
            if limit.is_reached:
                return limit
            left = limit.limit - (limit.used or 0.0)
            if limit.name == "hours":
                wait_s = min(wait_s, left * 3600)
            if limit.name == "epochs":
                used = limit.used or 0.0
                speed = (used - self.epochs) / max(now_s - self.looked_s, 1e-3)
                wait_s = min(wait_s, left / speed / 2 if speed > 0 else wait_s)
                self.epochs = used
        self.looked_s, self.due_s = now_s, now_s + wait_s
        return None


@final
class Worker:
    """Trains trials of one study until its budget is spent, it is stopped, or the worker is asked to drain.

    The caller keeps the leases of its `tokens` alive (`Heartbeat`), possibly in another thread. `ended` counts the
    trials that it ended. If they fail far more often than those of other workers, it takes no more, and `problem` is
    the reason.
    """

    def __init__(
        self,
        store: Store,
        study: StoredStudy,
        source: PreparedData | Children,
        *,
        options: WorkerOptions,
        stop: StopRequest,
    ) -> None:
        """`source` is the study's data, or, if it has an objective, the processes that train its trials.

        Raises FingerprintError if the data is not the study's, VersionError for another major version's study.
        """
        check_version(study)
        if isinstance(source, PreparedData):
            check_data(study, source)
        self._store = store
        self._study = study
        self._spec = study.spec
        self._data = source if isinstance(source, PreparedData) else None
        self._options = options
        self._stop = stop
        self._reconnect = Reconnect(stop=stop, notify=options.notify)
        self._searcher = Searcher(study.spec)
        self._learns = study.spec.sampler.name in HISTORY_SAMPLERS or study.spec.pruning.rank != "none"
        self._mark: Mark | None = None
        self._trainers: dict[Shape, Trainer] = {}
        self._children = source if isinstance(source, Children) else None
        self._active: dict[int, ActiveTrial | ChildTrial] = {}
        self._data_facts = [] if self._data is None else [facts_of(one) for one in self._data.searched]
        self._fatal = study.spec.pruning.fatal_causes if study.spec.pruning.diagnosis else frozenset()
        self._ended: list[ActiveTrial | ChildTrial] = []
        self.ended = 0
        self.tokens: frozenset[int] = frozenset()
        self._wrote_at = self._claimed_at = self._worked_at = time.monotonic()
        self._limits = LimitWatch()
        self._has_limits = bool(study.spec.budget)
        self._checkpoints = Checkpoints(
            study, store.folder, every_s=options.checkpoint_every_s, notify=options.notify
        )
        self._ended_epoch: list[int] = []
        self._last_claim_was_empty = False
        self.problem: str | None = None
        self._is_undecided = False
        self._checked_at = 0.0

    @property
    def study(self) -> StoredStudy:
        """The study whose trials it trains."""
        return self._study

    def follow(self, study: StoredStudy) -> None:
        """Take the study as it is stored now: its limits may have changed."""
        self._study, self._has_limits = study, bool(study.spec.budget)

    @property
    def name(self) -> str:
        """The worker's name in the database."""
        return self._options.name

    def run(self) -> None:
        """Work until there is nothing left to do, then hand back unfinished trials. It may be called again.

        Exceptions hand the trials back too. An exception that is no HpsearchError may be caused by a trial, so it
        counts as one lost worker for each of them.
        """
        self._worked_at = time.monotonic()
        try:
            if self._data is not None:
                self._checkpoints.sweep(self._finished)
            while self._turn():
                pass
            self._write()
            self._save_all()
            self._reconnect.call(lambda: self._hand_back("the worker was stopped", crashed=False))
        except BaseException as error:
            # If this cannot be written, the leases expire by themselves.
            with self._stop.shield(), contextlib.suppress(HpsearchError):
                self._hand_back("the worker failed", crashed=not isinstance(error, HpsearchError))
            raise
        finally:
            self._forget_trials()

    def _turn(self) -> bool:
        """Claim trials for free rows, train until there are results, write; return False once the work is over."""
        if self._stop.is_requested:
            return False
        if self._is_undecided and time.monotonic() - self._checked_at > RECHECK_EVERY_S:
            self._reconnect.call(self._check_failures)
        if not self._is_undecided and self.problem is None and self._should_claim():
            self._write()
            self._claim_trials()
        if not self._active:
            return self.problem is None and self._options.wait_for_trials and self._wait_for_work()
        self._advance()
        self._worked_at = time.monotonic()
        self._save(self._checkpoints.due(n for n in self._ended_epoch if n in self._active))
        self._ended_epoch.clear()
        if self._is_at_limit():
            return False
        if time.monotonic() - self._wrote_at > WRITE_EVERY_S:
            self._write()
        return True

    def _advance(self) -> None:
        """Train until there are results, and act on them."""
        for trainer in list(self._trainers.values()):
            for observation in trainer.advance(is_interrupted=self._is_stopping):
                self._observe(trainer, observation)
        if self._children is not None:
            for received in self._children.advance(is_interrupted=self._is_stopping):
                self._receive(self._children, received)

    def _is_at_limit(self) -> bool:
        """Return True if a limit has ended the study; its trials in training then wait again, and nothing is lost."""
        if not self._limits.is_due(has_ended=self._has_limits and bool(self._ended)):
            return False
        self._write()
        found = self._reconnect.call(lambda: self._store.studies.limits(self._study))
        self._has_limits = bool(found)
        reached = self._limits.look(found)
        if reached is None:
            return False
        self._save_all()
        why = f"the study is at its limit: {limit_words(reached)}"
        self._reconnect.call(lambda: self._hand_back(why, crashed=False))
        self._forget_trials()
        return True

    def _is_stopping(self) -> bool:
        return self._stop.is_requested

    def _should_claim(self) -> bool:
        """Return True if enough rows are free, or some have been for a while: a claim costs as much as several steps.

        Trials join between epochs, so a claim in the middle of one would only wait, unless its trials can have another
        shape. Never together with a trial that lost a worker: if it takes this worker down too, no other trial must
        suffer.
        """
        if not self._active:
            return True
        free = self._options.rows - len(self._active)
        if not free or any(active.claim.is_suspect for active in self._active.values()):
            return False
        trainers = [trainer for trainer in self._trainers.values() if trainer.numbers]
        if len(trainers) == 1 and not trainers[0].is_between_epochs:
            return False
        are_many = free * REFILL_SHARE >= self._options.rows and not self._last_claim_was_empty
        return are_many or time.monotonic() - self._claimed_at > REFILL_WITHIN_S

    def _wait_for_work(self) -> bool:
        """Return whether trials may still come: they may while other workers hold some of the budget."""
        opening = self._reconnect.call(lambda: self._store.queue.opening(self._study))
        if not opening.is_open:
            return False
        self._options.notify_opening(opening)
        return not self._stop.wait(idle_wait_s(time.monotonic() - self._worked_at))

    def _claim_trials(self) -> None:
        """Claim trials for the free rows, choose parameters for new ones, and let them join."""
        self._claimed_at = time.monotonic()
        if self._options.should_yield():
            return
        claims = self._reconnect.call(self._claim, between=self._release_unknown_claims)
        # A trial that is claimed again was lost: its lease expired, or the database was restored to an older state.
        self._drop({claim.number for claim in claims})
        self.tokens |= {claim.token for claim in claims}
        self._last_claim_was_empty = not claims
        if not claims:
            return
        self._follow_ranges()
        if self._learns:
            trials, self._mark = self._reconnect.call(
                lambda: self._store.trials.changes(self._study, self._mark)
            )
            self._searcher.learn(trials)
        for assignment in self._choose(claims):
            self._join(assignment)

    def _claim(self) -> list[ClaimedTrial]:
        return self._store.queue.claim(
            self._study,
            worker=self._options.name,
            count=self._options.rows - len(self._active),
            lease_s=self._options.lease_s,
        )

    def _follow_ranges(self) -> None:
        """Search the present ranges if they were edited; a new searcher learns all trials again."""
        search = self._reconnect.call(lambda: self._store.studies.search(self._study))
        if search is None or search == self._spec.search:
            return
        self._spec = replace(self._spec, search=search)
        self._study = replace(self._study, spec=replace(self._study.spec, search=search))
        self._searcher, self._mark = Searcher(self._spec), None

    def _release_unknown_claims(self) -> None:
        """Hand back trials of a claim whose answer was lost: no worker trains them, and no other worker may."""
        held = self._store.queue.held(self._study, worker=self._options.name)
        unknown = [number for number in held if number not in self._active]
        if unknown:
            self._store.queue.release(
                self._study,
                worker=self._options.name,
                numbers=unknown,
                why="the claim's answer was lost",
                crashed=False,
            )

    def _choose(self, claims: Sequence[ClaimedTrial]) -> list[Assignment]:
        """Return every claim's parameters, after storing those that are new."""
        assignments = [self._assignment(claim) for claim in claims]
        new = [assignment for assignment in assignments if assignment.claim.params is None]
        if new:
            self._reconnect.call(lambda: self._store.trials.assign(self._study, new))
        return assignments

    def _assignment(self, claim: ClaimedTrial) -> Assignment:
        """Return the claim's parameters, or else those that the searcher suggests."""
        if claim.params is not None:
            return Assignment(claim=claim, params=claim.params)
        if claim.ignored is not None:
            self._options.notify(f'study "{self._spec.name}": trial {claim.number}: {claim.ignored}')
        suggestion = self._searcher.suggest(claim.number, claim.fixed)
        return Assignment(
            claim=claim, params=suggestion.params, system_attributes=suggestion.system_attributes
        )

    def _join(self, assignment: Assignment) -> None:
        claim = assignment.claim
        if self._children is not None:
            self._active[claim.number] = ChildTrial(
                assignment=assignment,
                pruning=self._spec.pruning,
                continues=self._children.has_checkpoint(claim.number),
            )
            self._children.join(claim.number, assignment.params)
            return
        if self._data is None or self._data_facts is None:
            raise ValueError(f"study {self._spec.name}: it has no data")
        try:
            configuration = configure(self._spec, assignment.params)
        except (ValueError, TypeError) as error:
            self._fail_trial(claim, str(error))
            return
        saved = self._saved(claim, configuration)
        self._trainer(configuration).join(claim.number, configuration, saved.states)
        self._active[claim.number] = ActiveTrial(
            assignment=assignment,
            facts=[facts_about(self._spec, one, configuration) for one in self._data_facts],
            metric=self._spec.metric,
            audited_finding=saved.audited,
            kept=saved.kept,
        )

    def _saved(self, claim: ClaimedTrial, configuration: Configuration) -> Checkpoint:
        """Return the checkpoint of an earlier attempt, with which this one goes on; an empty one if there is none."""
        self._checkpoints.begin(claim.number)
        saved = self._checkpoints.load(claim.number, configuration) if claim.attempt > 1 else None
        if saved is None:
            return Checkpoint()
        self._searcher.report_again(claim.number, saved.values)
        kept = {**saved.kept, claim.attempt: saved.begun}
        self._checkpoints.save(claim.number, configuration, replace(saved, kept=kept))
        self._options.notify(
            f"trial {claim.number}: goes on from its checkpoint, after {format_count(saved.epochs, 'epoch')}"
        )
        return saved

    def _save(self, numbers: Iterable[int], *, within_s: float = math.inf) -> None:
        """Write the checkpoints of trials in training."""
        began_s = time.monotonic()
        for number in numbers:
            active = self._active[number]
            if not isinstance(active, ActiveTrial) or time.monotonic() - began_s > within_s:
                return
            if active.telemetry is None:
                continue
            trainer = next(one for one in self._trainers.values() if number in one.numbers)
            checkpoint = Checkpoint(
                states=trainer.states(number),
                values=active.values,
                audited=active.audited_finding,
                begun=active.begun,
                kept={**active.kept, active.claim.attempt: active.begun},
            )
            self._checkpoints.save(number, active.facts[0].configuration, checkpoint)

    def _save_all(self) -> None:
        """Write the checkpoints of all trials, as far as there is time, before they are handed back."""
        self._save(list(self._active), within_s=FINAL_WITHIN_S)

    def _finished(self) -> set[int]:
        trials = self._reconnect.call(lambda: self._store.trials.all(self._study))
        return {trial.number for trial in trials if trial.state.is_final}

    def _fail_trial(self, claim: ClaimedTrial, reason: str) -> None:
        """Fail a trial whose parameters, set by another program, do not fit this study."""
        finding = Finding(
            cause=Cause.CODE_ERROR,
            confidence=1.0,
            first_step=0,
            evidence={},
            remedy=f"Enqueue it again: {reason}.",
        )
        outcome = TrialOutcome(state=TrialState.FAILED, value=None, finding=finding, series={})
        update = Update(claim=claim, reports={}, epochs=0, steps=0, outcome=outcome)
        self._reconnect.call(lambda: self._store.trials.record(self._study, [update]))

    def _receive(self, children: Children, observation: ChildObservation) -> None:
        """Keep what a child process sent, and let its trial go if it ends. What it sends after its end is ignored."""
        number, message = observation.number, observation.message
        active = self._active.get(number)
        if active is None:
            return
        assert isinstance(active, ChildTrial)
        active.receive(message)
        if isinstance(message, TelemetryUpdate) and active.audited_finding is None:
            self._stop_or_audit(active, active.fatal_finding(self._fatal))
        if isinstance(message, ParameterRequest):
            value = self._suggested_value(active.claim, message.dimension)
            active.suggested.append((message.dimension, value))
            children.answer(number, value)
        if isinstance(message, EpochReport) and message.value is not None:
            self._searcher.report(number, message.epoch, message.value)
            patience = self._spec.limits.trial_epochs_without_improvement
            if patience is not None and active.has_stalled(patience, maximize=self._spec.maximize):
                active.stop_early(patience, maximize=self._spec.maximize)
            elif active.audited_finding is None and self._searcher.is_outranked(number):
                active.outrank(self._spec.pruning.rank)
            active.keep(self._searcher.take_attributes(number))
        if active.outcome is not None:
            children.leave(number)
            self._ended.append(self._active.pop(number))

    def _suggested_value(self, claim: ClaimedTrial, dimension: Dimension) -> ParameterValue:
        """Return the value of a parameter that a training function asks for: the one of an enqueued trial, if any."""
        value = self._searcher.suggest_one(claim.number, dimension, claim.fixed)
        if (enqueued := claim.fixed.get(dimension.name, value)) != value:
            self._options.notify(
                f'study "{self._spec.name}": trial {claim.number}: {dimension.name} must be a value that the function '
                f"asks for, {dimension_in_words(dimension)} (got {enqueued} in the queue): it is sampled"
            )
        return value

    def _trainer(self, configuration: Configuration) -> Trainer:
        """Return the cohort of that shape; idle ones make room for new ones."""
        shape = shape_of(configuration)
        if shape not in self._trainers:
            idle = [other for other, trainer in self._trainers.items() if not trainer.numbers]
            for other in idle[: max(0, len(self._trainers) - REMEMBERED_COHORTS + 1)]:
                del self._trainers[other]
            assert self._data is not None
            self._trainers[shape] = trainer_for(
                shape,
                self._data,
                capacity=self._options.rows,
                seed=self._spec.seed,
                metric=self._spec.metric,
            )
        return self._trainers[shape]

    def _observe(self, trainer: Trainer, observation: Observation) -> None:
        """Judge a cohort's observation of one of its trials, and drop the row if the trial ends."""
        active = self._active[observation.number]
        assert isinstance(active, ActiveTrial)
        active.observe(observation)
        if observation.ended_epoch:
            self._ended_epoch.append(observation.number)
            self._searcher.report(observation.number, len(observation.telemetry.epochs) - 1, active.value(-1))
        has_ended = self._has_ended(active, observation)
        if observation.ended_epoch:
            active.keep(self._searcher.take_attributes(observation.number))
        if has_ended:
            trainer.leave(observation.number)
            self._ended.append(self._active.pop(observation.number))

    def _has_ended(self, active: ActiveTrial, observation: Observation) -> bool:
        """Set the trial's outcome if this observation is its last; return whether it is."""
        telemetry = observation.telemetry
        if active.audited_finding is None and self._fatal:
            self._stop_or_audit(active, active.fatal_finding(observation, self._fatal))
        patience = self._spec.limits.trial_epochs_without_improvement
        has_stalled = observation.ended_epoch and active.has_stalled(patience)
        if active.audited_finding is not None:
            active.end_audit(is_finished=observation.is_finished or has_stalled)
        elif active.outcome is None and observation.is_finished:
            active.end(TrialState.COMPLETE, active.judge())
        elif active.outcome is None and has_stalled:
            active.stop_early(patience or 0)
        elif active.outcome is None and self._is_outranked(observation):
            finding = outranked(
                telemetry,
                active.value(-1),
                self._spec.pruning.rank,
                diagnosis=active.judge(),
            )
            active.end(TrialState.PRUNED, finding)
        return active.outcome is not None

    def _stop_or_audit(self, active: ActiveTrial | ChildTrial, finding: Finding | None) -> None:
        """End a trial with a fatal finding, or let it run on if it is audited; do nothing without such a finding."""
        if finding is None:
            return
        share = self._spec.pruning.audit
        if is_audited(seed=self._spec.seed, number=active.claim.number, share=share):
            active.audit(finding)
        else:
            active.end(TrialState.PRUNED, finding)

    def _is_outranked(self, observation: Observation) -> bool:
        return observation.ended_epoch and self._searcher.is_outranked(observation.number)

    def _write(self) -> None:
        """Store everything that is not in the database yet, in one transaction; drop trials lost to other workers."""
        self._wrote_at = time.monotonic()
        self.ended += len(self._ended)
        updates = [
            update
            for active in (*self._ended, *self._active.values())
            if (update := active.update()) is not None
        ]
        has_failed = any(isinstance(a, ChildTrial) and a.failed for a in self._ended)
        ended = {active.claim.number for active in self._ended}
        self._ended.clear()
        if not updates:
            return
        lost = self._reconnect.call(lambda: self._store.trials.record(self._study, updates))
        self._checkpoints.forget(ended - lost)
        if has_failed:
            self._reconnect.call(self._pause_after_failures)
            self._reconnect.call(self._check_failures)
        self._drop(lost)
        self.tokens = frozenset(active.claim.token for active in self._active.values())
        if lost:
            listed = ", ".join(map(str, sorted(lost)))
            self._options.notify(f"{self._why_lost()}: its work on {listed} is discarded")

    def _pause_after_failures(self) -> None:
        """Pause a study whose last trials failed in the same way: the next ones would fail too."""
        words = repeated_failure(self._store.trials.all(self._study))
        if words is not None:
            self._store.studies.pause(self._study, by=pause_reason(words))

    def _check_failures(self) -> None:
        """Take no more trials if they fail far more often here than elsewhere, or while that is undecided."""
        self._checked_at = time.monotonic()
        found = failure_rate(self._store.trials.all(self._study), self.name, self._spec.search)
        self._is_undecided = found.is_undecided
        if found.is_too_high and self.problem is None:
            problem = (
                f'study "{self._spec.name}": takes no more trials: {found.sentence}: check this machine, and '
                "start the worker again"
            )
            self._store.workers.report_problem(self.name, problem)
            self._options.notify(problem)
            self.problem = problem

    def _why_lost(self) -> str:
        """Return why the database refuses further writes to trials that were in training."""
        try:
            self._reconnect.call(lambda: self._store.queue.opening(self._study))
        except StudyNotFoundError:
            return f'study "{self._study.spec.name}" was deleted'
        return "leases ended meanwhile"

    def _drop(self, numbers: Collection[int]) -> None:
        """Drop those of the trials that are in training."""
        for number in self._active.keys() & numbers:
            del self._active[number]
            if self._children is not None:
                self._children.kill(number)
                continue
            next(trainer for trainer in self._trainers.values() if number in trainer.numbers).leave(number)

    def _hand_back(self, why: str, *, crashed: bool) -> None:
        """Return all trials in training to the budget."""
        self._store.queue.release(
            self._study, worker=self._options.name, numbers=None, why=why, crashed=crashed
        )

    def _forget_trials(self) -> None:
        for trainer in self._trainers.values():
            for number in trainer.numbers:
                trainer.leave(number)
        if self._children is not None:
            self._children.close()
        self._active.clear()
        self.tokens = frozenset()
