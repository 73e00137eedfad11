"""Heal a configuration: try the remedies of its diagnosis one after another, and write the healed study file."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, final

from hpsearch.errors import HpsearchError
from hpsearch.report.file import check_report_path, write_page
from hpsearch.study.configurations import chosen_configuration
from hpsearch.study.editing import edited_text
from hpsearch.study.files import parse_document, read_text, with_examples
from hpsearch.study.messages import toml_text
from hpsearch.study.metrics import is_maximized
from hpsearch.study.reader import parse_study, settings_as_usage_errors, study_from_document, with_settings
from hpsearch.study.schema import BUILTIN_SOURCES
from hpsearch.study.search_space import as_parameter
from hpsearch.study.spec import StudySpec, configure, full_name
from hpsearch.study.writer import specification_text
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause, Finding, Verdict
from hpsearch.worker.capacity import check_memory, job_of
from hpsearch.worker.preparation import PreparedStudy, prepare_configuration, prepare_study
from hpsearch.worker.range_test import RangeTest, range_test
from hpsearch.worker.trial_diagnosis import TrialDiagnosis, diagnose_configuration
from hpsearch.workflows.diagnosis import changes_of
from hpsearch.workflows.listener import SILENT, Listener

MOST_STEPS: Final = 3
"""Remedies that are tried by default: a fault that three do not heal needs a person."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HealingStep:
    """One remedy that was tried: the settings that it changed, and the strongest findings before and after.

    `value` is that of the study's metric in the last finished epoch, or None. A step that made the run worse is not
    kept: the next one starts from the settings before it.
    """

    settings: Mapping[str, ParameterValue]
    before: Finding
    after: Finding
    value: float | None
    is_kept: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Healing:
    """The remedies that were tried on a configuration, and what became of it.

    `study` has the settings that were kept, all of which `settings` names; `first` and `last` are the diagnoses before
    the first step and with these settings; `reason` is why no other remedy was tried, in a sentence.
    """

    study: PreparedStudy
    first: TrialDiagnosis
    last: TrialDiagnosis
    steps: Sequence[HealingStep]
    settings: Mapping[str, ParameterValue]
    reason: str

    @property
    def is_healthy(self) -> bool:
        """True if the run is healthy with the settings that were kept."""
        return self.last.verdict.cause is Cause.HEALTHY


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class HealedFile:
    """A written study file, and whether it is the text of the original one with changed values."""

    path: Path
    keeps_text: bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Fix:
    """The healing of a study file's configuration, and the written file; None if no remedy healed it."""

    healing: Healing
    written: HealedFile | None


def fix(
    file: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    data: str | None = None,
    seed: int | None = None,
    configuration: str | None = None,
    output: Path | None = None,
    listener: Listener = SILENT,
) -> Fix:
    """Heal one configuration of a study file, or of an example, and write the healed file if a remedy healed it.

    The arguments before `output` are those of `diagnose`. `output` is written over an existing file. Its default, the
    file's name with `-healed` in the current folder, is not: raises HpsearchError if it exists.
    """
    source = with_examples(file)
    path = output or default_healed_path(source)
    check_healed_path(path, may_exist=output is not None)
    changes = changes_of(settings or {}, data=data, seed=seed)
    with listener.stage("Reading the study and its data"), settings_as_usage_errors(settings or {}):
        study = prepare_configuration(source, changes, chosen=configuration)
        check_memory(job_of(study))
    healing = heal(study, listener=listener)
    if not (healing.is_healthy and healing.steps):
        return Fix(healing=healing, written=None)
    changes |= raw_settings(healing.settings)
    return Fix(
        healing=healing, written=write_healed(path, source, changes=changes, configuration=configuration)
    )


