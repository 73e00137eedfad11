"""What our own detector says of a run, and since when."""

from hpsearch.telemetry import NonFinite, Sample
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.detectors import SILENCE, Alarm, Call, Ours, first_of
from tests.diagnosis.made_runs import LOOKS, facts, run, sample

DIES_AT = 25


def dying_looks() -> list[Sample]:
    """Return the looks of a run whose units fall silent at step 25 and stay so, at the level of chance."""
    return [
        sample(step, loss=2.3, accuracy=0.1, dead=float(step >= DIES_AT), first=0.5 * (step < DIES_AT))
        for step in LOOKS
    ]


def test_a_healthy_run_raises_no_alarm() -> None:
    """Nothing is wrong with the run that all others are made from."""
    call = Ours().call(run())
    assert not call.is_alarm
    assert call.step is None


def test_a_fatal_verdict_ends_the_walk() -> None:
    """A run that diverges is called so at the step after its first NaN, with a lower learning rate."""
    call = Ours().call(run(nonfinite=NonFinite(step=100, array="weights"), known=facts(rate=1.0)))
    assert (call.cause, call.step) == (Cause.DIVERGED_LR, 101)
    rate = call.suggested_learning_rate
    assert rate is not None
    assert rate < 1.0


def test_an_alarm_counts_from_where_its_cause_was_said_for_good() -> None:
    """What dies at step 25 is called dead within the run, and not before."""
    died = run(Cause.DEAD_RELU_TOTAL, samples=dying_looks(), epochs=[])
    call = Ours().call(died)
    assert call.cause is Cause.DEAD_RELU_TOTAL
    assert call.step is not None
    assert DIES_AT < call.step <= 200
    assert Ours(fatal=frozenset()).call(died).step == call.step


def test_the_first_alarm_is_the_call() -> None:
    """Causes of the earliest step count, in the order of the rules and each once; nothing is silence."""
    alarms = [
        Alarm(step=120, cause=Cause.OVERFIT),
        Alarm(step=60, cause=Cause.PLATEAU),
        Alarm(step=60, cause=Cause.LR_TOO_LOW),
        Alarm(step=60, cause=Cause.PLATEAU),
    ]
    assert first_of(alarms) == Call(causes=(Cause.PLATEAU, Cause.LR_TOO_LOW), step=60)
    assert first_of([]) == SILENCE
    assert SILENCE.cause is Cause.HEALTHY
