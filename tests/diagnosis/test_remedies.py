"""What remedies say, in words and numbers that people write."""

from hpsearch.diagnosis.static_checks import grad_reduction_sum
from hpsearch.diagnosis.verdicts import judge
from hpsearch.telemetry import NonFinite
from hpsearch.verdicts import Cause
from tests.benchmarks.diagnosis.remedies import in_turn
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


def test_a_sample_takes_one_run_of_each_label_in_turn() -> None:
    """A smaller sample is the beginning of a larger one, and rare labels are in both."""
    low, dead, rare = Cause.LR_TOO_LOW, Cause.DEAD_RELU_TOTAL, Cause.OVERFIT
    runs = [run(low) for _ in range(5)] + [run(dead, low) for _ in range(3)] + [run(rare)]
    order = in_turn(runs)
    assert [{one.labels[0] for one in order[:3]}, {one.labels[0] for one in order[3:5]}] == [
        {low, dead, rare},
        {low, dead},
    ]
    assert [id(one) for one in order] == [id(one) for one in in_turn(runs)]
    assert sorted(map(id, order)) == sorted(map(id, runs))
