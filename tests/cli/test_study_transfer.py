"""`hpsearch study rename`, `copy`, `stop`, `export`, `import`, and `trial enqueue`."""

import json
import re
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from hpsearch.storage.store import open_store

Command = Callable[..., CompletedProcess[str]]


def shown(ended: CompletedProcess[str]) -> Any:
    """Return the JSON of a command."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def trials_of(command: Command, name: str) -> Any:
    """Return all trials of a study."""
    return shown(command("study", "trials", name, "--format", "json"))


def test_a_name_is_changed(command: Command, finished: str) -> None:
    """The study has its new name, and keeps all its data."""
    before = trials_of(command, finished)
    ended = command("study", "rename", finished, "roses and lilies")
    assert (ended.returncode, ended.stdout) == (0, 'Study "flowers": renamed to "roses and lilies"\n')
    assert trials_of(command, "roses and lilies") == before
    assert command("study", "show", finished).returncode == 1
    assert command("study", "rename", "roses and lilies", "").returncode == 2


def test_a_copy_is_a_study_of_its_own(command: Command, finished: str) -> None:
    """The copy has the trials, continues independently, and needs a free name."""
    ended = command("study", "copy", finished, "twin")
    assert (ended.returncode, ended.stdout) == (0, 'Study "flowers": copied to "twin" with 12 trials\n')
    before = trials_of(command, finished)
    assert trials_of(command, "twin") == before
    assert command("study", "delete", "twin", "--yes").returncode == 0
    assert trials_of(command, finished) == before
    taken = command("study", "copy", finished, finished)
    assert (taken.returncode, taken.stdout) == (1, "")
    assert "the name must be free (a study has it): choose another name" in taken.stderr


def test_a_study_ends_early(command: Command, finished: str) -> None:
    """The budget becomes the number of finished trials; a study without any trial is not ended."""
    assert command("study", "edit", finished, "--trials", "100").returncode == 0
    ended = command("study", "stop", finished)
    assert (ended.returncode, ended.stdout) == (
        0,
        'Study "flowers": ends with 12 trials (its budget was 100)\n',
    )
    assert shown(command("study", "show", finished, "--format", "json"))["state"] == "finished"
    assert command("study", "create", "flowers.toml", "--name", "fresh").returncode == 0
    assert command("study", "stop", "fresh").returncode == 1


def test_nothing_to_stop_is_said(command: Command, finished: str, tmp_path: Path) -> None:
    """A study that is finished, or has begun all of its budget, has nothing to stop; its budget stays."""
    nothing = 'Study "flowers": is finished, 12 of 12 trials: there is nothing to stop\n'
    assert command("study", "stop", finished).stdout == nothing
    assert command("study", "edit", finished, "--trials", "13").returncode == 0
    with open_store(f"sqlite:///{tmp_path / 'default.db'}") as store:
        store.queue.claim(store.studies.get(finished), worker="ann", count=1, lease_s=600.0)
    assert command("study", "stop", finished).stdout == (
        'Study "flowers": has begun all of its 13 trials: there is nothing to stop\n'
        "Still in training, until they end: 1\n"
    )
    assert command("study", "edit", finished, "--trials", "5").returncode == 0
    assert command("study", "stop", finished).stdout.startswith(
        'Study "flowers": is finished, 12 of 5 trials: there is nothing to stop\n'
    )


def test_an_export_is_one_file_and_comes_back(command: Command, finished: str, tmp_path: Path) -> None:
    """A single file holds the whole study, overwrites no file, and is imported completely."""
    assert command("study", "confirm", finished, "--best", "1", "--seeds", "2").returncode == 0
    before = trials_of(command, finished)
    out = tmp_path / "out"
    out.mkdir()
    ended = command("study", "export", finished, "--output", "out/kept.db")
    assert ended.returncode == 0
    assert ended.stdout == 'Study "flowers": 12 trials in out/kept.db, and read back\n'
    assert [file.name for file in out.iterdir()] == ["kept.db"]
    again = command("study", "export", finished, "--output", "out/kept.db")
    assert (again.returncode, again.stdout) == (1, "")
    assert "--output: must be a new file (got out/kept.db, which exists)" in again.stderr
    assert command("study", "import", "out/kept.db").returncode == 1
    assert command("study", "delete", finished, "--yes").returncode == 0
    assert command("study", "import", "out/kept.db", "--study", "other").returncode == 1
    back = command("study", "import", "out/kept.db", "--study", finished)
    assert back.returncode == 0, back.stderr
    assert trials_of(command, finished) == before
    assert command("study", "confirm", finished, "--best", "1", "--seeds", "2").stderr == ""
    assert [file.name for file in out.iterdir()] == ["kept.db"]


def test_an_export_to_a_tracker_has_every_trial(command: Command, finished: str) -> None:
    """Each started trial gets a folder, and the same command again adds nothing."""
    arguments = ("study", "export", finished, "--to", "tensorboard:runs")
    assert command(*arguments).stdout == (
        'Study "flowers": 12 trials in tensorboard:runs (12 added, 0 updated)\n'
    )
    assert (
        command(*arguments).stdout == 'Study "flowers": 12 trials in tensorboard:runs (0 added, 0 updated)\n'
    )
    (value,) = {
        trial["value"] for trial in trials_of(command, finished) if trial["number"] == 0
    }  # as MLflow and TensorBoard call it
    assert (
        value is None
        or struct.pack("<f", value)
        in Path("runs/flowers/trial-0000/events.out.tfevents.hpsearch").read_bytes()
    )


def test_an_export_has_one_target(command: Command, finished: str) -> None:
    """Neither target, both, or an option of the other is a usage error that names what was given."""
    for options, got in (
        ((), "neither"),
        (("--output", "a.db", "--to", "tensorboard:b"), "--output and --to"),
        (("--to", "tensorboard:b", "--include-running"), "--to and --include-running"),
    ):
        ended = command("study", "export", finished, *options)
        assert ended.returncode == 2
        assert f"(got {got})" in ended.stderr


def test_an_export_of_a_damaged_study_is_no_backup(command: Command, finished: str) -> None:
    """It is written unchanged, and the warning has the reason why the import will refuse it."""
    with closing(sqlite3.connect("default.db")) as connection, connection:
        connection.execute("UPDATE hpsearch_studies SET spec = 'null'")
    ended = command("study", "export", finished, "--output", "kept.db")
    assert (ended.returncode, ended.stdout) == (0, 'Study "flowers": 12 trials in kept.db, and read back\n')
    fault = (
        'study "flowers": table hpsearch_studies, column spec, top: must be a specification as JSON; '
        'it must be a JSON object (got null) (got "null")'
    )
    warning, listed = ended.stderr.splitlines()
    assert re.fullmatch(r"Warning: `study import` of hpsearch \S+ will refuse kept.db as it is:", warning)
    assert listed == f"  {fault}"
    back = command("study", "import", "kept.db", "--storage", "sqlite:///other.db")
    assert back.returncode == 1
    assert fault in back.stderr
    assert not Path("other.db").exists()


def test_an_export_makes_no_folder(command: Command, finished: str) -> None:
    """A missing folder may be a typo, and is not created."""
    ended = command("study", "export", finished, "--output", "nodir/x.db")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "Error: --output: its folder must exist (got nodir): make it, or name another file\n"
    )
    assert not Path("nodir").exists()


@pytest.mark.parametrize("output", ["", ".", "/", ".."])
def test_an_export_to_a_folder_is_refused(command: Command, finished: str, output: str) -> None:
    """A path without a file name is wrong input, not a bug in hpsearch."""
    ended = command("study", "export", finished, "--output", output)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"Error: --output: must be a new file (got {Path(output)}, which exists): name another one\n"
    )
    assert not list(Path().glob(".hpsearch-*"))


def test_an_import_of_its_own_database_is_refused_by_its_name(command: Command, finished: str) -> None:
    """The message names the command that was given."""
    ended = command("study", "import", "default.db")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "Error: study import: source and target must be two databases (got sqlite:///default.db twice)\n"
    )


KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from hpsearch.cli import main

def kill(connection, cursor, statement, *rest):
    if statement.startswith("UPDATE hpsearch_studies"):
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "before_cursor_execute", kill)
sys.argv = ["hpsearch", "study", "export", "flowers", "--output", "kept.db"]
main.run()
"""


