"""A copy of one study in memory, in the form in which Optuna's samplers and pruners read a study."""

import copy
from bisect import bisect_left
from collections.abc import Container, Sequence
from typing import Any, NoReturn, final

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STUDY_ID = 0
"""The id of the one study of every mirror."""


@final
class Mirror(BaseStorage):
    """One study without a database. A trial's id is its number.

    Trials are inserted by number, in any order and with gaps; Optuna reads them sorted by number. `create_new_trial` is
    closed, because a number comes from the database: insert a trial as WAITING, and `Study.ask` takes it.

    Reads hand out the trials themselves, never copies. Writes replace a trial by a changed copy, as Optuna requires of
    a storage: a pruner compares the list that it read earlier with the trial after its write. One thread at a time may
    use it.
    """

    def __init__(self, name: str, direction: StudyDirection) -> None:
        self._name = name
        self._direction = direction
        self._study_attributes: dict[str, Any] = {}
        self._numbers: list[int] = []  # sorted; `_trials` has the same order
        self._trials: list[FrozenTrial] = []
        self._waiting: set[int] = set()
        self._written: dict[int, dict[str, Any]] = {}

    def put(self, trial: FrozenTrial) -> None:
        """Insert `trial`, or replace the one of its number."""
        index = bisect_left(self._numbers, trial.number)
        if self._has(index, trial.number):
            self._trials[index] = trial
        else:
            self._numbers.insert(index, trial.number)
            self._trials.insert(index, trial)
        self._note(trial)

    def remove(self, number: int) -> None:
        """Remove trial `number`, if it exists."""
        index = bisect_left(self._numbers, number)
        if self._has(index, number):
            del self._numbers[index], self._trials[index]
            self._waiting.discard(number)

    def __contains__(self, number: int) -> bool:
        return self._has(bisect_left(self._numbers, number), number)

    def take_written(self, number: int) -> dict[str, Any]:
        """Return the system attributes that Optuna set on a trial since the last call, and clear them."""
        return self._written.pop(number, {})

    # Methods that Optuna reads with.

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return trial `trial_id`. Raises KeyError if it is not in the mirror."""
        return self._trials[self._index(trial_id)]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,  # noqa: FBT001, FBT002  # Optuna's signature
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """Return the trials in `states`, sorted by number; copies only on request."""
        if states is None:
            trials = list(self._trials)
        elif states == (TrialState.WAITING,):  # every `ask` begins with this, so it must not look through all
            trials = [self.get_trial(number) for number in sorted(self._waiting)]
        else:
            trials = [trial for trial in self._trials if trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the one study's id. Raises KeyError for another name."""
        if study_name != self._name:
            raise KeyError(f"study {study_name!r}: not in this mirror of {self._name!r}")
        return STUDY_ID

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the study's name."""
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the study's one direction."""
        return [self._direction]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return nothing: neither samplers nor pruners read user attributes."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the study's system attributes."""
        return self._study_attributes

    # Methods that samplers and pruners write with.

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Store `value` under `key` with the study."""
        self._study_attributes = {**self._study_attributes, key: value}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Store `value` under `key` with the trial, and remember it for `take_written`."""
        trial = self._changed(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}
        self._written.setdefault(trial_id, {})[key] = value

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Give the trial one more parameter."""
        trial = self._changed(trial_id)
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}
        trial.distributions = {**trial.distributions, param_name: distribution}

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set the trial's state, and its values if they are given.

        Return False, without a change, if a trial that is not WAITING should run: Optuna's `ask` relies on that.
        """
        if state is TrialState.RUNNING and self.get_trial(trial_id).state is not TrialState.WAITING:
            return False
        trial = self._changed(trial_id)
        trial.state = state
        if values is not None:
            trial.values = values
        self._note(trial)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set the trial's value at `step`."""
        trial = self._changed(trial_id)
        trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}

    # Methods without a meaning for a copy of one study whose numbers come from the database.

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Refuse: a trial's number comes from the database."""
        self._refuse("create_new_trial", study_id, template_trial)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Refuse: the study exists from the start."""
        self._refuse("create_new_study", directions, study_name)

    def delete_study(self, study_id: int) -> None:
        """Refuse: the study lives as long as its mirror."""
        self._refuse("delete_study", study_id)

    def get_all_studies(self) -> list[Any]:
        """Refuse: there is one study, and its id is known."""
        self._refuse("get_all_studies")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Refuse: neither samplers nor pruners keep user attributes."""
        self._refuse("set_study_user_attr", study_id, key, value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Refuse: neither samplers nor pruners keep user attributes."""
        self._refuse("set_trial_user_attr", trial_id, key, value)

    def _refuse(self, method: str, *arguments: object) -> NoReturn:
        raise NotImplementedError(f"Mirror.{method}: closed (got {arguments}): put trials in by number")

    def _note(self, trial: FrozenTrial) -> None:
        if trial.state is TrialState.WAITING:
            self._waiting.add(trial.number)
        else:
            self._waiting.discard(trial.number)

    def _has(self, index: int, number: int) -> bool:
        return index < len(self._numbers) and self._numbers[index] == number

    def _index(self, number: int) -> int:
        index = bisect_left(self._numbers, number)
        if not self._has(index, number):
            raise KeyError(f"trial {number}: not in the mirror of {self._name!r}")
        return index

    def _changed(self, number: int) -> FrozenTrial:
        """Replace trial `number` in place by a copy of it, and return that copy for changes."""
        index = self._index(number)
        self._trials[index] = trial = copy.copy(self._trials[index])
        return trial