def heal(
    study: PreparedStudy,
    *,
    first: TrialDiagnosis | None = None,
    most: int = MOST_STEPS,
    prepare: Callable[[StudySpec], PreparedStudy] = prepare_study,
    train: Callable[[PreparedStudy], TrialDiagnosis] = diagnose_configuration,
    test_rates: Callable[[PreparedStudy], RangeTest | None] = range_test,
    listener: Listener = SILENT,
) -> Healing:
    """Train the single configuration of `study` with one remedy after another until it is healthy.

    `first` is its diagnosis, if it is known; `prepare` reads the data again if a remedy changes them. At most `most`
    remedies are tried, each by `train`. The strongest finding's comes first; the others' follow if it made the run
    worse, or would take back an earlier change. A remedy that changes the network or its data may need another learning
    rate: `test_rates` chooses it, unless the present one learns about as fast.

    A run that a fatal fault ended early has no result yet, so the remedy of that fault is tried too before the step
    counts as worse: inputs that are scaled may need another learning rate.
    """
    if first is None:
        with listener.stage("Training"):
            first = train(study)
    state = sure = _State(study=study, diagnosis=first, settings={})
    steps: list[HealingStep] = []
    until = 0  # the steps that led to the sure state
    tried = _Tried()
    metric = study.spec.metric
    while not state.is_healthy and len(steps) < most:
        settings = tried.next_of(state.diagnosis.verdict)
        if settings is None:
            break
        with listener.stage(f"Training with {settings_words(settings)}"):
            changed = _with_settings(state.study, settings, prepare)
            rate = _fitting_rate(changed, settings, test_rates)
            if rate:
                settings |= rate
                changed = _with_settings(changed, rate, prepare)
            after = train(changed)
        is_worse = _is_worse(after, state.diagnosis, metric=metric)
        tried.add(settings, state.study.spec, is_kept=not is_worse)
        is_kept = not is_worse or (
            _health(after) == _ENDED_EARLY and tried.next_of(after.verdict) is not None
        )
        steps.append(
            HealingStep(
                settings=settings,
                before=state.diagnosis.verdict.primary,
                after=after.verdict.primary,
                value=result_of(after, metric),
                is_kept=is_kept,
            )
        )
        if is_kept:
            state = _State(study=changed, diagnosis=after, settings={**state.settings, **settings})
            if not _is_worse(after, sure.diagnosis, metric=metric):
                sure, until = state, len(steps)
    return Healing(
        study=sure.study,
        first=first,
        last=sure.diagnosis,
        steps=(*steps[:until], *(replace(step, is_kept=False) for step in steps[until:])),
        settings=sure.settings,
        reason=_reason(sure.diagnosis.verdict, steps, most=most),
    )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _State:
    """A configuration on the way, its diagnosis, and the settings that led to it."""

    study: PreparedStudy
    diagnosis: TrialDiagnosis
    settings: Mapping[str, ParameterValue]

    @property
    def is_healthy(self) -> bool:
        return self.diagnosis.verdict.cause is Cause.HEALTHY


def settings_words(settings: Mapping[str, ParameterValue]) -> str:
    """Return settings as `--set` takes them: `learning_rate=3, model.hidden=[32, 32]`."""
    return ", ".join(f"{name}={setting_text(value)}" for name, value in settings.items())


def setting_text(value: ParameterValue) -> str:
    """Return a value as `--set` takes it: numbers with 3 digits, lists and tables as TOML, text unchanged."""
    raw = raw_setting(value)
    if isinstance(raw, float):
        return repr(_rounded(raw))
    return raw if isinstance(raw, str) else toml_text(raw)


def raw_setting(value: ParameterValue) -> Any:
    """Return a suggested value as a study file holds it: lists and tables instead of their JSON text."""
    return json.loads(value) if isinstance(value, str) and value.startswith(("[", "{")) else value


def raw_settings(settings: Mapping[str, ParameterValue]) -> dict[str, Any]:
    """Return key path -> raw value of suggested values."""
    return {full_name(name): raw_setting(value) for name, value in settings.items()}


def result_of(diagnosis: TrialDiagnosis, metric: str) -> float | None:
    """Return the value of the study's metric in the last finished epoch; None if there is no such epoch."""
    if (last := diagnosis.last) is None:
        return None
    return last.value(metric)


