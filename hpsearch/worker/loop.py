"""The loop of one worker: claim, train, judge, write, and again until the budget is spent.

It alone knows all stages. Training does not know what a verdict is, diagnosis does not know that rows can be dropped:
the worker carries verdicts from one to the other, and results to the database.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import hpsearch
from hpsearch.data.prepare import PreparedData
from hpsearch.diagnosis.facts import Facts
from hpsearch.diagnosis.verdicts import is_fatal, judge
from hpsearch.errors import FingerprintError, StorageError, VersionError
from hpsearch.records import Cause, Finding, ParameterValue, TrialState
from hpsearch.search.searcher import Searcher
from hpsearch.storage.reads import Mark
from hpsearch.storage.records import Assignment, Claim, Outcome, StoredStudy, Update
from hpsearch.storage.store import Store
from hpsearch.study.spec import LEARNING_SAMPLERS, Configuration, configure
from hpsearch.training.cohort import Cohort
from hpsearch.training.row import Observation, Shape, shape_of
from hpsearch.worker.holding import Holding, outranked, primary
from hpsearch.worker.patience import Patience
from hpsearch.worker.stopping import StopRequest

LEASE_S = 30.0
IDLE_WAIT_S = 0.2
WRITE_EVERY_S = 1.0
REFILL_SHARE = 4
REFILL_WITHIN_S = 0.1
REMEMBERED_COHORTS = 4


def print_nothing(_: str) -> None:
    """Tell nobody."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """How one worker works: `rows` trials at once, under `name`, with leases of `lease_s` seconds.

    `tell` hears of what people may want to know, such as a database that is gone.
    """

    name: str
    rows: int
    lease_s: float = LEASE_S
    tell: Callable[[str], None] = print_nothing


@final
class Worker:
    """Trains trials of one study until its budget is spent, it is stopped, or it is asked to drain.

    Whoever runs it keeps its leases alive (`Heartbeat`). `ended` counts the trials that ended in its hands.
    """

    def __init__(
        self,
        store: Store,
        study: StoredStudy,
        data: PreparedData,
        *,
        options: WorkerOptions,
        stop: StopRequest,
    ) -> None:
        """Raise FingerprintError when `data` is not the study's, VersionError for another major version's study."""
        check_version(study)
        if data.fingerprint != study.fingerprint:
            raise FingerprintError(
                f"study {study.spec.name}: its data has the fingerprint {study.fingerprint} (got {data.fingerprint} "
                f"from {data.origin}): give this worker the data that the study was created with"
            )
        self._store = store
        self._study = study
        self._spec = study.spec
        self._data = data
        self._options = options
        self._stop = stop
        self._patience = Patience(stop=stop, tell=options.tell)
        self._searcher = Searcher(study.spec)
        self._learns = study.spec.sampler.name in LEARNING_SAMPLERS or study.spec.pruning.rank != "none"
        self._mark: Mark | None = None
        self._cohorts: dict[Shape, Cohort] = {}
        self._holdings: dict[int, Holding] = {}
        self._ended: list[Holding] = []
        self.ended = 0
        self._wrote_at = self._claimed_at = time.monotonic()

    def run(self) -> None:
        """Work until there is nothing left to do, then hand back what is not finished.

        An exception hands the trials back too, and counts as one lost worker for each of them.
        """
        crashed = True
        try:
            while self._turn():
                pass
            self._write()
            crashed = False
        finally:
            self._hand_back(crashed=crashed)

    def _turn(self) -> bool:
        """Claim where rows are free, train until something is new, write; return False when the work is over."""
        if self._stop.is_asked:
            return False
        if self._wants_trials():
            self._write()
            self._take()
        if not self._holdings:
            return self._wait_for_work()
        for cohort in list(self._cohorts.values()):
            for observation in cohort.advance(is_interrupted=self._is_stopping):
                self._observe(cohort, observation)
        if time.monotonic() - self._wrote_at > WRITE_EVERY_S:
            self._write()
        return True

    def _is_stopping(self) -> bool:
        return self._stop.is_asked

    def _wants_trials(self) -> bool:
        """True when enough rows are free, or some have been for a while: a claim costs as much as several steps."""
        free = self._options.rows - len(self._holdings)
        waited = time.monotonic() - self._claimed_at
        return not self._holdings or (
            free > 0 and (free * REFILL_SHARE >= self._options.rows or waited > REFILL_WITHIN_S)
        )

    def _wait_for_work(self) -> bool:
        """Say whether trials may still come: they may while other workers hold some of the budget."""
        progress = self._patience.call(lambda: self._store.progress(self._study))
        if progress.is_done or progress.stopped is not None:
            return False
        return not self._stop.wait(IDLE_WAIT_S)

    def _take(self) -> None:
        """Claim trials for the free rows, choose parameters for new ones, and let them join."""
        self._claimed_at = time.monotonic()
        claims = self._patience.call(self._claim, between=self._forget_uncertain_claims)
        if not claims:
            return
        if self._learns:
            trials, self._mark = self._patience.call(lambda: self._store.changes(self._study, self._mark))
            self._searcher.learn(trials)
        params = self._choose(claims)
        for claim in claims:
            self._join(claim, params[claim.number])

    def _claim(self) -> list[Claim]:
        return self._store.claim(
            self._study,
            worker=self._options.name,
            count=self._options.rows - len(self._holdings),
            lease_s=self._options.lease_s,
        )

    def _forget_uncertain_claims(self) -> None:
        """Hand back trials that a claim took whose answer was lost: nobody trains them, and we would renew them."""
        held = self._store.held(self._study, worker=self._options.name)
        unknown = [number for number in held if number not in self._holdings]
        if unknown:
            self._store.release(
                self._study,
                worker=self._options.name,
                numbers=unknown,
                why="the claim's answer was lost",
                crashed=False,
            )

    def _choose(self, claims: Sequence[Claim]) -> Mapping[int, Mapping[str, ParameterValue]]:
        """Return every claim's parameters, after storing those that are new."""
        params: dict[int, Mapping[str, ParameterValue]] = {}
        assignments = []
        for claim in claims:
            if claim.params is not None:
                params[claim.number] = claim.params
                continue
            suggestion = self._searcher.suggest(claim.number, claim.fixed)
            params[claim.number] = suggestion.params
            assignments.append(
                Assignment(
                    claim=claim, params=suggestion.params, system_attributes=suggestion.system_attributes
                )
            )
        if assignments:
            self._patience.call(lambda: self._store.assign(self._study, assignments))
        return params

    def _join(self, claim: Claim, params: Mapping[str, ParameterValue]) -> None:
        try:
            configuration = configure(self._spec, params)
        except (ValueError, TypeError) as error:
            self._refuse(claim, str(error))
            return
        cohort = self._cohort(configuration)
        cohort.join(claim.number, configuration)
        self._holdings[claim.number] = Holding(
            claim=claim,
            facts=Facts(
                configuration=configuration,
                steps=configuration.training.epochs * cohort.steps_per_epoch,
                is_classification=self._data.task == "classification",
            ),
            metric=self._spec.metric,
            steps_per_epoch=cohort.steps_per_epoch,
        )

    def _refuse(self, claim: Claim, reason: str) -> None:
        """Fail a trial whose parameters, set by another program, are none of this study's."""
        finding = Finding(
            cause=Cause.CODE_ERROR,
            confidence=1.0,
            first_step=0,
            evidence={},
            remedy=f"Enqueue it again: {reason}.",
        )
        outcome = Outcome(state=TrialState.FAILED, value=None, finding=finding, series={})
        update = Update(claim=claim, reports={}, epochs=0, steps=0, outcome=outcome)
        self._patience.call(lambda: self._store.record(self._study, [update]))

    def _cohort(self, configuration: Configuration) -> Cohort:
        """Return the cohort of that shape; idle ones make room for new ones."""
        shape = shape_of(configuration)
        if shape not in self._cohorts:
            idle = [other for other, cohort in self._cohorts.items() if not cohort.numbers]
            for other in idle[: max(0, len(self._cohorts) - REMEMBERED_COHORTS + 1)]:
                del self._cohorts[other]
            self._cohorts[shape] = Cohort(
                shape, self._data, capacity=self._options.rows, seed=self._spec.seed
            )
        return self._cohorts[shape]

    def _observe(self, cohort: Cohort, observation: Observation) -> None:
        """Judge what a cohort has to say about one of its trials, and drop the row of one that ends."""
        holding = self._holdings[observation.number]
        holding.telemetry = observation.telemetry
        if observation.ended_epoch:
            self._searcher.report(
                observation.number, len(observation.telemetry.epochs) - 1, holding.value(-1)
            )
        has_ended = self._has_ended(holding, observation)
        if observation.ended_epoch:
            holding.system_attributes.update(self._searcher.take_attributes(observation.number))
        if has_ended:
            cohort.leave(observation.number)
            self._ended.append(self._holdings.pop(observation.number))

    def _has_ended(self, holding: Holding, observation: Observation) -> bool:
        """Settle the trial's outcome where this observation is its last; say whether it is."""
        verdict = judge(observation.telemetry, holding.facts)
        pruning = self._spec.pruning
        if pruning.diagnosis and is_fatal(verdict):
            holding.end(TrialState.PRUNED, primary(verdict))
        elif observation.is_finished:
            holding.end(TrialState.COMPLETE, primary(verdict))
        elif observation.ended_epoch and self._searcher.is_outranked(observation.number):
            finding = outranked(observation.telemetry, holding.value(-1), pruning.rank)
            holding.end(TrialState.PRUNED, finding)
        return holding.outcome is not None

    def _write(self) -> None:
        """Store everything that the database does not know yet, in one transaction; drop trials lost to others."""
        self._wrote_at = time.monotonic()
        self.ended += len(self._ended)
        updates = [
            update
            for holding in (*self._ended, *self._holdings.values())
            if (update := holding.update()) is not None
        ]
        self._ended.clear()
        if not updates:
            return
        for number in self._patience.call(lambda: self._store.record(self._study, updates)):
            if self._holdings.pop(number, None) is not None:
                next(cohort for cohort in self._cohorts.values() if number in cohort.numbers).leave(number)

    def _hand_back(self, *, crashed: bool) -> None:
        """Give all trials in training back to the budget. A database that is gone leaves that to the leases."""
        why = "the worker failed" if crashed else "the worker was stopped"
        try:
            self._store.release(
                self._study, worker=self._options.name, numbers=None, why=why, crashed=crashed
            )
        except StorageError:
            if not crashed:
                raise


def check_version(study: StoredStudy) -> None:
    """Raise VersionError unless the study was made by this major version of hpsearch."""
    theirs, ours = study.version.partition(".")[0], hpsearch.__version__.partition(".")[0]
    if theirs != ours:
        raise VersionError(
            f'study "{study.spec.name}": was made by hpsearch {study.version}, and its trials must be trained by '
            f"hpsearch {theirs} (got {hpsearch.__version__}): use that version for this worker"
        )
