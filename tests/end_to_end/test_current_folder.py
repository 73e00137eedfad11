"""The current folder is the user's: no file in it is imported as a module of ours or of a library."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

WINE = 'name = "wine"\ntrials = 2\ndata = { source = "wine" }\ntraining = { epochs = 2, batch_size = 20 }\n'
BAD = 'raise RuntimeError("this is the user\'s own")\n'
RUN = ("study", "run", "wine.toml", "--workers", "1")
MARK = '\nfrom pathlib import Path as _Path\n\n_Path("trained by").write_text(__file__)\n'


def test_modules_of_the_users_are_left_alone(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> None:
    """Workers do not import a `sklearn.py` and a `numpy.py` next to the study.

    The first process is started as the installed command is, without the current folder on its path.
    """
    folder = make_folder({"wine.toml": WINE, "sklearn.py": BAD, "numpy.py": BAD})
    ended = _run(["-P", "-m", "hpsearch", *RUN], folder.path, folder.environment)
    assert (ended.returncode, "Finished: 2 of 2 trials" in ended.stdout) == (0, True), ended.stderr


def test_a_checkout_that_is_not_installed_works(
    make_folder: Callable[[Mapping[str, str]], "Folder"], repository: Path
) -> None:
    """If a package is found only through the current folder, its workers use it too."""
    folder = make_folder({"wine.toml": WINE})
    shutil.copytree(
        repository / "hpsearch", folder.path / "hpsearch", ignore=shutil.ignore_patterns("__pycache__")
    )
    service = folder.path / "hpsearch/worker/service.py"
    service.write_text(service.read_text() + MARK)
    environment = {name: value for name, value in folder.environment.items() if name != "PYTHONPATH"}
    ended = _run(["-m", "hpsearch", *RUN], folder.path, environment)
    assert ended.returncode == 0, ended.stderr
    assert (folder.path / "trained by").read_text() == str(service)


def _run(
    arguments: list[str], folder: Path, environment: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
