"""Run the command line in this process, through the real boundary, and provide a finished study."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hpsearch.cli import main

STUDY = """
name = "flowers"
trials = 12
seed = 3
data = { source = "iris" }

[training]
epochs = 3
batch_size = 20

[search]
learning_rate = { low = 1e-7, high = 1e6, log = true }
weight_decay = { low = 1e-8, high = 1e-1, log = true }
"model.activation" = { choices = ["relu", "tanh"] }
"""


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Return a function that runs `hpsearch` with arguments in this process and returns its result."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["hpsearch", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main.run()
        written = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return CompletedProcess(arguments, end.value.code, written.out, written.err)

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def study_file() -> Path:
    """Return a study file in the current folder: 12 trials on iris, of which some die."""
    path = Path("flowers.toml")
    path.write_text(STUDY)
    return path


@pytest.fixture
def finished(
    command: Callable[..., CompletedProcess[str]],
    study_file: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Return the name of a finished study in the default database. It is run once and then copied."""
    kept = tmp_path_factory.getbasetemp() / "finished.db"
    if not kept.exists():
        assert command("study", "create", str(study_file)).returncode == 0
        ended = command("worker", "start", "--study", "flowers", "--exit-when-idle", "--cohort", "2")
        assert (ended.returncode, ended.stdout) == (0, "")
        shutil.copy(tmp_path / "default.db", kept)
    else:
        shutil.copy(kept, tmp_path / "default.db")
    return "flowers"
