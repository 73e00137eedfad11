"""One configuration, trained for as long as its verdict needs."""

from dataclasses import dataclass, replace
from typing import Final, final

from threadpoolctl import threadpool_limits

from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import TrialFacts, facts_about
from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.study.messages import format_number
from hpsearch.study.spec import configure
from hpsearch.telemetry import Epoch, Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_end
from hpsearch.training.recording import Recording, Subject, record
from hpsearch.training.row import Observation, shape_of
from hpsearch.verdicts import Cause, Finding, Verdict
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.worker.range_test import RangeTest, range_test

_NUMBER: Final = 0
_DECISIVE_FALL: Final = 0.1
"""A run whose loss never fell by this share is `inconclusive`."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class TrialDiagnosis:
    """The result of training one configuration.

    `steps` of `steps_planned` were made, and `epochs` of `epochs_planned` begun; `last` is the last finished epoch, or
    None.
    """

    verdict: Verdict
    steps: int
    steps_planned: int
    epochs: int
    epochs_planned: int
    last: Epoch | None


def diagnose_configuration(study: PreparedStudy) -> TrialDiagnosis:
    """Train the single configuration of `study`, ignoring its search, and return the diagnosis.

    It is trial 0 of the study's seed, trained alone and with one thread, so its numbers equal those in a search, or
    those on the first fold. It ends at the first verdict that is fatal and sure, at numbers that are not finite, or
    after its last epoch. If the remedy is another learning rate, a range test on the same data chooses it.
    """
    configuration, fatal = configure(study.spec, {}), study.spec.pruning.fatal_causes
    data = study.data.searched[0]
    facts = facts_about(study.spec, facts_of(data), configuration)

    def is_over(observation: Observation) -> bool:
        telemetry = observation.telemetry
        has_ended = observation.is_finished or telemetry.nonfinite is not None
        return has_ended or fatal_finding(telemetry, facts, fatal) is not None

    with threadpool_limits(limits=1):
        cohort = Cohort(
            shape_of(configuration), data, capacity=1, seed=study.spec.seed, metric=study.spec.metric
        )
        (end,) = train_to_end(cohort, {_NUMBER: configuration}, is_over=is_over)
    verdict = with_tested_rate(judge(end.telemetry, facts), study, facts)
    return _trial_diagnosis(verdict, end.telemetry, facts)


def record_configuration(study: PreparedStudy, *, steps: int) -> Recording:
    """Return the first `steps` of the same training, recorded at every step."""
    subject = Subject(
        configuration=configure(study.spec, {}),
        data=study.data.searched[0],
        seed=study.spec.seed,
        number=_NUMBER,
        metric=study.spec.metric,
    )
    with threadpool_limits(limits=1):
        return record(subject, until_step=steps)


def _trial_diagnosis(verdict: Verdict, telemetry: Telemetry, facts: TrialFacts) -> TrialDiagnosis:
    return TrialDiagnosis(
        verdict=verdict,
        steps=telemetry.steps,
        steps_planned=facts.steps,
        epochs=-(-telemetry.steps // facts.steps_per_epoch),
        epochs_planned=facts.configuration.training.epochs,
        last=telemetry.epochs[-1] if telemetry.epochs else None,
    )


def with_tested_rate(verdict: Verdict, study: PreparedStudy, facts: TrialFacts) -> Verdict:
    """Return the verdict with the learning rate of a range test, if its remedy is the learning rate alone.

    The rate that diagnosis derives from telemetry stays if the test has nothing against the present one: then its fault
    shows later only. A run without enough evidence gets a remedy if another rate learns twice as fast.
    """
    primary = verdict.primary
    is_open = primary.cause is Cause.INCONCLUSIVE
    if not (is_open or primary.suggested.keys() == {"learning_rate"}):
        return verdict
    test = range_test(study)
    if test is None or test.suits(facts.learning_rate) or (is_open and test.largest_fall < _DECISIVE_FALL):
        return verdict
    return Verdict(findings=tuple(_with_rate(finding, facts, test) for finding in verdict.findings))


def _with_rate(finding: Finding, facts: TrialFacts, test: RangeTest) -> Finding:
    """Return a finding with the test's learning rate as its remedy, in place of its own rate if it has one."""
    now, tested = format_number(facts.learning_rate), format_number(test.best)
    verb = "raise" if test.best > facts.learning_rate else "lower"
    change = f"{verb} the learning rate from {now} to {tested}"
    if finding.cause is Cause.INCONCLUSIVE:
        remedy = f"Train for more steps, or {change}, which learns faster in a short test."
    elif finding.suggested.keys() != {"learning_rate"}:
        return finding
    else:
        own = format_number(float(finding.suggested["learning_rate"]))
        remedy = f"{change[0].upper()}{change[1:]}."
        for to in ("to", "to about"):
            old = f"he learning rate from {now} {to} {own}"
            before, found, after = finding.remedy.partition(old)
            if found and f"{verb} t" in before.lower():
                remedy = f"{before}he learning rate from {now} to {tested}{after}"
    return replace(finding, remedy=remedy, suggested={"learning_rate": test.best})
