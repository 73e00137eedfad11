"""Setup of every test: fixed threads and seeds, and no access to the user's files or databases."""

import importlib.metadata
import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.optuna_suite.source import FOLDER

# OpenBLAS and OpenMP read these when NumPy loads, which is later. A worker has one thread, too.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

# A shell ignores Ctrl-C for background processes, and children inherit that; ours must receive it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run. `--hypothesis-profile=explore` tries others each time.
# How fast examples are made depends on the machine's load, so it fails no test.
settings.register_profile(
    "deterministic",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=1000)
settings.load_profile("deterministic")

_REPOSITORY = Path(__file__).parents[1]
_MNIST_FOLDERS = (os.environ.get("HPSEARCH_MNIST"), _REPOSITORY.parent / "shared/data/mnist")
_MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _is_installed() -> bool:
    try:
        importlib.metadata.version("hpsearch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@pytest.fixture(autouse=True)
def _seclusion(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep a test, and the processes that it starts, away from the user's files and settings.

    The current folder is the test's own `tmp_path`; the default database is a file in it that does not
    exist yet; home and caches are a temporary folder. Variables that choose a database or data are gone.
    """
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(home / "scikit_learn_data"))
    monkeypatch.setenv("HPSEARCH_STORAGE", f"sqlite:///{tmp_path / 'default.db'}")
    for variable in ("OPTUNA_STORAGE", "HPSEARCH_DATA", "HPSEARCH_MNIST"):
        monkeypatch.delenv(variable, raising=False)
    if not _is_installed():
        # Without an installed package, child processes find this one through the path only.
        monkeypatch.setenv("PYTHONPATH", str(_REPOSITORY), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the folder that holds `pyproject.toml`."""
    return _REPOSITORY


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option to run all of Optuna's tests that take a storage, not only the chosen ones."""
    parser.addoption(
        "--optuna-suite",
        choices=("chosen", "all"),
        default="chosen",
        help="which of Optuna's own tests run against open_storage",
    )


@pytest.fixture(scope="session")
def optuna_source() -> Path:
    """Return the folder that holds `tests` of Optuna's source distribution; skip the test if it is missing.

    `tests/run` downloads it. With HPSEARCH_REQUIRE_OPTUNA_SOURCE=1 the test fails instead.
    """
    if (FOLDER / "tests").is_dir():
        return FOLDER
    reason = f"no source distribution of Optuna at {FOLDER}: python -m tests.optuna_suite.source"
    if os.environ.get("HPSEARCH_REQUIRE_OPTUNA_SOURCE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """Return the folder with MNIST's four IDX files, plain or gzipped; skip the test if there is none."""
    for folder in _MNIST_FOLDERS:
        if folder and all(any(Path(folder).glob(f"{name}*")) for name in _MNIST_FILES):
            return Path(folder).resolve()
    pytest.skip("MNIST is neither in HPSEARCH_MNIST nor in ../shared/data/mnist")
