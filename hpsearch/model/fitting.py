"""Fit again: the model of a stored trial, trained once more and checked against the stored curve."""

import math
import platform
import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import final

import numpy as np
from threadpoolctl import threadpool_limits

import hpsearch
from hpsearch.analysis.replay import check_sentence
from hpsearch.data.prepare import PreparedData, joined_parts
from hpsearch.errors import HpsearchError
from hpsearch.model.trained_model import TrainedModel, TrainedOn, TrainingResult
from hpsearch.study.metrics import kept_epoch
from hpsearch.telemetry import Epoch
from hpsearch.training.recording import Recording, record
from hpsearch.trials import TrialState
from hpsearch.worker.preparation import PreparedStudy
from hpsearch.worker.replay import Replay, ReplayCheck, ReplayRequest, StoredTrial, replay


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FittedTrial:
    """The model of a trial, and the comparison of its training with the stored values."""

    model: TrainedModel
    check: ReplayCheck


def fit_again(
    stored: StoredTrial,
    *,
    on: TrainedOn = "training",
    allow_pruned: bool = False,
    allow_difference: bool = False,
    prepared: PreparedStudy | None = None,
) -> FittedTrial:
    """Train a stored trial again and return its model with the weights of the epoch that counts (`training.keep`).

    Validation saw them. A pruned trial has those of its last whole epoch. With `on` "all" the checked configuration is
    then trained on training and validation part together, for the same number of epochs, and the model has those
    weights. A study with folds has no single training part, so its models are always trained on all examples but those
    of the test part. The data is read anew unless the study is `prepared` in memory.

    Raises HpsearchError for a trial that is not complete, or pruned with `allow_pruned`; and if a stored number does
    not come out again, except with `allow_difference`. Raises the errors of `replay` if the data is not the study's.
    """
    _check_state(stored, allow_pruned=allow_pruned)
    is_pruned = stored.trial.state is TrialState.PRUNED
    request = ReplayRequest(epochs=max(stored.trial.curve) + 1 if is_pruned else None)
    made = replay(stored, request, prepared=prepared)
    difference = _difference_words(stored, made)
    if difference is not None and not allow_difference:
        raise HpsearchError(
            f"{_name(stored)}: the model must have the stored results (got another training: {difference}): export it "
            "on the machine that trained it, or allow a difference; then the model has the results of this training"
        )
    model = _model_of(stored, made, is_verified=difference is None)
    if made.data.folds:
        model = _with_all_examples(model, made, made.data, _name(stored))
    elif on == "all":
        model = _with_all_examples(model, made, joined_parts(made.data), _name(stored))
    return FittedTrial(model=model, check=made.check)


def _with_all_examples(model: TrainedModel, made: Replay, data: PreparedData, where: str) -> TrainedModel:
    """Return the model with the weights of a training on `data`, which has all examples in its training part.

    Raises HpsearchError if they are not finite.
    """
    subject = replace(made.original.recording.subject, data=data)
    with threadpool_limits(limits=1):
        recording = record(subject, until_step=model.result.epochs * subject.steps_per_epoch)
    if not np.isfinite(recording.final.parameters).all():
        raise HpsearchError(
            f"{where}: must stay finite when it is trained on all examples (got weights that are not): "
            "export it as it was trained in the search"
        )
    return replace(
        model,
        parameters=recording.final.parameters,
        running=recording.final.running,
        result=replace(model.result, steps=recording.steps, trained_on="all"),
    )


def _name(stored: StoredTrial) -> str:
    return f'study "{stored.study.spec.name}": trial {stored.trial.number}'


def _check_state(stored: StoredTrial, *, allow_pruned: bool) -> None:
    """Raise HpsearchError unless the trial is complete, or pruned after an epoch and that is allowed."""
    trial, best = stored.trial, f"hpsearch study best {shlex.quote(stored.study.spec.name)}"
    if trial.state is TrialState.COMPLETE or (
        trial.state is TrialState.PRUNED and allow_pruned and trial.curve
    ):
        return
    remedy = f"choose one that `{best}` lists"
    if trial.state is TrialState.PRUNED and not allow_pruned:
        remedy += ", or allow a pruned trial"
    rule = "have finished an epoch" if trial.state is TrialState.PRUNED and allow_pruned else "be complete"
    raise HpsearchError(
        f'{_name(stored)}: must {rule} to have a model (got the fate "{trial.fate}"): {remedy}'
    )


def _difference_words(stored: StoredTrial, made: Replay) -> str | None:
    """Return the first difference from the stored results, or None if all came out again, bit for bit."""
    if made.check.difference is not None:
        return check_sentence(made.check)
    metric, value = stored.study.spec.metric, stored.trial.value
    again = _kept_epoch(stored, made).value(metric)
    # Optuna has no value for a result that is not finite.
    is_lost = (value is None or math.isnan(value)) and again is not None and not math.isfinite(again)
    if value == again or is_lost:
        return None
    return f"{metric} is {again} and was {value}"


def _kept_epoch(stored: StoredTrial, made: Replay) -> Epoch:
    """Return the epoch that counts: of a trial that is not complete, the last one."""
    if not made.epochs:
        raise HpsearchError(
            f"{_name(stored)}: must have finished an epoch to have a model (got {made.original.recording.steps}"
            " steps): choose another trial"
        )
    is_complete = stored.trial.state is TrialState.COMPLETE
    keep = made.original.recording.subject.configuration.training.keep if is_complete else "last"
    return kept_epoch(made.epochs, metric=stored.study.spec.metric, keep=keep)


def _trained_until(kept: Epoch, recording: Recording) -> Recording:
    """Return the recording, trained again up to the `kept` epoch if it went on."""
    if kept.epoch == recording.telemetry.epochs[-1].epoch:
        return recording
    with threadpool_limits(limits=1):
        return record(recording.subject, until_step=(kept.epoch + 1) * recording.subject.steps_per_epoch)


def _model_of(stored: StoredTrial, made: Replay, *, is_verified: bool) -> TrainedModel:
    kept, data = _kept_epoch(stored, made), made.data
    recording = _trained_until(kept, made.original.recording)
    configuration = recording.subject.configuration
    blocks = recording.network.blocks
    return TrainedModel(
        spec=replace(
            stored.study.spec,
            model=configuration.model,
            training=configuration.training,
            search=(),
            configurations=(),
        ),
        trial=stored.trial.number,
        params=dict(stored.trial.params),
        inputs=blocks[0].dense.inputs,
        outputs=blocks[-1].dense.outputs,
        classes=data.classes,
        preprocessing=data.preprocessing,
        target_scaling=data.target_scaling,
        parameters=recording.final.parameters,
        running=recording.final.running,
        result=TrainingResult(
            epochs=kept.epoch + 1,
            steps=recording.steps,
            training_examples=len(data.training.inputs),
            validation_examples=sum(len(one.validation.inputs) for one in data.searched),
            training_loss=kept.training_loss,
            validation_loss=kept.validation_loss,
            validation_accuracy=kept.validation_accuracy,
            scores=dict(kept.scores),
            stored_value=stored.trial.value,
            is_verified=is_verified,
        ),
        origin=data.origin,
        fingerprint=data.fingerprint,
        versions={
            "hpsearch": hpsearch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        created=datetime.now(UTC).replace(microsecond=0),
    )
