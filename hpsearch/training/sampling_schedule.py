"""The steps at which a trial is sampled. They depend on the trial's own age and samples alone (law 1)."""

import math

from hpsearch.telemetry import Sample

DENSE_LOOKS_UNTIL = 25
EARLY_LOOKS_UNTIL = 200
LEAST_STREAK = 12
STREAK_EXAMPLES = 1200
ALARM_DEAD_SHARE = 0.85
ALARM_LOGIT = 1e5


def next_sample_step(age: int, *, cycle: int = 1) -> int:
    """Return the first step after step `age` at which a healthy trial is sampled.

    Every 5 steps until 25, every 25 until 200, every 100 from there. `cycle` is the number of steps after which the
    same minibatches follow again, 1 if they never do: the intervals are the next numbers without a common divisor with
    it, so that all minibatches have their turn.
    """
    interval, _ = _interval(age, cycle)
    return (age // interval + 1) * interval


def is_probe(age: int, *, cycle: int = 1) -> bool:
    """Return True if the sample at step `age` also measures the effect of the step on the loss of its own minibatch.

    That is another forward pass: at every second sample until step 200, and at every fifth from there. With `cycle` 1
    these are the steps 0, 10, 20, 50, 100, 150, 200, and every 500.
    """
    interval, every = _interval(age if age > EARLY_LOOKS_UNTIL else age - 1, cycle)
    return age % (interval * every) == 0


def _interval(age: int, cycle: int) -> tuple[int, int]:
    """Return the number of steps between two samples after step `age`, and of samples from probe to probe."""
    if age < DENSE_LOOKS_UNTIL:
        interval, every = 5, 2
    elif age < EARLY_LOOKS_UNTIL:
        interval, every = 25, 2
    else:
        interval, every = 100, 5
    while math.gcd(interval, cycle) > 1:
        interval += 1
    return interval, every


def alarm_streak(examples: int) -> int:
    """Return the number of alarming samples in a row that are taken at every step until the schedule is regular again.

    12 steps, or the 1,200 examples that separate a silent unit from a rare one if samples of `examples` show fewer.
    """
    return max(LEAST_STREAK, -(-STREAK_EXAMPLES // examples))


def is_alarming(sample: Sample) -> bool:
    """Return True if the next step should be sampled as well: a nearly silent layer, or huge outputs."""
    return sample.logit_max >= ALARM_LOGIT or sample.dead_share >= ALARM_DEAD_SHARE
