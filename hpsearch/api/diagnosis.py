"""Diagnoses of one configuration, without a database."""

from __future__ import annotations  # so that `help` shows the names of types, not what they stand for

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast, final, overload

from hpsearch.analysis.formats import format_share
from hpsearch.analysis.trial_facts import cause_words
from hpsearch.api.border import public
from hpsearch.api.data import Data, study_data
from hpsearch.api.documents import Draft, FilePath, raw_choice, tables_of
from hpsearch.api.options import NetworkOptions
from hpsearch.api.trials import RecordedTraining, TrialVerdict, verdict_of
from hpsearch.data.arrays import ArrayValues
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.study.files import with_examples
from hpsearch.study.messages import format_count
from hpsearch.telemetry import Epoch
from hpsearch.trials import ParameterValue
from hpsearch.verdicts import Cause
from hpsearch.worker.capacity import check_memory, job_of
from hpsearch.worker.preparation import PreparedStudy, prepare_study
from hpsearch.worker.trial_diagnosis import TrialDiagnosis, diagnose_configuration, record_configuration
from hpsearch.workflows.healing import Healing, HealingStep, heal, raw_settings, write_healed
from hpsearch.workflows.json_objects import JsonObject, diagnosis_object, healing_object

if TYPE_CHECKING:
    import plotly.graph_objects as go


@overload
def diagnose(
    study: FilePath,
    *,
    data: Data | None = None,
    target: str | None = None,
    seed: int | None = None,
    configuration: str | None = None,
    **settings: Unpack[NetworkOptions],
) -> Diagnosis: ...


@overload
def diagnose(
    study: ArrayValues, y: ArrayValues, *, seed: int | None = None, **settings: Unpack[NetworkOptions]
) -> Diagnosis: ...


@overload
def diagnose(
    *, data: Data, target: str | None = None, seed: int | None = None, **settings: Unpack[NetworkOptions]
) -> Diagnosis: ...


@public
def diagnose(
    study: FilePath | ArrayValues | None = None,
    y: ArrayValues | None = None,
    *,
    data: Data | None = None,
    target: str | None = None,
    seed: int | None = None,
    configuration: str | None = None,
    **settings: Unpack[NetworkOptions],
) -> Diagnosis:
    """Train one configuration until its fault is clear, and return the diagnosis. It needs no database.

    The configuration is that of a study file or an example, with `settings` in place of its own values:

    >>> diagnosis = hpsearch.diagnose("digits", learning_rate=30.0)
    >>> print(diagnosis.cause)
    dead_relu_total
    >>> diagnosis.remedy
    'Lower the learning rate from 30 to 0.5, or try model.activation = "leaky_relu" or model.batch_norm = true.'

    Without a file it is described by its data and `settings`, the keys of `[model]` and `[training]`. The data is a
    source, a table of keys, arrays, or a data frame with the column `target`:

    >>> print(hpsearch.diagnose(data="iris", hidden=[8], activation="sigmoid", learning_rate=1e-6, epochs=60).cause)
    lr_too_low

    `configuration` is the name of one of the file's exact configurations, or its place among them from 0. It trains for
    at most `epochs`, alone, as trial 0 of a study with the `seed`.
    """
    file: FilePath | None = None
    if y is not None and study is not None:
        data = cast("tuple[ArrayValues, ArrayValues]", (study, y))
    elif study is None or isinstance(study, str | os.PathLike):
        file = study
    else:
        raise UsageError(
            f"diagnose: inputs must come with targets (got a {type(study).__name__} alone):"
            " add y, or pass a data frame as data="
        )
    if file is None and data is None:
        raise UsageError("diagnose: needs a study file, data=, or arrays X and y (got none)")
    given = study_data(data, target=target, storage=None)
    draft = Draft(
        where="diagnose",
        file=file,
        values={"seed": seed} if file is not None else {"name": "diagnose", "seed": seed},
        tables={**tables_of(settings, where="diagnose"), "data": given.table},
        arrays=given.arrays,
    )
    return _diagnosis(draft, configuration)


def _diagnosis(draft: Draft, configuration: str | None) -> Diagnosis:
    prepared = draft.prepared_configuration(configuration)
    check_memory(job_of(prepared))
    return Diagnosis(draft, configuration, prepared, diagnose_configuration(prepared))


