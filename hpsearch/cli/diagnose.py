"""`hpsearch diagnose`: train one configuration until its fault is clear."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

import typer

from hpsearch.analysis.formats import format_metric_noun, format_result, format_share, format_short_metric
from hpsearch.analysis.trial_facts import cause_words, evidence_facts
from hpsearch.cli.options import AnswerFormat
from hpsearch.cli.output import write_json, write_line, write_table
from hpsearch.errors import UsageError
from hpsearch.study.messages import format_count
from hpsearch.study.schema import MOST_SEED
from hpsearch.study.spec import StudySpec
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Finding

if TYPE_CHECKING:
    from hpsearch.worker.trial_diagnosis import TrialDiagnosis
    from hpsearch.workflows.healing import Fix


def diagnose(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A study file (TOML), or an example by its name.")
    ],
    *,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A value in place of the file's, such as training.epochs=5; may be repeated.",
        ),
    ] = None,
    configuration: Annotated[
        str | None,
        typer.Option(
            "--configuration",
            metavar="NAME|INDEX",
            help="One of the file's [[configurations]], by its name or its position from 0.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="PATH_OR_NAME", help="The data to train on, in place of the file's."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", min=0, max=MOST_SEED, help="The seed, in place of the file's."),
    ] = None,
    is_fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Try up to three remedies, and write the study file with the values that healed it."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="PATH",
            help="Where --fix writes the healed study file.  [default: FILE-healed.toml in the current folder]",
        ),
    ] = None,
    form: Annotated[AnswerFormat, typer.Option("--format", help="Output format.")] = AnswerFormat.TEXT,
) -> None:
    """Train one configuration of a study file, ignoring [search], and report its fault.

    It trains until that is clear, for at most the file's epochs, and needs no database. The exit code is 0 for every
    verdict, healed or not.

    Example: hpsearch diagnose digits --set learning_rate=30
    """
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.study.reader import parse_settings
    from hpsearch.workflows.diagnosis import diagnose as train_until_clear
    from hpsearch.workflows.json_objects import diagnosis_object

    question = Question(
        file=file, settings=tuple(settings or ()), data=data, seed=seed, configuration=configuration
    )
    if is_fix:
        _fix(question, output, form)
        return
    if output is not None:
        raise UsageError("--output: must be given together with --fix, which writes that file: add --fix")
    diagnosed = train_until_clear(
        file,
        parse_settings(question.settings),
        data=data,
        seed=seed,
        configuration=configuration,
        listener=TERMINAL,
    )
    if form is AnswerFormat.JSON:
        write_json(diagnosis_object(diagnosed.diagnosis))
    else:
        write_examination(diagnosed.diagnosis, diagnosed.spec, question)


def _fix(question: "Question", output: Path | None, form: AnswerFormat) -> None:
    from hpsearch.cli.progress import TERMINAL
    from hpsearch.study.reader import parse_settings
    from hpsearch.workflows.healing import fix
    from hpsearch.workflows.json_objects import healing_object

    fixed = fix(
        question.file,
        parse_settings(question.settings),
        data=question.data,
        seed=question.seed,
        configuration=question.configuration,
        output=output,
        listener=TERMINAL,
    )
    if form is AnswerFormat.JSON:
        write_json(healing_object(fixed.healing, fixed.written))
    else:
        write_fix(fixed, question)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """The subject of an examination: a study file, and the values that replace its own."""

    file: Path
    settings: tuple[str, ...] = ()
    data: str | None = None
    seed: int | None = None
    configuration: str | None = None

    def with_remedy(self, suggested: Mapping[str, ParameterValue]) -> str:
        """Return the same command with the `suggested` values."""
        from hpsearch.study.spec import full_name
        from hpsearch.workflows.healing import setting_text

        remedied = {full_name(name) for name in suggested}
        kept = [text for text in self.settings if full_name(text.partition("=")[0].strip()) not in remedied]
        settings = [*kept, *(f"{name}={setting_text(value)}" for name, value in suggested.items())]
        words = ["hpsearch", "diagnose", str(self.file)]
        if self.configuration is not None:
            words += ["--configuration", self.configuration]
        if self.data is not None and "data.source" not in remedied:
            words += ["--data", self.data]
        if self.seed is not None:
            words += ["--seed", str(self.seed)]
        return shlex.join([*words, *(word for text in settings for word in ("--set", text))])


def write_examination(examination: "TrialDiagnosis", spec: StudySpec, question: Question) -> None:
    """Write the verdict, its evidence, the remedy and the trained configuration to stdout."""
    first, *others = examination.verdict.findings
    write_line(f"{spec.name}: {_finding_words(first)}")
    for name, value in evidence_facts(first):
        write_line(f"  {name} {value}")
    write_line(f"Remedy: {first.remedy}")
    if first.suggested:
        write_line(f"Try it: {question.with_remedy(first.suggested)}")
    for other in others:
        write_line(f"Also found: {_finding_words(other)}: {other.remedy}")
    for line in _training_lines(examination):
        write_line(line)


def write_fix(fixed: "Fix", question: Question) -> None:
    """Write the table of the remedies that were tried, why they ended, and the healed file's path to stdout."""
    from hpsearch.workflows.healing import result_of, settings_words

    healing = fixed.healing
    metric = healing.study.spec.metric
    given = result_of(healing.first, metric)
    rows = [_step_row("0", "as given", healing.first.verdict.primary, format_result(given, metric))]
    for number, step in enumerate(healing.steps, start=1):
        change = settings_words(step.settings) + ("" if step.is_kept else " (worse: not kept)")
        rows.append(_step_row(str(number), change, step.after, format_result(step.value, metric)))
    write_line(f"{healing.study.spec.name}: {_tried_words(len(healing.steps))}")
    write_line()
    heads = ("step", "change", "verdict", "confidence", format_short_metric(metric))
    write_table(heads, rows, right=frozenset({"step", "confidence", heads[-1]}))
    write_line()
    write_line(healing.reason)
    if fixed.written is not None:
        anew = "" if fixed.written.keeps_text else ", with every key and without the comments of the original"
        write_line(f"Healed study file: {fixed.written.path}{anew}")
    elif healing.settings:
        write_line(f"Continue from there: {question.with_remedy(healing.settings)}")


def _tried_words(count: int) -> str:
    return f"{count or 'no'} remed{'y' if count == 1 else 'ies'} tried"


def _step_row(number: str, change: str, finding: Finding, result: str) -> tuple[str, ...]:
    return number, change, cause_words(finding), format_share(finding.confidence, 1), result


def _finding_words(finding: Finding) -> str:
    return f"{cause_words(finding)}, confidence {format_share(finding.confidence, 1)}"


def _training_lines(examination: "TrialDiagnosis") -> Iterator[str]:
    steps = f"{examination.steps:,} of {format_count(examination.steps_planned, 'step')}"
    epochs = f"{examination.epochs:,} of {format_count(examination.epochs_planned, 'epoch')}"
    yield f"Trained: {steps}, in {epochs}"
    if (last := examination.last) is not None:
        accuracy = (
            {"validation_accuracy": last.validation_accuracy} if last.validation_accuracy is not None else {}
        )
        reached = "".join(
            f", {format_metric_noun(name)} {format_result(value, name)}"
            for name, value in {**accuracy, **last.scores}.items()
        )
        losses = (format_result(loss, "loss") for loss in (last.training_loss, last.validation_loss))
        yield "Last finished epoch: training loss {}, validation loss {}".format(*losses) + reached
