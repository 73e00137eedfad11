"""Fleets: wrong options, and errors that need no engine."""

import sys
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import StudyNotFoundError, UsageError
from hpsearch.storage.records import Progress
from hpsearch.storage.store import open_store
from hpsearch.worker.fleet.launcher import EngineUnavailableError
from hpsearch.workflows.fleet import FleetOptions, FleetRun, run_fleet


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    url = f"sqlite:///{tmp_path}/fleet.db"
    open_store(url).close()
    return url


MISPLACED = (("--scheduler", "dask"), ("--job", "slurm"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--count: must be the number of workers (got none): add --count N, or --max N"),
        ({"least": 3}, "--count: must be the number of workers (got none): add --count N, or --max N"),
        ({"least": 3, "most": 2}, "--min: must be at most 2, the largest number of workers (got 3)"),
        (
            {"count": 1, "least": 1, "most": 2},
            "--count: must be left out with --min and --max (got 1): they are the range",
        ),
        ({"count": 1, "engine": "dusk"}, '--on: must be an engine (got "dusk"): did you mean dask?'),
        (
            {"count": 1, "engine": "dask"},
            "--scheduler: must be the address of the Dask scheduler (got none): add --scheduler tcp://HOST:8786",
        ),
        (
            {"count": 1, "scheduler": "tcp://x:1", "parameters": {"a": 1}},
            "\n".join(f"{a}: is for --on {b} (got --on local): leave it out" for a, b in MISPLACED),
        ),
    ],
)
def test_wrong_options_are_errors(url: str, options: dict[str, Any], message: str) -> None:
    """Each names the option, the rule, the value and the remedy, and nothing starts."""
    with pytest.raises(UsageError) as caught:
        run_fleet(FleetOptions(**{"url": url, "engine": "local", **options}))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "where", [{"engine": "slurm"}, {"engine": "dask", "scheduler": "tcp://10.0.0.5:8786"}]
)
def test_other_machines_need_a_server(url: str, where: dict[str, str]) -> None:
    """An SQLite file serves this machine only, so an engine elsewhere is refused."""
    with pytest.raises(UsageError, match=r"^--on \w+: needs a database server .*fleet\.db\): add --storage"):
        run_fleet(FleetOptions(url=url, count=1, **where))  # type: ignore[arg-type] # names of options


def test_a_study_must_exist(url: str) -> None:
    """An unknown name is an error before any worker starts."""
    with pytest.raises(StudyNotFoundError):
        run_fleet(FleetOptions(url=url, engine="local", count=1, study="digits"))


def test_a_scheduler_must_answer(url: str) -> None:
    """A wrong address is an error at once: only a scheduler that was there before is waited for."""
    pytest.importorskip("distributed")
    with pytest.raises(
        EngineUnavailableError, match=r"^--scheduler tcp://127\.0\.0\.1:1: must be the address"
    ):
        run_fleet(FleetOptions(url=url, engine="dask", count=1, scheduler="tcp://127.0.0.1:1"))


@pytest.mark.parametrize(("engine", "package"), [("dask", "distributed"), ("slurm", "submitit")])
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, engine: str, package: str
) -> None:
    """Without the extra, the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"hpsearch.worker.fleet.{engine}", raising=False)
    with pytest.raises(UsageError, match=rf"needs the package {package} .*\[fleet\]"):
        __import__(f"hpsearch.worker.fleet.{engine}")


def test_the_result_in_words() -> None:
    """It has the state of the study and the number of workers; a study that is not finished is a problem."""
    progress = Progress(
        name="digits",
        budget=4,
        complete=4,
        pruned=0,
        failed=0,
        running=0,
        waiting=0,
        fates={},
        ledger={},
        epochs=9,
        best=None,
    )
    done = FleetRun(started=5, lost=2, progress=progress)
    assert done.sentence == "Finished: 4 of 4 trials. The fleet started 5 workers; 2 failed or were lost."
    assert done.problem is None
    assert FleetRun(started=1, lost=0, progress=None).sentence == "The fleet started 1 worker."
