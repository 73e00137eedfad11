"""What this package takes from Optuna that Optuna calls private or does not document. Nothing else here does.

`tests/storage/optuna_storage/test_internals.py` names each of these with what to do when Optuna changes it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

__all__ = [
    "DEFAULT_STUDY_NAME_PREFIX",
    "BaseHeartbeat",
    "FrozenStudy",
    "frozen_study",
    "frozen_trial",
    "trial_id_of",
]


def trial_id_of(trial: FrozenTrial) -> int:
    """Return a trial's id in the database."""
    return trial._trial_id  # noqa: SLF001  # the documented attributes have its number only


def frozen_trial(  # noqa: PLR0913  # Optuna's record of a trial has these parts
    *,
    trial_id: int,
    number: int,
    state: TrialState,
    values: Sequence[float] | None,
    start: datetime | None,
    complete: datetime | None,
    params: dict[str, Any],
    distributions: dict[str, BaseDistribution],
    user_attrs: dict[str, Any],
    system_attrs: dict[str, Any],
    intermediate_values: dict[int, float],
) -> FrozenTrial:
    """Return Optuna's record of a trial. It keeps the mappings that it is given."""
    return FrozenTrial(
        number=number,
        state=state,
        value=None,
        values=values,
        datetime_start=start,
        datetime_complete=complete,
        params=params,
        distributions=distributions,
        user_attrs=user_attrs,
        system_attrs=system_attrs,
        intermediate_values=intermediate_values,
        trial_id=trial_id,
    )


def frozen_study(
    study_id: int,
    name: str,
    directions: Sequence[StudyDirection],
    *,
    user_attrs: Mapping[str, Any],
    system_attrs: Mapping[str, Any],
) -> FrozenStudy:
    """Return Optuna's record of a study."""
    return FrozenStudy(
        study_name=name,
        direction=None,
        directions=directions,
        user_attrs=dict(user_attrs),
        system_attrs=dict(system_attrs),
        study_id=study_id,
    )