@final
@dataclass(kw_only=True, slots=True)
class _Tried:
    """The values that each setting had, and those that were tried and not kept, by full names.

    `lows` and `highs` are the numbers that a setting was raised from, and lowered from, alone: it stays between them.
    Together with another setting, such as the reduction, a number means something else.
    """

    values: dict[str, list[Any]] = field(default_factory=dict)
    lows: dict[str, float] = field(default_factory=dict)
    highs: dict[str, float] = field(default_factory=dict)

    def next_of(self, verdict: Verdict) -> dict[str, ParameterValue] | None:
        """Return the first remedy, of the strongest finding on, that takes back no change; None if there is none.

        A fault without a suggested value explains the findings after it, so their remedies are not tried either.
        """
        if not verdict.primary.suggested:
            return None
        remedies = (_rounded_settings(one.suggested) for one in verdict.findings if one.suggested)
        return next((one for one in remedies if not any(map(self._is_set_back, one, one.values()))), None)

    def add(self, settings: Mapping[str, ParameterValue], spec: StudySpec, *, is_kept: bool) -> None:
        """Remember a step from the values of `spec`."""
        for name, value in settings.items():
            now, new = _value_of(spec, name), raw_setting(value)
            self.values.setdefault(full_name(name), []).extend((now, new))
            if is_kept and len(settings) == 1 and _is_number(now) and _is_number(new):
                (self.lows if new > now else self.highs)[full_name(name)] = now

    def _is_set_back(self, name: str, value: ParameterValue) -> bool:
        full, raw = full_name(name), raw_setting(value)
        if raw in self.values.get(full, ()):
            return True
        return _is_number(raw) and not (self.lows.get(full, -math.inf) < raw < self.highs.get(full, math.inf))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value_of(spec: StudySpec, name: str) -> Any:
    """Return the raw value of a key of `spec`."""
    table, _, key = full_name(name).partition(".")
    return raw_setting(as_parameter(getattr(getattr(spec, table), key)))


def _rounded(value: float) -> float:
    """Return a number with 3 digits: what is tried is what the table and the file show."""
    return float(f"{value:.3g}")


