"""Fixtures of the chaos tests: a private PostgreSQL server, and one undisturbed worker's results of a study."""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hpsearch.study.spec import SamplerName
from tests.chaos import audit
from tests.chaos.cluster import Cluster, find_program
from tests.chaos.ground import Plan, Result, undisturbed

TRIALS = 24
EPOCHS = 40


@pytest.fixture(scope="session", autouse=True)
def _named_connections() -> Iterator[None]:
    """Give our own connections to SQLite the name that the triggers read."""
    with audit.named_connections(audit.OURSELVES):
        yield


@pytest.fixture(scope="session", autouse=True)
def _linux() -> None:
    """Skip all tests if no /proc shows whether a process is stopped."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("only /proc tells whether a process stands still")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Provide a private server; without PostgreSQL skip the test, or fail it if servers are required."""
    if find_program("initdb") is None:
        reason = "PostgreSQL is not installed (as root: apt-get install postgresql)"
        if os.environ.get("HPSEARCH_REQUIRE_SERVERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    # Not below pytest's own folder, into which the server's user may not look.
    with tempfile.TemporaryDirectory(prefix="hpsearch-chaos-") as folder, Cluster(Path(folder)) as running:
        yield running


@pytest.fixture(scope="session")
def plan() -> Callable[..., Plan]:
    """Return a function that makes a plan whose trials are among those of `expected`."""

    def make(trials: int = TRIALS, sampler: SamplerName = "random") -> Plan:
        assert trials <= TRIALS
        return Plan(trials=trials, sampler=sampler, epochs=EPOCHS)

    return make


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Plan], Sequence[Result]]:
    """Return a function that returns the results of one undisturbed worker, which runs once for each sampler."""
    known: dict[str, Sequence[Result]] = {}

    def find(plan: Plan) -> Sequence[Result]:
        if plan.sampler not in known:
            whole = Plan(trials=TRIALS, sampler=plan.sampler, epochs=EPOCHS)
            known[plan.sampler] = undisturbed(whole, tmp_path_factory.mktemp("undisturbed"))
        return known[plan.sampler][: plan.trials]

    return find
