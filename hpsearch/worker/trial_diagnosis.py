"""One configuration, trained for as long as its verdict needs."""

from dataclasses import dataclass
from typing import Final, final

from threadpoolctl import threadpool_limits

from hpsearch.data.description import facts_of
from hpsearch.diagnosis.facts import TrialFacts, facts_about
from hpsearch.diagnosis.verdicts import fatal_finding, judge
from hpsearch.study.spec import configure
from hpsearch.telemetry import Epoch, Telemetry
from hpsearch.training.cohort import Cohort
from hpsearch.training.loop import train_to_end
from hpsearch.training.recording import Recording, Subject, record
from hpsearch.training.row import Observation, shape_of
from hpsearch.verdicts import Verdict
from hpsearch.worker.preparation import PreparedStudy

_NUMBER: Final = 0


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

    It is trial 0 of the study's seed, trained alone and with one thread, so its numbers equal those in a search. It
    ends at the first verdict that is fatal and sure, at numbers that are not finite, or after its last epoch.
    """
    configuration, fatal = configure(study.spec, {}), study.spec.pruning.fatal_causes
    facts = facts_about(study.spec, facts_of(study.data), configuration)

    def is_over(observation: Observation) -> bool:
        telemetry = observation.telemetry
        has_ended = observation.is_finished or telemetry.nonfinite is not None
        return has_ended or fatal_finding(telemetry, facts, fatal) is not None

    with threadpool_limits(limits=1):
        cohort = Cohort(
            shape_of(configuration),
            study.data,
            capacity=1,
            seed=study.spec.seed,
            metric=study.spec.metric,
        )
        (end,) = train_to_end(cohort, {_NUMBER: configuration}, is_over=is_over)
    return _trial_diagnosis(judge(end.telemetry, facts), end.telemetry, facts)


def record_configuration(study: PreparedStudy, *, steps: int) -> Recording:
    """Return the first `steps` of the same training, recorded at every step."""
    subject = Subject(
        configuration=configure(study.spec, {}),
        data=study.data,
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