def test_a_killed_export_can_be_made_again(command: Command, finished: str) -> None:
    """An export is written whole or not at all, so the same command succeeds after a kill."""
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    assert not Path("kept.db").exists()
    ended = command("study", "export", finished, "--output", "kept.db")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == 'Study "flowers": 12 trials in kept.db, and read back\n'


def test_a_failed_export_leaves_no_file(command: Command, finished: str) -> None:
    """If there is nothing to export, no file is created; a file that is not an export is reported."""
    assert command("study", "export", "flower", "--output", "x.db").returncode == 1
    assert not Path("x.db").exists()
    assert command("study", "import", "missing.db").returncode == 1
    assert not Path("missing.db").exists()


def test_what_is_no_export_is_not_imported(command: Command, study_file: Path) -> None:
    """The remedy is about the file, and no database is created for a failed import."""
    Path("notes.txt").write_text("my notes")
    for file, message in {
        "missing.db": "sqlite:///missing.db: there is no such file (got missing.db): check the path",
        str(study_file): (
            "FILE: must be a file that `study export` wrote (got the study file flowers.toml): "
            "hpsearch study create flowers.toml"
        ),
        "notes.txt": (
            "sqlite:///notes.txt: must be an SQLite database, of at least 512 bytes (got 8): "
            "give the path of a database"
        ),
    }.items():
        ended = command("study", "import", file)
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"Error: {message}\n")
    assert not list(Path().glob("*.db"))
    ended = command("storage", "copy", "sqlite:///missing.db", "sqlite:///other.db")
    assert ended.stderr.endswith("(got missing.db): check the path\n")
    assert not list(Path().glob("*.db"))