def _rounded_settings(settings: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
    return {name: _rounded(one) if isinstance(one, float) else one for name, one in settings.items()}


def _fitting_rate(
    study: PreparedStudy,
    settings: Mapping[str, ParameterValue],
    test_rates: Callable[[PreparedStudy], RangeTest | None],
) -> dict[str, ParameterValue]:
    """Return the learning rate for a study that other settings changed; nothing if its own suits it."""
    if settings.keys() == {"learning_rate"}:
        return {}
    test = test_rates(study)
    if test is None or test.suits(study.spec.training.learning_rate):
        return {}
    return {"learning_rate": _rounded(test.best)}


def _with_settings(
    study: PreparedStudy,
    settings: Mapping[str, ParameterValue],
    prepare: Callable[[StudySpec], PreparedStudy],
) -> PreparedStudy:
    """Return `study` with other values. The data is prepared again only if it depends on them."""
    of_data = {name.removeprefix("data."): v for name, v in settings.items() if name.startswith("data.")}
    others = {name: value for name, value in settings.items() if not name.startswith("data.")}
    configuration, old = configure(study.spec, others), study.spec
    data = replace(old.data, **of_data)  # type: ignore[arg-type] # suggested values are valid ones
    spec = replace(old, model=configuration.model, training=configuration.training, data=data)
    if data == old.data and spec.training.precision == old.training.precision:
        return replace(study, spec=spec)
    return prepare(spec)


def _is_worse(after: TrialDiagnosis, before: TrialDiagnosis, *, metric: str) -> bool:
    """Return True if the run `after` a step has a worse value and is not healthier, or is less healthy for no gain.

    Two runs that a fatal fault ended early are as ill: their values are those of untrained networks.
    """
    health, health_before = _health(after), _health(before)
    if health > health_before or (health == health_before == _ENDED_EARLY):
        return False
    gain = _score(after, metric) - _score(before, metric)
    return not gain > 0 if health < health_before else gain < 0


_ENDED_EARLY: Final = 0
_HEALTH: Final[Mapping[Cause, int]] = {Cause.INCONCLUSIVE: 2, Cause.HEALTHY: 3}
"""How healthy a run is that trained to its end; 1 with any fault."""


def _health(diagnosis: TrialDiagnosis) -> int:
    if diagnosis.steps < diagnosis.steps_planned:
        return _ENDED_EARLY
    return _HEALTH.get(diagnosis.verdict.cause, 1)


def _score(diagnosis: TrialDiagnosis, metric: str) -> float:
    """Return the result with a sign that makes larger ones better; the smallest number if it is not known.

    Losses before and after targets are scaled have different units, so in regression the RMSE stands for the loss.
    """
    last = diagnosis.last
    if metric == "validation_loss" and last is not None and "rmse" in last.scores:
        metric = "rmse"
    value = result_of(diagnosis, metric)
    if value is None or not math.isfinite(value):
        return -1e308
    return value if is_maximized(metric) else -value


def _reason(verdict: Verdict, steps: Sequence[HealingStep], *, most: int) -> str:
    """Return why no other remedy was tried, in a sentence."""
    found = verdict.primary
    if found.cause is Cause.HEALTHY:
        tried = f"Healthy after {len(steps)} remed{'y' if len(steps) == 1 else 'ies'}."
        return tried if steps else "Nothing to fix: the run is healthy."
    if len(steps) >= most:
        return f"Not healthy after {most} remedies: {found.cause} remains. {found.remedy}"
    if found.cause is Cause.INCONCLUSIVE:
        return f"Not known to be healthy: the verdict is inconclusive. {found.remedy}"
    if not found.suggested:
        return f"Not healthy: no setting is suggested for {found.cause}. {found.remedy}"
    settings = settings_words(_rounded_settings(found.suggested))
    return f"Not healthy: {found.cause} remains. Its remedy, {settings}, was tried or takes back an earlier change."


def default_healed_path(file: Path) -> Path:
    """Return the name of the healed file in the current folder: `digits-healed.toml` for `studies/digits.toml`."""
    return Path(f"{file.stem}-healed.toml")


def check_healed_path(path: Path, *, may_exist: bool) -> None:
    """Raise HpsearchError unless the healed file can be written at `path`, before anything is trained."""
    check_report_path(path, where="--output")
    if not may_exist and path.exists():
        raise HpsearchError(
            f"{path}: must not exist yet: name it with --output to write over it, or name another file"
        )


def write_healed(
    path: Path, file: Path | None, *, changes: Mapping[str, Any], configuration: str | None = None
) -> HealedFile:
    """Write the study of `file` with `changes`, key paths with raw values, to `path`.

    Values are changed in the text of the file. If its form does not allow that, or one of its exact configurations was
    chosen, the whole study is written anew, with every key and without comments; it keeps the chosen configuration
    only. Without a file the changes are the whole study. A relative path of the data stays true.
    """
    text = "" if file is None else read_text(file)
    folder = Path() if file is None else file.parent
    name = "the study" if file is None else str(file)
    document = parse_document(text, source=name)
    changes = dict(changes)
    if source := _moved_source(with_settings(document, changes), folder, path.parent):
        changes["data.source"] = source
    changed = with_settings(document, changes)
    exact = "configurations" in document
    if exact:
        spec = study_from_document(document, source=name, folder=folder)
        changed = _with_one_configuration(changed, spec, changes, configuration)
    edited = None if exact or None in changes.values() else edited_text(text, changes)
    whole = edited or specification_text(_study(changed, name, folder))
    parse_study(whole, source=str(path), locate=lambda source: source)
    write_page(whole, path, where="healed study file")
    return HealedFile(path=path, keeps_text=edited is not None)


def _study(document: Mapping[str, Any], name: str, folder: Path) -> StudySpec:
    """Return the study of a document in which None stands for a key that is left out."""
    whole = {
        key: {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value
        for key, value in document.items()
        if value is not None
    }
    return study_from_document(whole, source=name, folder=folder)


def _with_one_configuration(
    document: Mapping[str, Any], spec: StudySpec, changes: Mapping[str, Any], chosen: str | None
) -> dict[str, Any]:
    """Return the document with the chosen one of its exact configurations, without the values that were changed."""
    exact = chosen_configuration(spec, chosen)
    params = {name: raw_setting(v) for name, v in exact.params if full_name(name) not in changes}
    others = {key: value for key, value in document.items() if key != "trials"}
    return {**others, "configurations": [{"name": exact.name, **params}]}


def _moved_source(document: Mapping[str, Any], old: Path, new: Path) -> str | None:
    """Return the absolute path of the data, if a relative one means another file in the folder `new`."""
    source = str(document.get("data", {}).get("source", ""))
    if source in BUILTIN_SOURCES:
        return None
    found = next((path for path in (old / source, Path(source)) if path.exists()), None)
    if found is None or (new / source).resolve() == found.resolve():
        return None
    return str(found.resolve())