@final
class Diagnosis:
    """The diagnosis of one configuration: its verdict with evidence and remedy, and its training step by step.

    >>> diagnosis = hpsearch.diagnose("digits", learning_rate=1e-6)
    >>> diagnosis
    <Diagnosis: lr_too_low from step ..., confidence ... %>
    >>> diagnosis.suggested
    {'learning_rate': 0...}
    >>> print(diagnosis.with_remedy().cause)
    healthy
    """

    def __init__(
        self, draft: Draft, configuration: str | None, prepared: PreparedStudy, diagnosis: TrialDiagnosis
    ) -> None:
        self._draft = draft
        self._configuration = configuration
        self._prepared = prepared
        self._diagnosis = diagnosis
        self._training: RecordedTraining | None = None

    def __repr__(self) -> str:
        words, sure = cause_words(self._diagnosis.verdict.primary), format_share(self.confidence, 1)
        return f"<Diagnosis: {words}, confidence {sure}>"

    def _repr_html_(self) -> str:
        from hpsearch.api.notebook import verdict_card

        return verdict_card(
            self._diagnosis.verdict.primary,
            heading="Diagnosis",
            words=f"after {format_count(self.steps, 'step')}",
            curves=None if self._training is None else self.curves,
        )

    @property
    def verdict(self) -> TrialVerdict:
        """The strongest finding."""
        return verdict_of(self._diagnosis.verdict.primary)

    @property
    def findings(self) -> tuple[TrialVerdict, ...]:
        """All findings, strongest first.

        >>> [finding.cause.value for finding in hpsearch.diagnose("digits", learning_rate=30.0).findings][0]
        'dead_relu_total'
        """
        return tuple(map(verdict_of, self._diagnosis.verdict.findings))

    @property
    def cause(self) -> Cause:
        """The name of the verdict, such as `lr_too_low`; `healthy` if nothing is wrong."""
        return self.verdict.cause

    @property
    def confidence(self) -> float:
        """The confidence in the verdict, in 0..1."""
        return self.verdict.confidence

    @property
    def first_step(self) -> int:
        """The optimizer step (from 0) at which it began."""
        return self.verdict.first_step

    @property
    def evidence(self) -> Mapping[str, float]:
        """The statistics that support the verdict, with their values."""
        return self.verdict.evidence

    @property
    def remedy(self) -> str:
        """The suggested change, as a sentence."""
        return self.verdict.remedy

    @property
    def suggested(self) -> Mapping[str, ParameterValue]:
        """The values that the remedy suggests, by the names of their keys; `with_remedy` tries them."""
        return self.verdict.suggested

    @property
    def steps(self) -> int:
        """The steps of the optimizer until the fault was clear."""
        return self._diagnosis.steps

    @property
    def epochs(self) -> int:
        """The epochs that were begun."""
        return self._diagnosis.epochs

    @property
    def last_epoch(self) -> Epoch | None:
        """The losses, the accuracy and other metrics (`scores`) of the last finished epoch, if there is one."""
        return self._diagnosis.last

    @property
    def training(self) -> RecordedTraining:
        """The same training, recorded at every step: the first access trains it again.

        >>> hpsearch.diagnose("digits", learning_rate=30.0).training.figure_names[:3]
        ('accuracy', 'loss', 'output-weights')
        """
        if self._training is None:
            recording = record_configuration(self._prepared, steps=self.steps)
            self._training = RecordedTraining(recording, self._diagnosis.verdict.primary)
        return self._training

    @property
    def curves(self) -> dict[str, list[float]]:
        """The numbers of each minibatch before its step: `step`, `loss`, and `accuracy` in classification.

        >>> curves = hpsearch.diagnose("digits", learning_rate=30.0).curves
        >>> max(curves["loss"]) > 10 * curves["loss"][0]
        True
        """
        return self.training.curves

    @public
    def figure(self, name: str = "loss") -> go.Figure:
        """Return a figure of the training, such as `loss`, `firing` or `weight-gradients` (`training.figure_names`).

        >>> hpsearch.diagnose("digits", learning_rate=30.0).figure("firing").layout.height > 0
        True
        """
        return self.training.figure(name)

    @public
    def with_remedy(self) -> Diagnosis:
        """Return the diagnosis of the same configuration with the suggested values.

        >>> print(hpsearch.diagnose("digits", learning_rate=1e-6).with_remedy().cause)
        healthy

        Raises HpsearchError if nothing is suggested.
        """
        if not self.suggested:
            raise HpsearchError(f"with_remedy: must have suggested values to try (got none for {self.cause})")
        tables = tables_of(
            {name: raw_choice(value) for name, value in self.suggested.items()}, where="with_remedy"
        )
        return _diagnosis(self._draft.changed(tables), self._configuration)

    @public
    def heal(self) -> HealingResult:
        """Try remedies one after another, until the run is healthy or three were tried, and return what they did.

        >>> healing = hpsearch.diagnose("digits", learning_rate=30.0).heal()
        >>> for step in healing.steps:
        ...     print(step.settings, step.after.cause)
        {'learning_rate': 0.5} healthy

        A remedy that makes the run worse is not kept, and no earlier change is taken back.
        """
        prepare = partial(prepare_study, arrays=self._draft.arrays)
        healing = heal(self._prepared, first=self._diagnosis, prepare=prepare)
        return HealingResult(self._draft, self._configuration, healing)

    def to_dict(self) -> JsonObject:
        """Return the JSON object that `hpsearch diagnose --format json` prints.

        >>> hpsearch.diagnose("digits", learning_rate=30.0).to_dict()["verdict"]
        'dead_relu_total'
        """
        return diagnosis_object(self._diagnosis)


