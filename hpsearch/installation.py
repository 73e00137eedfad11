"""How this installation of hpsearch gets an extra of its own."""

import json
import os
import shlex
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_command(extra: str) -> str:
    """Return the command that installs an extra into this environment: `.venv/bin/pip install '.[dashboard]'`.

    If hpsearch was installed from a folder, such as a clone, it is installed from there again: an index may not have
    it. Paths are relative to the current folder if they are below it.
    """
    pip = Path(sys.executable).with_name("pip")
    program = shlex.quote(_shown(pip)) if pip.exists() else f"{shlex.quote(sys.executable)} -m pip"
    return f"{program} install {shlex.quote(f'{_source()}[{extra}]')}"


def _source() -> str:
    """Return the requirement without extras: the folder of an installation from a folder, else the name."""
    try:
        # https://packaging.python.org/en/latest/specifications/direct-url/
        origin = json.loads(metadata.distribution("hpsearch").read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        origin = {}
    if "dir_info" not in origin:
        return "hpsearch"
    return _shown(Path(url2pathname(urlsplit(origin["url"]).path)))


def _shown(path: Path) -> str:
    here = Path.cwd()
    shown = str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
    return shown.replace(os.sep, "/")
