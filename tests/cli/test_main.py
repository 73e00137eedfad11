"""The boundary: each way in which a command can end has its exit code and its message."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer.main

import hpsearch
from hpsearch.cli import output
from hpsearch.cli.main import app

Command = Callable[..., CompletedProcess[str]]

HEAVY = (
    "alembic",
    "numpy",
    "optuna",
    "pandas",
    "plotly",
    "rich",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "threadpoolctl",
)

FAULTY = """
import signal, sys
from hpsearch.cli import main

@main.app.command()
def fault() -> None:
    raise RuntimeError("boom at postgresql://ann:my s3cret@host/d")

@main.app.command()
def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)

sys.argv[0] = "hpsearch"
main.run()
"""


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the words and the command of every command below `group`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(leaves(typer.main.get_command(app)))


def run_faulty(*arguments: str) -> CompletedProcess[str]:
    """Run the real boundary with two additional commands, which fail."""
    command = [sys.executable, "-c", FAULTY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_version_is_the_packages(command: Command) -> None:
    """`--version` prints the version of the package and nothing else."""
    ended = command("--version")
    assert (ended.returncode, ended.stdout) == (0, f"hpsearch {hpsearch.__version__}\n")


def test_the_module_is_the_command() -> None:
    """`python -m hpsearch` is `hpsearch`."""
    command = [sys.executable, "-m", "hpsearch", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == f"hpsearch {hpsearch.__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("study", "run"), ("worker", "start"), ("data", "list")])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    """Help loads none of the heavy libraries."""
    code = (
        "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
        "sys.argv[0] = 'hpsearch'; from hpsearch.cli.main import run; run()"
    )
    command = [sys.executable, "-c", code, *arguments, "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith(f"Usage: hpsearch {' '.join(arguments)}".strip())
    assert {module.partition(".")[0] for module in ended.stderr.split()} & set(HEAVY) == set()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_teaches_by_an_example(command: Command, words: tuple[str, ...]) -> None:
    """Each command's help has an example of that command, on one line, which its own parser accepts."""
    helped = command(*words, "--help").stdout
    examples = re.findall(r"^  Example: hpsearch (.*)$", helped, flags=re.MULTILINE)
    assert len(examples) == 1
    arguments = shlex.split(examples[0])
    assert tuple(arguments[: len(words)]) == words
    COMMANDS[words].make_context("hpsearch", arguments[len(words) :])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_numbers_of_options_are_bounded(words: tuple[str, ...]) -> None:
    """A number of 27 digits is wrong usage in every command, and never reaches a database."""
    numbers = [option for option in COMMANDS[words].params if option.bare_type() in (int, float)]
    assert [option.name for option in numbers if option.max is None] == []


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("create",), "'hpsearch study create'"),
        (("study", "replay"), "'hpsearch trial replay'"),
        (("study", "dashboard"), "'hpsearch dashboard'"),
        (("trial", "list"), "'hpsearch study list' or 'hpsearch worker list' or 'hpsearch data list'"),
        (("stdy",), "'study'"),
    ],
)
def test_an_unknown_command_gets_the_one_that_was_meant(
    command: Command, arguments: tuple[str, ...], meant: str
) -> None:
    """A verb without its noun, or after another noun, causes an error with the whole command."""
    ended = command(*arguments)
    assert ended.returncode == 2
    assert ended.stderr.endswith(f"Error: No such command '{arguments[-1]}'. Did you mean {meant}?\n")


@pytest.mark.parametrize("words", sorted({words[:-1] for words in COMMANDS}), ids=" ".join)
def test_lists_of_commands_show_whole_sentences(command: Command, words: tuple[str, ...]) -> None:
    """The first sentence about a command is never cut."""
    helped = command(*words, "--help").stdout
    assert "..." not in helped.partition("Commands:")[2]


