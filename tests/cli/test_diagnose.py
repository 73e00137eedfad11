"""`hpsearch diagnose`: the verdict on one configuration, in words and as JSON."""

import json
import math
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from hpsearch.cli.diagnose import Question, write_examination
from hpsearch.study.reader import parse_settings
from hpsearch.study.spec import DataSpec, StudySpec
from hpsearch.telemetry import Epoch
from hpsearch.verdicts import Cause, Finding, Verdict
from hpsearch.worker.trial_diagnosis import TrialDiagnosis
from hpsearch.workflows.diagnosis import changes_of
from hpsearch.workflows.json_objects import diagnosis_object

Command = Callable[..., CompletedProcess[str]]

FIELDS = ["verdict", "confidence", "first_step", "evidence", "remedy", "suggested", "findings"]
DEADLY = ("--set", "learning_rate=1e5", "--set", "training.epochs=20")


def answered(ended: CompletedProcess[str]) -> dict[str, Any]:
    """Return the strict JSON object of an answer."""

    def forbidden(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    assert (ended.returncode, ended.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(ended.stdout, parse_constant=forbidden)
    return answer


def test_the_verdict_is_an_object(command: Command, study_file: Path) -> None:
    """A fatal learning rate is named with all promised fields, before its epochs end, and without a database."""
    shown = answered(command("diagnose", str(study_file), *DEADLY, "--format", "json"))
    assert list(shown)[: len(FIELDS)] == FIELDS
    first = shown["findings"][0]
    assert first["cause"] == shown["verdict"] in {"diverged_lr", "exploding", "dead_relu_total"}
    assert {key: shown[key] for key in FIELDS[1:6]} == {key: first[key] for key in FIELDS[1:6]}
    assert shown["suggested"]["learning_rate"] < 1e5
    assert 0 < shown["steps"] < 120
    assert [path.name for path in Path().iterdir()] == [study_file.name]


def test_words_lead_to_the_remedy(command: Command, study_file: Path) -> None:
    """The answer has the verdict, the evidence, the remedy, and a command that tries it and can be run."""
    ended = command("diagnose", str(study_file), *DEADLY, "--seed", "5", "--set", "model.activation=relu")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("flowers: ")
    assert ", confidence " in lines[0]
    (remedy,) = [line for line in lines if line.startswith("Try it: ")]
    words = shlex.split(remedy.removeprefix("Try it: "))
    assert words[:3] == ["hpsearch", "diagnose", str(study_file)]
    assert words[3:-1] == [
        "--seed",
        "5",
        "--set",
        "training.epochs=20",
        "--set",
        "model.activation=relu",
        "--set",
    ]
    assert words[-1].startswith("learning_rate=")
    assert command(*words[1:]).returncode == 0


def test_the_search_is_left_aside(command: Command, study_file: Path) -> None:
    """Searched settings have their fixed value: at the default learning rate iris is learned."""
    shown = answered(command("diagnose", str(study_file), "--set", "training.epochs=30", "--format", "json"))
    assert (shown["verdict"], shown["epochs"]) == ("healthy", 30)
    assert shown["validation_accuracy"] > 0.6


def test_any_data_can_be_diagnosed(command: Command, study_file: Path) -> None:
    """`--data` takes a built-in name, or a path from the current folder; regression has no accuracy."""
    x = np.linspace(-1, 1, 120).reshape(60, 2)
    np.savez("line.npz", x=x, y=x.sum(axis=1) + 0.5)
    shown = answered(command("diagnose", str(study_file), "--data", "line.npz", "--format", "json"))
    assert (shown["validation_accuracy"], shown["validation_accuracy_reason"]) == (None, "regression")
    elsewhere = Path("below")
    elsewhere.mkdir()
    study_file.rename(elsewhere / study_file.name)
    moved = command("diagnose", f"below/{study_file.name}", "--data", "line.npz", "--format", "json")
    assert answered(moved) == shown
    named = command("diagnose", f"below/{study_file.name}", "--data", "wine")
    assert (named.returncode, named.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--set", "learning_rate"), 2, "--set: must be KEY=VALUE"),
        (("--set", "search.momentum=1"), 2, "[search] is ignored"),
        (("--format", "csv"), 2, "must be one of text, json (got csv)"),
        (("--seed", "-1"), 2, "Invalid value for '--seed'"),
        (("--set", "model.activaton=tanh"), 2, 'model.activaton: unknown key; did you mean "activation"?'),
        (("--set", "learning_rate=fast"), 2, "training.learning_rate: must be a number above 0"),
        (
            ("--set", "training.batch_size=500"),
            2,
            "training.batch_size: must be at most the 120 training examples",
        ),
        (("--set", "data.fault=bogus"), 2, "data.fault: "),
        (("--set", "lr=0.1"), 2, 'lr: unknown key; did you mean "learning_rate" under [training]?'),
        (("--data", "digit"), 1, 'did you mean "digits"?'),
        (("--data", "missing.csv"), 1, "missing.csv"),
        (("--data", "x" * 5000), 1, "data.source: must be 1 to 4096 characters"),
    ],
)
def test_errors_say_what_is_wrong(
    command: Command, study_file: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """Errors in the command line and its settings end with 2, in file and data with 1, each with its message."""
    ended = command("diagnose", str(study_file), *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert message in ended.stderr


EXAMINATION = TrialDiagnosis(
    verdict=Verdict(
        findings=(
            Finding(
                cause=Cause.WRONG_LOSS_PAIR,
                confidence=0.95,
                first_step=3,
                evidence={"loss": math.inf, "chance_loss": 2.3},
                remedy="Use the loss's own output.",
                suggested={
                    "model.output": "auto",
                    "model.hidden": "[64, 32]",
                    "model.initializer": '{"normal": 0.01}',
                    "learning_rate": 0.0123456,
                    "model.batch_norm": True,
                },
            ),
            Finding(cause=Cause.OVERFIT, confidence=0.5, first_step=80, evidence={}, remedy="Drop units."),
        )
    ),
    steps=1234,
    steps_planned=5000,
    epochs=3,
    epochs_planned=10,
    last=Epoch(epoch=1, training_loss=math.nan, validation_loss=math.inf, validation_accuracy=0.25),
)


def test_what_json_lacks_has_its_reason() -> None:
    """Numbers that are not finite are null with the reason in another field, in the evidence and in the losses."""
    shown = diagnosis_object(EXAMINATION)
    assert shown["evidence"] == {"loss": None, "loss_reason": "infinity", "chance_loss": 2.3}
    assert (shown["training_loss"], shown["training_loss_reason"]) == (None, "nan")
    assert (shown["validation_loss"], shown["validation_loss_reason"]) == (None, "infinity")
    assert shown["validation_accuracy"] == 0.25
    assert [finding["cause"] for finding in shown["findings"]] == ["wrong_loss_pair", "overfit"]


def test_words_have_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """The text has every finding, and a command that sets every suggested value as in a study file."""
    question = Question(
        file=Path("a b.toml"),
        settings=("training.learning_rate=3", "training.epochs=10"),
        data="iris",
        seed=0,
    )
    write_examination(EXAMINATION, StudySpec(name="x", data=DataSpec(source="iris")), question)
    assert capsys.readouterr().out.splitlines() == [
        "x: wrong_loss_pair from step 3, confidence 95 %",
        "  loss infinite",
        "  chance_loss 2.3",
        "Remedy: Use the loss's own output.",
        (
            "Try it: hpsearch diagnose 'a b.toml' --data iris --seed 0 --set training.epochs=10 "
            "--set model.output=auto --set 'model.hidden=[64, 32]' --set 'model.initializer={ normal = 0.01 }' "
            "--set learning_rate=0.0123 --set model.batch_norm=true"
        ),
        "Also found: overfit from step 80, confidence 50 %: Drop units.",
        "Trained: 1,234 of 5,000 steps, in 3 of 10 epochs",
        "Last finished epoch: training loss NaN, validation loss infinite, accuracy 0.250",
    ]


def test_a_question_means_what_it_says() -> None:
    """Data and seed are settings too; the command for the remedy leaves out what the remedy replaces."""
    question = Question(file=Path("x.toml"), settings=("seed=3", "model.hidden=[3]"), data="wine", seed=4)
    changes = changes_of(parse_settings(question.settings), data=question.data, seed=question.seed)
    assert changes == {"seed": 4, "model.hidden": [3], "data.source": "wine"}
    assert question.with_remedy({"data.source": "iris"}).endswith(
        "x.toml --seed 4 --set seed=3 --set 'model.hidden=[3]' --set data.source=iris"
    )


def test_ctrl_c_ends_it() -> None:
    """An interrupted examination ends with 130, and no answer."""
    Path("long.toml").write_text('name = "long"\ndata.source = "iris"\ntraining.epochs = 1000000\n')
    command = [sys.executable, "-c", INTERRUPTED, "diagnose", "long.toml"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert "Traceback" not in ended.stderr


INTERRUPTED = f"""
import signal, sys
from hpsearch.cli import main
from hpsearch.training import cohort
from hpsearch.workflows.json_objects import diagnosis_object

step = cohort.Cohort._step
def interrupted(self, *arguments):
    if self._rows[0].age == 50:
        signal.raise_signal({int(signal.SIGINT)})
    return step(self, *arguments)

cohort.Cohort._step = interrupted
sys.argv[0] = "hpsearch"
main.run()
"""


def test_the_examples_of_the_readme_are_real(command: Command, repository: Path) -> None:
    """The READMEs show the real output of `diagnose`, except for numbers that differ between processors."""
    readme = "".join((repository / name).read_text() for name in ("README.md", "studies/README.md"))
    examples = re.findall(
        r"^```sh\n.venv/bin/hpsearch (diagnose [^\n]*)\n```\n\n```text\n(.*?)```$",
        readme,
        flags=re.MULTILINE | re.DOTALL,
    )
    assert len(examples) == 2
    shutil.copytree(repository / "studies", "studies")
    for line, printed in examples:
        ended = command(*shlex.split(line))
        assert ended.returncode == 0
        assert _words(ended.stdout) == _words(printed)


def _words(answer: str) -> list[str]:
    """Return the lines of an answer without the values of the evidence, the steps and the losses."""
    lines = [line.split()[0] if line.startswith(("  ", "Last")) else line for line in answer.splitlines()]
    return [re.sub(r"(?<=from step )[0-9,]+|(?<=^Trained: )[0-9,]+", "N", line) for line in lines]
