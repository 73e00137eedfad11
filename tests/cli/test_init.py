"""`hpsearch init`, and examples by their names."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from hpsearch.study.files import example_files

Command = Callable[..., CompletedProcess[str]]


def test_examples_are_copied_once(command: Command) -> None:
    """`init` writes every example, and overwrites none that was changed."""
    count = len(example_files())
    assert command("init").stdout == (
        f"studies: {count} study files written\nNext: hpsearch study run studies/digits.toml\n"
    )
    changed = Path("studies/digits.toml")
    changed.write_text("# mine")
    Path("studies/mnist.toml").unlink()
    again = command("init")
    assert again.stdout.startswith(f"studies: 1 study files written, {count - 1} existed and are unchanged\n")
    assert changed.read_text() == "# mine"
    assert Path("studies/mnist.toml").read_bytes() == example_files()["mnist"].read_bytes()


def test_a_folder_that_cannot_be_made_is_refused(command: Command) -> None:
    """A file at the path of the folder is an error that the user can fix."""
    Path("there").write_text("")
    ended = command("init", "there")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: FOLDER: must be a folder that can be written (got there: ")


@pytest.mark.parametrize("words", [("study", "create"), ("study", "run"), ("diagnose",)])
def test_an_example_runs_by_its_name(command: Command, words: tuple[str, ...]) -> None:
    """The name of an example can replace a study file."""
    options = {"create": ["--dry-run"], "run": ["--trials", "1"], "diagnose": ["--set", "learning_rate=30"]}
    ended = command(*words, "digits", *options[words[-1]])
    assert ended.returncode == 0
    assert "digits" in ended.stdout


def test_a_stored_study_goes_before_an_example(command: Command, study_file: Path) -> None:
    """`study run NAME` runs the stored study of that name, if there is one."""
    assert command("study", "create", str(study_file), "--name", "digits").returncode == 0
    ended = command("study", "run", "digits", "--trials", "1")
    assert 'Study "digits": the budget is 1 trial now (it was 12)' in ended.stderr + ended.stdout


def test_a_table_gets_a_study_file(command: Command) -> None:
    """`init TABLE` writes a study file that `study create --dry-run` accepts, and its options are for tables only."""
    Path("t.csv").write_text("x,y\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(40)))
    made = command("init", "t.csv", "--output", "mine.toml")
    assert made.stdout == (
        "mine.toml: written\n"
        "  target: y, by its name\n"
        "  task: classification, 2 classes\n"
        "Next: hpsearch study run mine.toml\n"
    )
    assert command("study", "create", "mine.toml", "--dry-run").returncode == 0
    again = command("init", "t.csv", "--output", "mine.toml")
    assert (again.returncode, again.stderr) == (
        2,
        "Error: --output: must be a new file (got mine.toml, which exists): add --force, or name another\n",
    )
    assert command("init", "studies", "--force").returncode == 2
