"""Small campaigns: after any faults of three workers, their study has the undisturbed results."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos import campaign, laws
from tests.chaos.campaign import Campaign
from tests.chaos.cluster import Cluster
from tests.chaos.ground import Plan, Result

Expected = Callable[[Plan], Sequence[Result]]


def hard(plan: Plan, *, seed: int) -> Campaign:
    """Return a campaign with a calamity about every half second, for at most 15 s."""
    return Campaign(
        plan=plan, workers=3, seed=seed, every_s=0.5, calamities_s=15.0, lease_s=1.0, outage_s=1.5, rows=2
    )


def test_a_campaign_on_sqlite(tmp_path: Path, plan: Callable[..., Plan], expected: Expected) -> None:
    """Workers that are killed and stopped, and a file that is locked, change only which worker trains which trial."""
    chosen = hard(plan(sampler="qmc"), seed=1)
    with campaign.on_sqlite(chosen, tmp_path) as scene:
        account = campaign.run(chosen, scene, tell=print)
        laws.check(scene.ground, expected(chosen.plan))
    assert account.faults == []
    assert account.happened.keys() <= {"kill", "freeze", "lock"}
    assert sum(account.happened.values()) > 3


def test_a_campaign_on_postgresql(
    tmp_path: Path, cluster: Cluster, plan: Callable[..., Plan], expected: Expected
) -> None:
    """Neither does a server that is restarted or cuts its clients off, in the middle of a commit too."""
    chosen = hard(plan(), seed=2)
    with campaign.on_postgresql(chosen, tmp_path, cluster) as scene:
        account = campaign.run(chosen, scene, tell=print)
        laws.check(scene.ground, expected(chosen.plan))
    assert account.faults == []
    assert account.cuts > 0
    assert sum(account.happened.values()) > 5
