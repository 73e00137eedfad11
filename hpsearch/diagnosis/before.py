"""What can be said of a configuration and its data before anything is trained."""

from collections.abc import Sequence

from hpsearch.diagnosis.facts import Facts
from hpsearch.records import Finding


def findings_before(facts: Facts) -> Sequence[Finding]:  # noqa: ARG001 # nothing is looked for yet
    """Return what is wrong before the first step."""
    return ()
