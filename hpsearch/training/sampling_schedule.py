"""The steps at which a trial is sampled. They depend on the trial's own age and samples alone (law 1)."""

from hpsearch.telemetry import Sample

DENSE_LOOKS_UNTIL = 25
EARLY_LOOKS_UNTIL = 200
LATE_PROBES_EVERY = 500
LEAST_STREAK = 12
STREAK_EXAMPLES = 1200
ALARM_DEAD_SHARE = 0.85
ALARM_LOGIT = 1e5


def next_sample_step(age: int) -> int:
    """Return the first step after step `age` at which a healthy trial is sampled.

    Every 5 steps until 25, every 25 until 200, every 100 from there.
    """
    if age < DENSE_LOOKS_UNTIL:
        interval = 5
    elif age < EARLY_LOOKS_UNTIL:
        interval = 25
    else:
        interval = 100
    return (age // interval + 1) * interval


def is_probe(age: int) -> bool:
    """Return True if the sample at step `age` also measures the effect of the step on the loss of its own minibatch.

    That is another forward pass: at the steps 0, 10, 20, 50, 100, 150, 200, and every 500 from there.
    """
    if age < DENSE_LOOKS_UNTIL:
        return age % 10 == 0
    if age <= EARLY_LOOKS_UNTIL:
        return age % 50 == 0
    return age % LATE_PROBES_EVERY == 0


def alarm_streak(examples: int) -> int:
    """Return the number of alarming samples in a row that are taken at every step until the schedule is regular again.

    12 steps, or the 1,200 examples that separate a silent unit from a rare one if samples of `examples` show fewer.
    """
    return max(LEAST_STREAK, -(-STREAK_EXAMPLES // examples))


def is_alarming(sample: Sample) -> bool:
    """Return True if the next step should be sampled as well: a nearly silent layer, or huge outputs."""
    return sample.logit_max >= ALARM_LOGIT or sample.dead_share >= ALARM_DEAD_SHARE