def test_the_readme_documents_eleven_commands(repository: Path) -> None:
    """The README's table has eleven commands, and each exists."""
    rows = re.findall(
        r"^\| `hpsearch ([a-z][a-z ]*[a-z])", (repository / "README.md").read_text(), flags=re.MULTILINE
    )
    assert len(rows) == 11
    assert [row for row in rows if tuple(row.split()) not in COMMANDS] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["study", "show"], "Missing argument 'NAME'"),
        (["run", "digits"], "SCRIPT.py: must be a Python program (got digits)"),
        (["study", "best", "flowers", "--count", "0"], "--count"),
        (["study", "list", "--format", "xml"], "--format"),
        (["study", "edit", "flowers", "--priority", "9999999999"], "--priority"),
        (["trial", "show", "flowers", "9999999999"], "NUMBER"),
        (
            ["study", "run", "flowers", "--name", "other"],
            '--name: is for study files (got the stored study "flowers")',
        ),
    ],
)
def test_wrong_usage_ends_with_2(command: Command, arguments: list[str], message: str) -> None:
    """A wrong command line ends with 2 and an error on stderr only."""
    ended = command(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr


def test_what_the_user_can_put_right_ends_with_1(command: Command, finished: str) -> None:
    """An error of the user's ends with 1, in one line without a traceback."""
    ended = command("study", "show", "flower")
    assert ended.returncode == 1
    assert ended.stderr == 'Error: study "flower": there is no such study: did you mean flowers?\n'


def test_a_fault_of_ours_ends_with_3(tmp_path: Path) -> None:
    """A fault ends with 3 and a crash file with the needed details, and no password."""
    (tmp_path / "storage").mkdir()
    ended = run_faulty("fault", "--storage", "mysql://ann:'s3cret@host/d")
    assert ended.returncode == 2  # an unknown option is no fault
    ended = run_faulty("fault")
    assert (ended.returncode, ended.stdout) == (3, "")
    (crash,) = (tmp_path / "storage").glob("hpsearch-crash-*.txt")
    assert ended.stderr == (
        f"Error: this is a bug in hpsearch (RuntimeError: boom at postgresql://ann:***@host/d): see {crash}\n"
    )
    text = crash.read_text()
    for part in (
        f"hpsearch {hpsearch.__version__}",
        "hpsearch fault",
        sys.version.split()[0],
        "Traceback",
        "in fault",
    ):
        assert part in text
    assert "s3cret" not in text + ended.stderr


AFTER_ANOTHER = FAULTY.replace(
    "main.run()",
    """
import contextlib, sqlite3

def run(*arguments):
    sys.argv[1:] = arguments
    with contextlib.suppress(SystemExit):
        main.run()

run("init")
run("study", "create", "studies/digits.toml", "--storage", "sqlite:///old.db")
with contextlib.closing(sqlite3.connect("old.db")) as connection, connection:
    connection.execute("UPDATE hpsearch_studies SET budget = -1")
run("study", "list", "--storage", "mysql://ann@127.0.0.1:9/d")
run("study", "list", "--storage", "sqlite:///old.db")
sys.argv[1:] = ["fault"]
main.run()
""",
)
"""Commands in one process: one with an unreachable server, one on a damaged database, and one that fails."""


def test_a_fault_is_not_explained_by_another_command() -> None:
    """Unreachable or damaged databases of earlier commands are not reported as the reason of a later failure."""
    ended = subprocess.run([sys.executable, "-c", AFTER_ANOTHER], capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    *_, before, last = ended.stderr.splitlines()
    assert "the server does not answer" in before
    assert last.startswith("Error: this is a bug in hpsearch (RuntimeError: boom at ")


def test_a_crash_file_leaves_the_users_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is no `storage/`, a crash file goes to the folder for temporary files."""
    elsewhere = tmp_path / "temporary"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    assert run_faulty("fault").returncode == 3
    assert [path.parent for path in tmp_path.rglob("hpsearch-crash-*.txt")] == [elsewhere]


def test_an_interruption_ends_with_130() -> None:
    """Ctrl-C ends with 130, without a traceback."""
    ended = run_faulty("interrupt")
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_reader_that_leaves_is_no_error() -> None:
    """If stdout is no longer read (`| head`), a command ends silently."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "hpsearch", "data", "list"]
    with os.fdopen(writing, "wb") as stdout:
        ended = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert ended.stderr == b""


@pytest.mark.parametrize("arguments", [("data", "list"), ("data", "list", "--format", "csv"), ("--version",)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, unbuffered: str, arguments: tuple[str, ...]
) -> None:
    """If the results cannot be written, the command reports that once, even if it notices late."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    command = [sys.executable, "-m", "hpsearch", *arguments]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        "Error: stdout: must accept the results (got No space left on device): make room, or write them elsewhere\n",
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(tmp_path: Path, closed: str) -> None:
    """Output to a closed stream is dropped: an error is not a result, and no file gets the stream's number."""
    study = tmp_path / "x.toml"
    study.write_text('name = "x"\ndata = { source = "iris" }\ntraining = { batch_size = 10 }\n')
    for arguments, code in ((("study", "create", str(study)), 0), (("study", "show", "nothing"), 1)):
        command = shlex.join([sys.executable, "-m", "hpsearch", *arguments])
        ended = subprocess.run(
            ["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, check=False
        )
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr
        assert ("Error" in ended.stdout, "Error" in ended.stderr) == (False, code == 1 and "2>" not in closed)


def test_a_run_goes_on_without_its_readers(tmp_path: Path) -> None:
    """A log on a full disk and a reader that ended do not stop training: results and report are written."""
    study, url = tmp_path / "x.toml", f"sqlite:///{tmp_path}/x.db"
    study.write_text('name = "x"\ntrials = 2\ndata = { source = "iris" }\ntraining = { epochs = 2 }\n')
    run = [
        sys.executable,
        "-u",
        "-m",
        "hpsearch",
        "study",
        "run",
        str(study),
        "--workers",
        "1",
        "--storage",
        url,
    ]
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shlex.join(run)} 2>/dev/full | head -1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "x: Finished: 2 of 2 trials.\n")
    assert (tmp_path / "reports" / "x.html").exists()


def test_every_text_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that lacks a character gets another one instead of a fault."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    command = [sys.executable, "-m", "hpsearch", "study", "show", "größer"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(command: Command, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    """There is a completion script for the shells that people use."""
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ended = command("--show-completion", shell)
    assert ended.returncode == 0
    assert "_HPSEARCH_COMPLETE" in ended.stdout


def test_names_of_studies_complete(command: Command, finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell completes the names of stored studies, and gets nothing if there is no database."""
    monkeypatch.setenv("_HPSEARCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "hpsearch study show fl")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert command().stdout.split() == [finished]
    monkeypatch.setenv("HPSEARCH_STORAGE", "sqlite:///nowhere.db")
    assert command().stdout.split() == []


def test_long_tables_look_like_short_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many rows are written without Rich, with identical text, including wide letters and empty cells."""
    rows = [(f"näme {n}", "", str(n * 7), "漢字" * (n % 4)) for n in range(output._MANY_ROWS)]
    output.write_table(("study", "note", "best", "wide"), rows, right=frozenset({"best"}))
    plain = capsys.readouterr().out
    monkeypatch.setattr(output, "_MANY_ROWS", len(rows) + 1)
    output.write_table(("study", "note", "best", "wide"), rows, right=frozenset({"best"}))
    assert plain == capsys.readouterr().out
