"""A fleet on Dask loses a Dask worker."""

from collections.abc import Callable, Sequence

import pytest

from tests.chaos import fleet, laws
from tests.chaos.cluster import Cluster
from tests.chaos.ground import Ground, Plan, Result


def test_a_fleet_on_dask_survives_the_loss_of_a_dask_worker(
    cluster: Cluster, plan: Callable[..., Plan], expected: Callable[[Plan], Sequence[Result]]
) -> None:
    """Exactly the budget finishes, bit for bit as undisturbed; `worker list` names the nodes; no process is left."""
    pytest.importorskip("distributed")
    chosen = plan(trials=18)
    ground = Ground(cluster.url(cluster.new_database()), chosen)
    told: list[str] = []
    try:
        broken = fleet.run(ground, workers=2, kills=1, schedulers=0, tell=told.append)
        assert not any(broken.values()), (broken, told)
        laws.check(ground, expected(chosen), knows_writers=False)
        assert fleet.processes_of(ground.url) == []
    finally:
        ground.close()
