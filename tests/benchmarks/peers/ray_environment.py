"""The environment of Ray Tune: it sees this one's packages, and has Ray on top of them."""

import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENT = "ray[tune]>=2.40"


def ray_python(folder: Path) -> Path | None:
    """Return the interpreter of the environment in `folder`, None if there is none."""
    python = folder.absolute() / "bin" / "python"
    return python if python.exists() else None


def install_ray(folder: Path) -> str | None:
    """Make the environment in `folder` unless it is there; return why it cannot be made, None if it can."""
    python = ray_python(folder)
    if python is None:
        venv.create(folder, with_pip=False)
        python = ray_python(folder)
        assert python is not None
        packages = [entry for entry in sys.path if entry.endswith("site-packages")]
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "shared.pth").write_text("\n".join(packages) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines() or ["no output"]
    return None if done.returncode == 0 else f"{REQUIREMENT} cannot be installed in {folder}: {lines[-1]}"
