"""Audits: some of the trials that diagnosis would stop run on, to measure how often stopping is wrong.

Whether a trial is one of them follows from the study's seed and the trial's number alone (law 1).
"""

from dataclasses import replace
from typing import Final

import numpy as np

from hpsearch.records import Finding

AUDIT_STREAM: Final = int.from_bytes(b"audt")
"""Second word of the seed that draws whether a trial is audited; the first is the study's seed, the third its number.

No stream of training or of the split has it.
"""

AUDITED_AT: Final = "audited_at"
"""The evidence that says at which step an audited trial would have been stopped."""


def is_audited(*, seed: int, number: int, share: float) -> bool:
    """True when trial `number` runs on where diagnosis would stop it, as a `share` (0..1) of all trials does.

    Whoever is audited at one share is audited at every larger one.
    """
    draw = np.random.Generator(np.random.PCG64([seed, AUDIT_STREAM, number])).random()
    return bool(draw < share)


def with_audit_step(finding: Finding, *, step: int) -> Finding:
    """Return the finding that would have stopped a trial after `step` steps, with that step among its evidence."""
    return replace(finding, evidence={**finding.evidence, AUDITED_AT: step})
