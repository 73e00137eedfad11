"""The source distribution of the installed Optuna, with which its tests come. `python -m tests.optuna_suite.source`.

Only its folder `tests` is kept, beside the environment's packages, so that the installed Optuna is what is tested.
"""

import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

VERSION: Final = importlib.metadata.version("optuna")

FOLDER: Final = Path(sys.prefix) / "optuna-source" / VERSION
"""The folder of `tests` after its download."""


def download() -> None:
    """Fetch the source distribution with pip, unless it is there. Raises CalledProcessError if it cannot be had."""
    if (FOLDER / "tests").is_dir():
        return
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as name:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
        ]
        source = ["--no-deps", "--no-binary", ":all:", f"optuna=={VERSION}", "--dest", name]
        subprocess.run([*command, *source], check=True, timeout=300)
        (archive,) = Path(name).glob("optuna-*.tar.gz")
        top = archive.name.removesuffix(".tar.gz")
        with tarfile.open(archive) as opened:
            wanted = [member for member in opened if member.name.startswith(f"{top}/tests/")]
            opened.extractall(name, members=wanted, filter="data")
        (Path(name) / top).replace(
            FOLDER
        )  # in one step: what was interrupted leaves nothing that looks complete


if __name__ == "__main__":
    download()
