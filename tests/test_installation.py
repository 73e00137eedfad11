"""The command that installs an extra into the environment that prints it."""

import sys
from importlib import metadata
from pathlib import Path

import pytest

from hpsearch.installation import install_command


class Distribution:
    """An installed package whose `direct_url.json` has this text."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def read_text(self, _name: str) -> str | None:
        """Return the text."""
        return self.text


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        (None, "'hpsearch[images]'"),
        ('{"url": "https://example.org/hpsearch.whl", "archive_info": {}}', "'hpsearch[images]'"),
        ('{"url": "file:///a%20clone", "dir_info": {}}', "'/a clone[images]'"),
        ('{"url": "file:///a", "dir_info": {"editable": true}}', "'/a[images]'"),
    ],
)
def test_an_extra_comes_from_where_the_package_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, shown: str
) -> None:
    """A package from a folder is installed from there again, any other by its name."""
    monkeypatch.setattr(metadata, "distribution", lambda _: Distribution(origin))
    assert install_command("images").endswith(f" install {shown}")


def test_paths_below_the_current_folder_are_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a clone with an environment of its own, the command is the one that its reader would type."""
    origin = f'{{"url": "{tmp_path.as_uri()}", "dir_info": {{}}}}'
    monkeypatch.setattr(metadata, "distribution", lambda _: Distribution(origin))
    pip = tmp_path / ".venv/bin/pip"
    pip.parent.mkdir(parents=True)
    pip.touch()
    monkeypatch.setattr(sys, "executable", str(pip.with_name("python")))
    monkeypatch.chdir(tmp_path)
    assert install_command("dashboard") == ".venv/bin/pip install '.[dashboard]'"


def test_an_environment_without_pip_is_told_the_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the program `pip`, the command names the interpreter of the environment."""
    monkeypatch.setattr(metadata, "distribution", lambda _: Distribution(None))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert install_command("gp") == f"{tmp_path}/python -m pip install 'hpsearch[gp]'"