def test_a_configuration_of_ones_own_is_trained_next(command: Command, finished: str) -> None:
    """It waits with the given values, is trained with the next budget, and its other values are sampled."""
    asked = ("--set", "learning_rate=0.25", "--set", "model.activation=tanh")
    ended = command("trial", "enqueue", finished, *asked)
    assert ended.returncode == 0
    assert ended.stdout == (
        'Study "flowers": trial 12 waits with learning_rate 0.25, model.activation tanh; '
        "weight_decay will be sampled\n"
        "The budget of 12 trials is spent: `hpsearch study edit flowers --trials 13` lets it run\n"
    )
    assert command("study", "edit", finished, "--trials", "13").returncode == 0
    assert command("worker", "start", "--study", finished, "--exit-when-idle").returncode == 0
    trials = trials_of(command, finished)
    assert len(trials) == 13
    params = trials[12]["params"]
    assert (params["learning_rate"], params["model.activation"]) == (0.25, "tanh")
    assert 1e-8 <= params["weight_decay"] <= 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((), "trial enqueue: needs a value (got none): give one for learning_rate, weight_decay, model.activation"),
        (("learning_rate=1e9",), "must be inside the search, learning_rate: 1e-07 to 1e+06, logarithmic (got 1"),
        (("learning_rate=fast",), "Error: learning_rate: must be a number"),
        (("model.activation=elu",), 'must be inside the search, model.activation: one of relu, tanh (got "elu")'),
        (("lr=0.5",), 'must be searched by study "flowers" (got 0.5): did you mean learning_rate?'),
        (("lerning_rate=0.5",), "did you mean learning_rate?"),
        (("momentum=0.5",), 'must be searched by study "flowers" (got 0.5)'),
        (("learning_rate",), "must be KEY=VALUE"),
    ],
)  # fmt: skip
def test_what_is_not_searched_is_not_enqueued(
    command: Command, finished: str, settings: tuple[str, ...], message: str
) -> None:
    """A value outside the search, or of another kind, is refused with the rule, and nothing waits."""
    arguments = [part for setting in settings for part in ("--set", setting)]
    ended = command("trial", "enqueue", finished, *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert len(trials_of(command, finished)) == 12


def test_an_import_names_the_studies_of_the_file(command: Command, finished: str) -> None:
    """A name that the file lacks is answered with its names, and a name that is taken with the ways out."""
    assert command("study", "export", finished, "--output", "kept.db").returncode == 0
    ended = command("study", "import", "kept.db", "--study", "other", "--storage", "sqlite:///new.db")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        'Error: study "other": there is no such study in sqlite:///kept.db: choose one of flowers\n'
    )
    ended = command("study", "import", "kept.db")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert (
        'must not have the studies yet (got "flowers"): delete them there, or choose others' in ended.stderr
    )
