"""One of everything that can be set on a trial."""

from typing import Final

from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

UNIT: Final = FloatDistribution(0.0, 1.0)


def set_everything(storage: BaseStorage, trial_id: int) -> None:
    """Set one of everything on a running trial."""
    storage.set_trial_param(trial_id, "x", 0.25, UNIT)
    storage.set_trial_intermediate_value(trial_id, 3, 0.5)
    storage.set_trial_user_attr(trial_id, "who", {"a": [1, None]})
    storage.set_trial_system_attr(trial_id, "sampler", "tpe")


def has_everything(trial: FrozenTrial) -> bool:
    """Return True if a trial has the values of `set_everything`, and no others."""
    return (
        trial.params == {"x": 0.25}
        and trial.distributions == {"x": UNIT}
        and trial.intermediate_values == {3: 0.5}
        and trial.user_attrs == {"who": {"a": [1, None]}}
        and trial.system_attrs == {"sampler": "tpe"}
    )


def is_bare(trial: FrozenTrial) -> bool:
    """Return True if nothing has been set on a trial."""
    return not (trial.params or trial.intermediate_values or trial.user_attrs or trial.system_attrs)
