"""Optuna's own tests, with `open_storage` where they ask for one of Optuna's storages.

They come with Optuna's source distribution, which `tests/run` downloads. `--optuna-suite=all` runs all that take a
storage and need no package that is missing here.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

CHOSEN: Final = (
    "storages_tests/test_storages.py",
    "storages_tests/test_callbacks.py",
    "storages_tests/test_heartbeat.py",
    "study_tests/test_optimize.py",
    "trial_tests/test_trial.py",
    "search_space_tests",
)
"""What runs always: what a storage does itself, and what the loop that runs trials makes of it."""

MORE: Final = (
    "study_tests/test_study.py",
    "trial_tests/test_frozen.py",
    "samplers_tests/test_grid.py",
    "samplers_tests/test_cmaes.py",
)
"""What takes a storage as well, and longer than it tells."""

_PRIVATE: Final = "calls _get_trials, a private method of RDBStorage's that open_storage does not have"

_ID_AGAIN: Final = (
    "SQLite gives away the id of a deleted study, as in RDBStorage, by whose class the test excuses it"
)

DEVIATIONS: Final[Mapping[str, str]] = {
    "storages_tests/test_storages.py::TestStorage::test_create_new_study_unique_id[hpsearch]": _ID_AGAIN,
    "storages_tests/test_storages.py::test_get_trials_included_trial_ids": _PRIVATE,
    "storages_tests/test_storages.py::test_get_trials_trial_id_greater_than": _PRIVATE,
}
"""A test, from Optuna's folder `tests` on -> why open_storage does not pass it. One that passes fails the run."""


@pytest.mark.parametrize("part", [*CHOSEN, *MORE])
def test_optunas_own_tests_pass(
    part: str, optuna_source: Path, repository: Path, request: pytest.FixtureRequest
) -> None:
    """A storage of ours does what Optuna's own tests ask of its storages, but for the deviations with a reason."""
    if part in MORE and request.config.getoption("--optuna-suite") != "all":
        pytest.skip("only with --optuna-suite=all")
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "plugin",
        "-c",
        os.devnull,
        "--rootdir",
        str(optuna_source),
    ]
    environment = {
        "PYTHONPATH": str(repository / "tests/optuna_suite"),
        "HPSEARCH_OPTUNA_DEVIATIONS": json.dumps(DEVIATIONS),
    }
    done = subprocess.run(
        # What Optuna's code warns of is Optuna's to look after.
        [sys.executable, "-W", "ignore", "-m", "pytest", *options, f"tests/{part}"],
        cwd=optuna_source,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_every_deviation_is_of_a_part_that_runs() -> None:
    """A deviation of a file that no run looks at would never be out of date."""
    files = {nodeid.partition("::")[0] for nodeid in DEVIATIONS}
    assert all(any(file.startswith(part) for part in (*CHOSEN, *MORE)) for file in files)
