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
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from hpsearch.cli.diagnose import Question, write_examination, write_fix
from hpsearch.study.reader import parse_settings
from hpsearch.study.spec import DataSpec, StudySpec
from hpsearch.telemetry import Epoch
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Finding, Verdict
from hpsearch.worker.preparation import prepare_study
from hpsearch.worker.trial_diagnosis import TrialDiagnosis
from hpsearch.workflows.diagnosis import changes_of
from hpsearch.workflows.healing import Fix, Healing, HealingStep
from hpsearch.workflows.json_objects import diagnosis_object, healing_object

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


def test_fix_tries_remedies_and_writes_the_healed_file(command: Command, study_file: Path) -> None:
    """The table has a line for each remedy; the file is as the original, but for the values that healed it."""
    arguments = ("diagnose", str(study_file), "--fix", "--set", "training.epochs=60")
    cold = (*arguments, "--set", "learning_rate=1e-6")
    ended = command(*cold)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == "flowers: 1 remedy tried"
    assert lines[2].split() == ["step", "change", "verdict", "confidence", "val", "acc"]
    assert lines[3].split()[:4] == ["0", "as", "given", "lr_too_low"]
    assert re.match(r" +1  learning_rate=0\.\d+ +healthy +100 % +0\.\d{3}$", lines[4])
    assert lines[6:] == ["Healthy after 1 remedy.", "Healed study file: flowers-healed.toml"]
    healed = Path("flowers-healed.toml").read_text()
    assert [line for line in healed.splitlines() if line not in study_file.read_text().splitlines()] == [
        "epochs = 60",
        f"learning_rate = {lines[4].split()[1].partition('=')[2]}",
    ]
    again = command(*cold)
    assert (again.returncode, again.stdout) == (1, "")
    assert "flowers-healed.toml: must not exist yet: name it with --output" in again.stderr
    shown = answered(command(*cold, "--format", "json", "--output", "flowers-healed.toml"))
    assert (shown["is_healthy"], shown["verdict"], shown["output"]) == (
        True,
        "healthy",
        "flowers-healed.toml",
    )
    (step,) = shown["steps"]
    assert step["settings"] == shown["settings"] == shown["first"]["suggested"]
    assert (step["before"], step["verdict"], step["is_kept"]) == ("lr_too_low", "healthy", True)
    assert step["validation_accuracy"] == shown["last"]["validation_accuracy"]


def test_fix_says_why_it_ends(command: Command, study_file: Path) -> None:
    """A healthy run needs no remedy, and a fault without suggested values is explained; neither writes a file."""
    healthy = command("diagnose", str(study_file), "--fix", "--set", "training.epochs=30")
    assert (healthy.returncode, healthy.stdout.splitlines()[-1]) == (
        0,
        "Nothing to fix: the run is healthy.",
    )
    np.savez("same.npz", x=np.ones((60, 2)), y=np.arange(60) % 2)
    settings = ("--set", "data.scale=none", "--set", "training.epochs=60")
    same = command("diagnose", str(study_file), "--fix", "--data", "same.npz", *settings)
    assert same.returncode == 0
    assert "Not healthy: no setting is suggested for input_degenerate. All examples have the" in same.stdout
    assert {path.name for path in Path().iterdir()} == {study_file.name, "same.npz"}
    stray = command("diagnose", str(study_file), "--output", "x.toml")
    assert (stray.returncode, stray.stdout) == (2, "")
    assert "--output: must be given together with --fix" in stray.stderr


@pytest.mark.parametrize("metric", ["auto", "validation_loss"])
@pytest.mark.parametrize("unit", [1e5, 1e-5])
def test_fix_standardizes_targets(command: Command, metric: str, unit: float) -> None:
    """Prices that are trained on as they are get the default scale, and are healthy with it, by either metric."""
    x = np.random.default_rng(1).standard_normal((300, 3))
    np.savez("prices.npz", x=x, y=unit * (3 + x.sum(axis=1) + 0.1 * np.sin(5 * x[:, 0])))
    Path("prices.toml").write_text(
        f'name = "prices"\nmetric = "{metric}"\n[data]\nsource = "prices.npz"\nscale = "standard"\n'
        'target_scale = "none"\n[model]\nhidden = [16]\n'
        "[training]\nepochs = 40\nbatch_size = 25\nlearning_rate = 0.02\n"
    )
    shown = answered(command("diagnose", "prices.toml", "--fix", "--format", "json"))
    (step,) = shown["steps"]
    assert (step["before"], step["verdict"], step["is_kept"]) == ("targets_unscaled", "healthy", True)
    assert shown["settings"] == {"data.target_scale": "standard"}
    assert 'target_scale = "standard"' in Path("prices-healed.toml").read_text()
    assert shown["last"]["r2"] > 0.95


def test_words_have_each_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """The table marks what is not kept, and the values that helped a run that is still ill can be continued from."""
    first, other = EXAMINATION.verdict.findings
    decay: dict[str, ParameterValue] = {"weight_decay": 0.001}
    steps = (
        HealingStep(
            settings={"model.hidden": "[64,32]"}, before=first, after=first, value=None, is_kept=False
        ),
        HealingStep(settings=decay, before=first, after=other, value=0.25, is_kept=True),
    )
    healing = Healing(
        study=prepare_study(StudySpec(name="x", data=DataSpec(source="iris"))),
        first=EXAMINATION,
        last=replace(EXAMINATION, verdict=Verdict(findings=(other,))),
        steps=steps,
        settings=decay,
        reason="Not healthy: overfit remains.",
    )
    question = Question(file=Path("x.toml"), settings=("training.weight_decay=1", "learning_rate=3"))
    write_fix(Fix(healing=healing, written=None), question)
    assert capsys.readouterr().out.splitlines() == [
        "x: 2 remedies tried",
        "",
        "step  change                                   verdict                      confidence  val acc",
        "   0  as given                                 wrong_loss_pair from step 3        95 %    0.250",
        "   1  model.hidden=[64, 32] (worse: not kept)  wrong_loss_pair from step 3        95 %     none",
        "   2  weight_decay=0.001                       overfit from step 80               50 %    0.250",
        "",
        "Not healthy: overfit remains.",
        "Continue from there: hpsearch diagnose x.toml --set learning_rate=3 --set weight_decay=0.001",
    ]
    shown = healing_object(healing, None)
    assert [step["validation_accuracy"] for step in shown["steps"]] == [None, 0.25]
    assert shown["steps"][0]["validation_accuracy_reason"] == "no_epoch"
    assert (shown["is_healthy"], shown["settings"], shown["output"]) == (False, decay, None)


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
    assert len(examples) == 3
    shutil.copytree(repository / "studies", "studies")
    for line, printed in examples:
        ended = command(*shlex.split(line))
        assert ended.returncode == 0
        assert _words(ended.stdout) == _words(printed)


def _words(answer: str) -> list[str]:
    """Return the lines of an answer without the values of the evidence, the steps and the losses."""
    lines = [line.split()[0] if line.startswith(("  ", "Last")) else line for line in answer.splitlines()]
    return [re.sub(r"(?<=from step )[0-9,]+|(?<=^Trained: )[0-9,]+", "N", line) for line in lines]
