"""Bad input gets a clear error on stderr and the exit code 1, word for word, and nothing is stored."""

import os
import re
import shutil
import socket
import sqlite3
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import hpsearch
from hpsearch.errors import HpsearchError
from hpsearch.installation import install_command
from hpsearch.worker.capacity import check_memory, job_of, workers_that_fit
from hpsearch.worker.preparation import prepare_file

Command = Callable[..., CompletedProcess[str]]

DATA = '[data]\nsource = "iris"\n'


def refused(ended: CompletedProcess[str]) -> str:
    """Return the message of a command that was refused."""
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: ")
    return ended.stderr.removeprefix("Error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("name = ", ['line 1, column 8: must be TOML (got "name ="): Invalid value']),
        (
            "",
            [
                'name: must be given: name = "..." at the top',
                (
                    "data.source: must be given: one of digits, "
                    "breast_cancer, wine, iris, diabetes, mnist, or a path"
                ),
            ],
        ),
        (
            f'name = "x"\n{DATA}[training]\noptimiser = "sgd"\n',
            ['training.optimiser: unknown key; did you mean "optimizer"?'],
        ),
        (
            f'name = "x"\ntrials = 1\ntrials = 2\n{DATA}',
            ["line 3, column 11: the key trials is given twice: keep one"],
        ),
        (
            (
                f'name = "x"\n{DATA}[search]\nlearning_rate = {{ low = 1.0, high = 0.1 }}\n'
                "weight_decay = { low = 0.0, high = 1.0, log = true }\n"
            ),
            [
                "search.learning_rate.low: must be below high, which is 0.1 (got 1.0): swap them",
                "search.weight_decay.low: must be above 0 on a log scale (got 0.0)",
            ],
        ),
        (
            (f'name = "x"\n{DATA}[search]\n"training.batch_size" = {{ low = 150, high = 200 }}\n'),
            [
                "search.training.batch_size.high: must be at most the 120 training examples (got 200): lower it"
            ],
        ),
        (
            'name = "x"\nmetric = "validation_accuracy"\ndata = { source = "diabetes" }\n',
            [
                (
                    "metric: must be one of validation_loss, rmse, mae, r2 in regression "
                    '(got "validation_accuracy"): change it, '
                    'or set data.task = "classification"'
                )
            ],
        ),
    ],
    ids=[
        "no TOML",
        "empty",
        "unknown key",
        "repeated key",
        "ranges",
        "batch too large",
        "metric of another task",
    ],
)
def test_a_study_file_says_all_its_problems(command: Command, text: str, problems: list[str]) -> None:
    """An unusable study file is named, and all its errors, each with its position."""
    Path("x.toml").write_text(text)
    head = f"x.toml: {len(problems)} problem{'' if len(problems) == 1 else 's'}"
    for arguments in (
        ("study", "create", "x.toml"),
        ("study", "create", "x.toml", "--dry-run"),
        ("study", "run", "x.toml"),
    ):
        assert refused(command(*arguments)).split("\n  ") == [head, *problems]
    assert not Path("default.db").exists()


def test_a_study_file_must_exist(command: Command) -> None:
    """A study file that is missing is named."""
    message = "nothere.toml: 1 problem\n  file: must exist (got nothere.toml): check the path"
    assert refused(command("study", "run", "nothere.toml")) == message