@final
class HealingResult:
    """The remedies that were tried on a configuration, one after another, and the result.

    >>> healing = hpsearch.diagnose("digits", learning_rate=30.0).heal()
    >>> healing
    <HealingResult: healthy after 1 remedy>
    >>> healing.settings
    {'learning_rate': 0.5}
    >>> print(healing.diagnosis.cause)
    healthy
    """

    def __init__(self, draft: Draft, configuration: str | None, healing: Healing) -> None:
        self._draft = draft
        self._configuration = configuration
        self._healing = healing

    def __repr__(self) -> str:
        count = len(self.steps)
        tried = f"{count} remed{'y' if count == 1 else 'ies'}"
        return f"<HealingResult: {self._healing.last.verdict.cause} after {tried}>"

    @property
    def steps(self) -> tuple[HealingStep, ...]:
        """The remedies that were tried: each with its `settings`, `before`, `after`, `value` and `is_kept`.

        >>> step = hpsearch.diagnose("digits", learning_rate=1e-6).heal().steps[0]
        >>> print(step.settings, step.before.cause, step.after.cause, step.is_kept)
        {'learning_rate': 0.5} lr_too_low healthy True

        `value` is that of the study's metric in the last finished epoch.
        """
        return tuple(self._healing.steps)

    @property
    def settings(self) -> Mapping[str, ParameterValue]:
        """All values that were changed and kept, by the names of their keys."""
        return self._healing.settings

    @property
    def is_healthy(self) -> bool:
        """True if the run is healthy with these values.

        >>> hpsearch.diagnose("digits", learning_rate=1e-6).heal().is_healthy
        True
        """
        return self._healing.is_healthy

    @property
    def reason(self) -> str:
        """Why no other remedy was tried, in a sentence.

        >>> hpsearch.diagnose("digits").heal().reason
        'Nothing to fix: the run is healthy.'
        """
        return self._healing.reason

    @property
    def diagnosis(self) -> Diagnosis:
        """The diagnosis with the values that were kept."""
        settings = {name: raw_choice(value) for name, value in self.settings.items()}
        draft = self._draft.changed(tables_of(settings, where="heal"))
        return Diagnosis(draft, self._configuration, self._healing.study, self._healing.last)

    @public
    def save(self, path: FilePath) -> None:
        """Write the study file with the values that were kept. An existing file is replaced.

        >>> hpsearch.diagnose("digits", learning_rate=30.0).heal().save("healed.toml")
        >>> print(hpsearch.diagnose("healed.toml").cause)
        healthy

        Raises HpsearchError if the data are arrays or a data frame, which a study file cannot hold.
        """
        if self._draft.arrays is not None:
            raise HpsearchError(
                "save: must have data that a study file can name (got arrays): write them to a file, and diagnose that"
            )
        file = None if self._draft.file is None else with_examples(Path(self._draft.file))
        changes = self._draft.changes() | raw_settings(self.settings)
        write_healed(Path(path), file, changes=changes, configuration=self._configuration)

    def to_dict(self) -> JsonObject:
        """Return the JSON object that `hpsearch diagnose --fix --format json` prints.

        >>> hpsearch.diagnose("digits", learning_rate=1e-6).heal().to_dict()["settings"]
        {'learning_rate': 0.5}
        """
        return healing_object(self._healing, None)
