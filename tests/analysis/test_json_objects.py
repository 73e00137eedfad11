"""JSON objects for programs."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from hpsearch.analysis.json_objects import json_text, study_object, summary_object, trial_object
from hpsearch.analysis.snapshot import Snapshot
from hpsearch.trials import Fate, Trial, TrialState
from hpsearch.verdicts import Cause
from tests.report.synthetic import CREATED, empty, finding, only_deaths

TRIAL = Trial(
    number=7,
    state=TrialState.PRUNED,
    params={"learning_rate": 0.5, "model.activation": "relu"},
    curve={0: 0.3, 1: math.nan},
    finding=finding(Cause.DIVERGED_LR, first_step=132, evidence={"loss": math.inf, "logit_max": 3e6}),
    epochs=2,
    steps=30,
    worker="worker-1",
    attempts=1,
    started=CREATED,
    finished=CREATED,
)


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def test_a_trial_has_the_fields_of_the_design() -> None:
    """All fields are there, parameters flat, times in ISO 8601 with the zone."""
    shown = trial_object(TRIAL)
    assert shown["params"] == {"learning_rate": 0.5, "model.activation": "relu"}
    assert (shown["number"], shown["state"], shown["verdict"], shown["epochs"]) == (
        7,
        "pruned",
        "diverged_lr",
        2,
    )
    assert (shown["worker"], shown["steps"], shown["attempts"], shown["first_step"]) == (
        "worker-1",
        30,
        1,
        132,
    )
    assert shown["started"] == shown["finished"] == "2026-07-26T13:58:07+00:00"
    assert shown["remedy"].startswith("Lower the learning rate")


def test_a_number_that_json_lacks_is_null_with_a_reason() -> None:
    """NaN and infinity are null, with the reason in another field; finite numbers have none."""
    shown = trial_object(TRIAL)
    assert (shown["value"], shown["value_reason"]) == (None, "nan")
    assert shown["evidence"] == {"loss": None, "loss_reason": "infinity", "logit_max": 3e6}


@pytest.mark.parametrize(
    ("changes", "value", "reason"),
    [
        ({"value": 0.5}, 0.5, None),
        ({"value": math.inf}, None, "infinity"),
        ({"value": -math.inf}, None, "-infinity"),
        ({"value": math.nan}, None, "nan"),
        ({"curve": {0: math.inf}}, None, "infinity"),
        ({"curve": {}}, None, "no_epoch"),
        ({"curve": {}, "state": TrialState.RUNNING}, None, "running"),
        ({"curve": {}, "state": TrialState.WAITING, "finding": None}, None, "waiting"),
    ],
)
def test_a_missing_value_has_a_reason(
    changes: dict[str, Any], value: float | None, reason: str | None
) -> None:
    """Every null value has a reason, and no other value has one."""
    shown = trial_object(replace(TRIAL, **changes))
    assert (shown["value"], shown["value_reason"]) == (value, reason)


def test_every_trial_is_strict_json(study: Snapshot, regression: Snapshot) -> None:
    """Every trial, even with unusual values, is strict JSON."""
    for trial in (*study.trials, *regression.trials):
        json.loads(json_text(trial_object(trial)), parse_constant=_no_constant)


def test_a_study_has_the_fields_of_the_design(study: Snapshot) -> None:
    """Counts add up to the trials, the ledger to the epochs, and the best is a trial."""
    shown = study_object(study.study, study.progress)
    assert json.loads(json_text(shown), parse_constant=_no_constant) == shown
    assert (shown["name"], shown["state"], shown["trials"]) == ("digits", "running", 120)
    assert shown["finished"] == shown["complete"] + shown["pruned"]
    counts = [shown[key] for key in ("complete", "pruned", "failed", "running", "waiting")]
    assert sum(counts) == len(study.trials) == sum(shown["fates"].values())
    assert sum(shown["ledger"].values()) == shown["epochs"]
    assert shown["best"] == trial_object(study.progress.best) if study.progress.best else False
    assert shown["fates"][Fate.DIVERGED.value] > 0


def test_a_study_without_trials_has_no_best() -> None:
    """Before the first trial the best is null and the ledger empty."""
    snapshot = empty()
    shown = study_object(snapshot.study, snapshot.progress)
    assert (shown["state"], shown["best"], shown["ledger"]) == ("open", None, {})


def test_json_is_strict() -> None:
    """An unhandled NaN is an error of ours, not text that other programs cannot read."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"value": math.nan})


def test_a_summary_is_strict_json(study: Snapshot, regression: Snapshot, hostile: Snapshot) -> None:
    """The summary of any trials has the same fields, and is strict JSON."""
    for snapshot in (study, regression, hostile, empty(), only_deaths()):
        shown = summary_object(snapshot.study, snapshot.trials)
        assert set(shown) == {"fates_by_decade", "advice", "audit", "configurations"}
        assert json.loads(json_text(shown)) == shown


def test_a_whole_study_is_summed_up(study: Snapshot) -> None:
    """A study with too slow trials at its lower end should begin higher, or end lower if more died there."""
    shown = summary_object(study.study, study.trials)
    assert shown["advice"].startswith("no trial with a learning rate ")
    assert [row["low"] for row in shown["fates_by_decade"]] == sorted(
        row["low"] for row in shown["fates_by_decade"]
    )


def test_an_empty_study_has_no_advice() -> None:
    """Before the first trial there are no decades and no advice."""
    snapshot = empty()
    shown = summary_object(snapshot.study, snapshot.trials)
    assert (shown["fates_by_decade"], shown["advice"], shown["audit"]["audited"]) == ([], None, 0)
