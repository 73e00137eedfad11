"""What remedies say, in words and numbers that people write."""

from hpsearch.diagnosis.static_checks import grad_reduction_sum
from hpsearch.diagnosis.verdicts import judge
from hpsearch.telemetry import NonFinite
from tests.diagnosis.made_runs import facts, run


def test_a_remedy_has_no_exponent_where_people_write_none() -> None:
    """A learning rate of thousands stands in digits, as in every listing."""
    finding = grad_reduction_sum(facts(rate=81.0, reduction="sum"))
    assert finding is not None
    assert "act like a learning rate of 8100:" in finding.remedy

    known = facts(rate=81_000.0)
    nonfinite = NonFinite(step=5, array="loss")
    verdict = judge(run(known=known, nonfinite=nonfinite).telemetry, known)
    assert "from 81000 to 8100" in verdict.findings[0].remedy
