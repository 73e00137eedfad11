"""Stock Optuna clients beside our workers, killed in the middle of what they do."""

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos import strangers
from tests.chaos.ground import Ground, Plan, Result
from tests.chaos.strangers import Visit


def test_strangers_neither_stop_workers_nor_cost_results(
    tmp_path: Path, plan: Callable[..., Plan], expected: Callable[[Plan], Sequence[Result]]
) -> None:
    """Clients that ask, tell, scribble, enqueue, rename, delete and die leave a study that workers finish."""
    chosen = plan()
    ground = Ground(f"sqlite:///{tmp_path}/chaos.db", chosen)
    try:
        visit = Visit(plan=chosen, workers=2, seed=1)
        deeds, broken = strangers.run(visit, ground, tmp_path, expected(chosen))
    finally:
        ground.close()
    assert {name: found[:5] for name, found in broken.items() if found} == {}
    assert deeds["rename"] > 0