@pytest.mark.parametrize("target", ["", "studies/digits"])
def test_what_is_neither_file_nor_study_is_told(
    command: Command, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """If there is no database yet, the error names the missing file, not the database."""
    monkeypatch.delenv("HPSEARCH_STORAGE")
    Path("studies").mkdir()
    assert refused(command("study", "run", target)) == (
        f'"{target}": must be a study file or a stored study (got neither, and no database): check the path'
    )


def test_a_target_too_long_for_a_file_is_told(
    command: Command, study_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that no file can have is reported as a missing study, not as a bug."""
    target = "x" * 300
    assert command("study", "create", str(study_file)).returncode == 0
    assert refused(command("study", "run", target)).startswith(f'study "{target}": ')
    monkeypatch.delenv("HPSEARCH_STORAGE")
    assert refused(command("study", "run", target)) == (
        f'"{target}": must be a study file or a stored study (got neither, and no database): check the path'
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            None,
            'data.source: the file must exist (got "data.csv", that is {here}/data.csv): correct the path',
        ),
        ("", "{here}/data.csv: a data file must hold something (got 0 bytes): give it data"),
        (
            "a,b\n1,0\n1,2,1\n",
            "{here}/data.csv: line 3: every row must have 2 cells, as the first has (got 3): correct the row",
        ),
        (
            "a,b\n1,0\n2,0\n3,0\n4,0\n5,0\n",
            (
                '{here}/data.csv: there must be at least two classes (got "0" alone, in all 5 examples): '
                "add examples of another class, or name another target"
            ),
        ),
        (
            "a,b\n1,0\n2,1\n",
            (
                "data.validation_fraction: at least 2 examples must be left for training (got 2 examples, 1 of them "
                "for validation and 0 for test): lower the fractions, or bring more examples"
            ),
        ),
    ],
    ids=["missing", "empty", "ragged", "one class", "all for validation"],
)
def test_data_says_what_is_wrong_with_it(
    command: Command, tmp_path: Path, text: str | None, message: str
) -> None:
    """Unusable data is named, with the position, the rule, the value, and the remedy."""
    Path("x.toml").write_text('name = "x"\ndata = { source = "data.csv" }\n')
    if text is not None:
        Path("data.csv").write_text(text)
    assert refused(command("study", "create", "x.toml")) == message.format(here=tmp_path)
    assert not Path("default.db").exists()


def test_data_that_is_gone_leaves_the_budget(command: Command) -> None:
    """A run that cannot read its data changes nothing, and does not report a change."""
    Path("x.toml").write_text('name = "x"\ntrials = 5\ndata = { source = "data.csv" }\n')
    rows = "".join(f"{i},{i % 2}\n" for i in range(200))
    Path("data.csv").write_text(f"a,b\n{rows}")
    assert command("study", "create", "x.toml").returncode == 0
    Path("data.csv").unlink()
    message = refused(command("study", "run", "x", "--trials", "25"))
    assert message.startswith("data.source: the file must exist (got ")
    assert '"trials": 5,' in command("study", "show", "x", "--format", "json").stdout


def test_a_fraction_must_leave_examples(command: Command) -> None:
    """Fractions that leave too little data for validation are reported before data is read."""
    Path("x.toml").write_text(
        'name = "x"\n[data]\nsource = "iris"\nvalidation_fraction = 0.6\ntest_fraction = 0.4\n'
    )
    assert refused(command("study", "create", "x.toml")) == (
        "x.toml: 1 problem\n  data.test_fraction: must leave examples to train on after the validation fraction 0.6 "
        "(got 0.4): lower one of them"
    )


def test_a_taken_name_is_told_with_the_difference(command: Command, finished: str, study_file: Path) -> None:
    """Another study under a stored name is refused with the difference and the remedy; nothing is changed."""
    before = command("study", "show", finished, "--format", "json").stdout
    study_file.write_text(study_file.read_text().replace("epochs = 3", "epochs = 4"))
    for verb in ("create", "run"):
        assert refused(command("study", verb, str(study_file))) == (
            'study "flowers": exists with another specification: training.epochs is 3 there (got 4): '
            "make them equal, choose another name, or delete that study: --name OTHER gives this one another name"
        )
    assert command("study", "show", finished, "--format", "json").stdout == before
    assert command("study", "create", str(study_file), "--name", "other").returncode == 0


EXAMPLES = "give a URL such as sqlite:///storage/hpsearch.db, postgresql://user@host/database or mysql://user@host/database"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", f'storage: must be a database URL (got "nonsense"): {EXAMPLES}'),
        (
            "sqlite://",
            (
                "sqlite://: must be a file, because workers share it (got a database in memory): "
                "give a URL such as sqlite:///storage/hpsearch.db"
            ),
        ),
        (
            "oracle://ann:s3cret@host/d",
            (
                'oracle://ann:***@host/d: the database must be sqlite, postgresql, mysql or mariadb (got "oracle"): '
                f"{EXAMPLES}"
            ),
        ),
        (
            "postgresql+asyncpg://ann:s3cret@host/d",
            (
                "postgresql+asyncpg://ann:***@host/d: the driver must be psycopg or psycopg2 "
                '(got "asyncpg"): leave it out, as in postgresql://...'
            ),
        ),
        (
            "sqlite://x.db",
            "sqlite://x.db: the path of an SQLite file must follow three slashes (got two): write sqlite:///x.db",
        ),
        (
            "sqlite:////dev/null",
            "sqlite:////dev/null: must be a file (got a device): give the path of another one",
        ),
        (
            f"sqlite:///{'x' * 300}",
            f"sqlite:///{'x' * 300}: cannot be accessed (File name too long): give a shorter one",
        ),
        (
            "sqlite:///nothere.db",
            "sqlite:///nothere.db: there is no such file (got nothere.db): create a study first, or check the path",
        ),
    ],
)
def test_a_database_that_cannot_be_is_told(command: Command, url: str, message: str) -> None:
    """A URL of an unusable database is shown, without its password, with valid alternatives."""
    for arguments in (
        ("study", "list"),
        ("storage", "check"),
        ("study", "run", "flowers"),
        ("report", "flowers"),
    ):
        assert refused(command(*arguments, "--storage", url)) == message


def test_a_missing_driver_is_told_with_its_installation(command: Command) -> None:
    """The error for a URL without its driver names the driver and how to install it."""
    if find_spec("MySQLdb") is not None:
        pytest.skip("MySQLdb is installed here")
    assert refused(command("study", "list", "--storage", "mysql+mysqldb://ann:s3cret@host/d")) == (
        "mysql+mysqldb://ann:***@host/d: needs the driver mysqldb, which is not installed: "
        f"write mysql://... and {install_command('mysql')}, or install mysqldb"
    )


def test_a_database_that_does_not_answer_is_told(command: Command) -> None:
    """An unreachable server is reported with its address, and without the password."""
    pytest.importorskip("psycopg", reason="needs the extra `postgres`")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        message = refused(
            command("study", "list", "--storage", f"postgresql+psycopg://ann:s3cret@127.0.0.1:{port}/d")
        )
    assert message == (
        f"postgresql+psycopg://ann:***@127.0.0.1:{port}/d: the server does not answer (connection refused): "
        "check that it runs, its host and its port"
    )


def test_a_file_that_is_no_database_is_left_alone(command: Command, study_file: Path) -> None:
    """A file of another kind is refused and keeps its contents."""
    before = study_file.read_bytes()
    message = refused(command("study", "create", str(study_file), "--storage", f"sqlite:///{study_file}"))
    assert message == (
        f"sqlite:///{study_file}: must be an SQLite database, of at least 512 bytes (got {len(before)}): "
        "give the path of another file, or of none"
    )
    assert study_file.read_bytes() == before


def test_a_newer_schema_is_left_alone(command: Command, finished: str, tmp_path: Path) -> None:
    """A database that a newer hpsearch wrote is refused, and not touched."""
    with sqlite3.connect(tmp_path / "default.db") as connection:
        connection.execute("UPDATE hpsearch_alembic_version SET version_num = '0999'")
    connection.close()
    before = shutil.copy(tmp_path / "default.db", tmp_path / "before.db")
    url = f"sqlite:///{tmp_path / 'default.db'}"
    assert refused(command("study", "show", finished)) == (
        f"{url}: its hpsearch tables must be of version 0005 (got 0999, newer): "
        f"use a newer hpsearch than {hpsearch.__version__}"
    )
    assert (tmp_path / "default.db").read_bytes() == Path(before).read_bytes()


def test_a_source_that_is_meant_otherwise_is_suggested(command: Command) -> None:
    """`data show` names the nearest source."""
    assert refused(command("data", "show", "digit")) == (
        'data.source: must be a built-in name, or a file or folder (got "digit"): did you mean "digits"?'
    )


@pytest.mark.parametrize(
    ("arguments", "label"),
    [
        (("study", "run", "flowers", "--report"), "report"),
        (("report", "flowers", "--output"), "--output"),
        (("trial", "replay", "flowers", "0", "--output"), "--output"),
    ],
)
def test_a_report_needs_a_folder(
    command: Command, finished: str, arguments: tuple[str, ...], label: str
) -> None:
    """A report that cannot be written is reported before any work, under the name of its option."""
    assert refused(command(*arguments, "nowhere/report.html")) == (
        f"{label}: its folder must exist (got nowhere): make it, or name another file"
    )
    assert (
        refused(command(*arguments, ".")) == f"{label}: must be a file (got the folder .): name a file in it"
    )


@pytest.mark.parametrize("made", ["folder", "pipe"])
def test_what_is_no_study_file_is_no_study_to_run(command: Command, made: str) -> None:
    """`study run` reports that a folder and a pipe are no study file, and does not wait for a writer."""
    if made == "folder":
        Path("place").mkdir()
    else:
        os.mkfifo("place")
    ended = command("study", "run", "place")
    assert (ended.returncode, ended.stdout) == (1, "")
    rule = {"folder": "must be a file (got the folder place)", "pipe": "must be a regular file (got the pipe"}
    assert f"  file: {rule[made]}" in ended.stderr


def test_changed_data_is_refused(command: Command, tmp_path: Path) -> None:
    """A stored study does not continue with data other than the data it was created with."""
    rows = "\n".join(f"{i},{i % 2}" for i in range(40))
    Path("data.csv").write_text(f"a,b\n{rows}\n")
    Path("x.toml").write_text('name = "x"\ndata = { source = "data.csv" }\ntraining.batch_size = 10\n')
    assert command("study", "create", "x.toml").returncode == 0
    Path("data.csv").write_text(f"a,b\n{rows.replace('39,1', '39,0')}\n")
    message = refused_with_notes(command("study", "run", "x"))
    assert message.startswith('study "x": its data has the fingerprint ')
    assert message.endswith(
        f" from {tmp_path / 'data.csv'}): restore the data that the study was created with, or create another study"
    )
    message = refused_with_notes(command("worker", "start", "--study", "x", "--exit-when-idle"))
    assert message.startswith('study "x": its data has the fingerprint ')


def refused_with_notes(ended: CompletedProcess[str]) -> str:
    """Return the message of a command that was refused after its first notes."""
    assert (ended.returncode, ended.stdout) == (1, "")
    _, found, message = ended.stderr.partition("Error: ")
    assert found
    return message.rstrip("\n")


def test_a_study_of_another_major_version_is_refused(
    command: Command, study_file: Path, tmp_path: Path
) -> None:
    """Trials of another major version may have other numbers, so no worker trains them; the error has both versions."""
    assert command("study", "create", str(study_file)).returncode == 0
    with sqlite3.connect(tmp_path / "default.db") as connection:
        connection.execute("UPDATE hpsearch_studies SET hpsearch_version = '7.2.1'")
    connection.close()
    message = (
        'study "flowers": was made by hpsearch 7.2.1, and its trials must be trained by hpsearch 7 '
        f"(got {hpsearch.__version__}): use that version"
    )
    for arguments in (
        ("worker", "start", "--study", "flowers"),
        ("study", "run", "flowers", "--workers", "1"),
    ):
        assert refused_with_notes(command(*arguments)) == message
    assert command("study", "show", "flowers").returncode == 0


def test_another_fingerprint_is_refused(command: Command, study_file: Path, tmp_path: Path) -> None:
    """A study on other data than the local data is refused with both fingerprints."""
    assert command("study", "create", str(study_file)).returncode == 0
    with sqlite3.connect(tmp_path / "default.db") as connection:
        (fingerprint,) = connection.execute("SELECT fingerprint FROM hpsearch_studies").fetchone()
        connection.execute("UPDATE hpsearch_studies SET fingerprint = 'feedbeef'")
    connection.close()
    told = f'study "flowers": its data has the fingerprint feedbeef (got {fingerprint} from '
    assert refused_with_notes(command("worker", "start", "--study", "flowers")).startswith(told)
    assert refused_with_notes(command("study", "run", "flowers")).startswith(told)


def test_a_network_without_room_is_refused(command: Command) -> None:
    """A network that this machine's memory cannot hold is refused before anything starts; it may be stored."""
    Path("x.toml").write_text(f'name = "x"\n{DATA}[model]\nhidden = [{", ".join(["100000"] * 50)}]\n')
    for arguments in (
        ("study", "create", "x.toml", "--dry-run"),
        ("study", "run", "x.toml"),
        ("diagnose", "x.toml"),
    ):
        message = refused(command(*arguments))
        rule, got, remedy = re.split(r" \(got |\): ", message)
        assert rule.startswith("x: 1 problem\n  model.hidden: one trial must fit into the available memory, ")
        assert got == "5.4 TiB of parameters, gradients and a minibatch"
        assert remedy.startswith("give it fewer units or a smaller training.batch_size, or ")
    assert not Path("default.db").exists()
    assert command("study", "create", "x.toml").returncode == 0
    for arguments in (("study", "run", "x"), ("worker", "start", "--study", "x")):
        assert "one trial must fit into the available memory" in refused_with_notes(command(*arguments))


def test_a_cohort_without_room_is_refused(command: Command, study_file: Path) -> None:
    """More trials at once than fit into memory are refused, with the memory that one needs."""
    rows = str(2**31 - 1)
    message = refused(command("study", "run", str(study_file), "--cohort", rows))
    assert message.startswith(f"--cohort: {rows} trials at once must fit into the available memory, ")
    assert message.endswith(" a trial): lower it")


def test_workers_without_room_are_refused(command: Command, tmp_path: Path) -> None:
    """Workers share the memory: more than fit are refused, and by default fewer are started."""
    Path("x.toml").write_text(f'name = "x"\n{DATA}[model]\nhidden = [10000, 10000]\n')
    message = refused(command("study", "run", "x.toml", "--workers", "1000"))
    rule = "--workers: 1000 workers that train one trial each must fit into the available memory, "
    assert message.startswith(rule)
    assert message.endswith(" a trial): lower it")
    job = job_of(prepare_file(tmp_path / "x.toml"))
    fitting = workers_that_fit(job, 1000)
    check_memory(job, workers=fitting)
    with pytest.raises(HpsearchError, match="--workers"):
        check_memory(job, workers=fitting + 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "list", "--format", "yaml"), "'--format': must be one of table, json, csv (got yaml)"),
        (("study", "run", "x", "--workers", "1001"), "'--workers': must be at most 1000 (got 1001)"),
        (("study", "run", "x", "--trials", "1.5"), "'--trials': must be a whole number (got 1.5)"),
        (("dashboard", "--port", "-1"), "'--port': must be at least 0 (got -1)"),
        (("report", "x", "--output", "a\0b"), "'--output': must have no NUL character (got a"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(
    command: Callable[..., CompletedProcess[str]], arguments: tuple[str, ...], message: str
) -> None:
    """Rules of the command line have the wording of study files, not that of a library."""
    ended = command(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"Error: Invalid value for {message}" in ended.stderr
    assert "Input should" not in ended.stderr
