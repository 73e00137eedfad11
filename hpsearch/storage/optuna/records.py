"""A trial as stored in rows, and as Optuna shows it.

This module contains all private or undocumented parts of Optuna that this package uses.
`tests/storage/optuna_storage/test_internals.py` lists each with the remedy if Optuna changes it.
"""

import copy
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, final

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages._base import DEFAULT_STUDY_NAME_PREFIX
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from hpsearch.search.cmaes_state import with_plain_pickles
from hpsearch.storage.optuna_schema import ATTRIBUTE_LENGTH
from hpsearch.storage.stored_values import UNSTORABLE

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
    """Return Optuna's record of a trial. It keeps the given mappings."""
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


_INTEGER_MAX: Final = 2**31 - 1
"""The greatest number that an INTEGER column holds in every database."""

TEXT_SURE_BYTES: Final = 2**16 - 1
"""Every database accepts a text of this length: the limit of MariaDB's and MySQL's TEXT, the smallest of all."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """A trial's own row. Times are naive and local, as Optuna shows them."""

    trial_id: int
    study_id: int
    number: int
    state: TrialState
    start: datetime | None
    complete: datetime | None


@final
@dataclass(kw_only=True, slots=True)
class Details:
    """The rows that belong to a trial: stored already, or pending.

    `params` maps names to Optuna's stored float and the distribution's JSON text; attributes map keys to JSON text;
    `reports` maps steps, `values` objectives to numbers.
    """

    params: dict[str, tuple[float, str]] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    user_attributes: dict[str, str] = field(default_factory=dict)
    system_attributes: dict[str, str] = field(default_factory=dict)
    values: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of rows."""
        rows = self.params, self.reports, self.user_attributes, self.system_attributes, self.values
        return sum(len(part) for part in rows)

    @property
    def names(self) -> list[str]:
        """The names of parameters and the keys of attributes."""
        return [*self.params, *self.user_attributes, *self.system_attributes]

    @property
    def texts(self) -> list[str]:
        """All JSON texts."""
        distributions = [text for _, text in self.params.values()]
        return [*distributions, *self.user_attributes.values(), *self.system_attributes.values()]

    def apart(self) -> Iterator[tuple[str, "Details"]]:
        """Yield each row separately, with its name for messages."""
        for name, param in self.params.items():
            yield f'parameter "{name}"', Details(params={name: param})
        for step, report in self.reports.items():
            yield f"report of step {step}", Details(reports={step: report})
        for key, text in self.user_attributes.items():
            yield f'user attribute "{key}"', Details(user_attributes={key: text})
        for key, text in self.system_attributes.items():
            yield f'system attribute "{key}"', Details(system_attributes={key: text})
        for objective, value in self.values.items():
            yield f"value {objective}", Details(values={objective: value})

    def under(self, newer: "Details | None") -> "Details":
        """Return these rows, replaced by those of `newer` if both exist."""
        if newer is None:
            return self
        return Details(
            params=self.params | newer.params,
            reports=self.reports | newer.reports,
            user_attributes=self.user_attributes | newer.user_attributes,
            system_attributes=self.system_attributes | newer.system_attributes,
            values=self.values | newer.values,
        )


@lru_cache(maxsize=4096)
def distribution_of(text: str) -> BaseDistribution:
    """Return the distribution of JSON text. Trials share it: distributions are never changed."""
    return json_to_distribution(text)


def frozen(head: Head, details: Details) -> FrozenTrial:
    """Return the trial as Optuna shows it. It shares no mutable value.

    Optuna's CmaEsSampler would load any pickle that it finds: pickles of more than numbers are omitted.
    """
    distributions = {name: distribution_of(text) for name, (_, text) in details.params.items()}
    system_attrs = {key: json.loads(text) for key, text in details.system_attributes.items()}
    return frozen_trial(
        trial_id=head.trial_id,
        number=head.number,
        state=head.state,
        values=[details.values[i] for i in sorted(details.values)] or None,
        start=head.start,
        complete=head.complete,
        params={
            name: distributions[name].to_external_repr(stored) for name, (stored, _) in details.params.items()
        },
        distributions=distributions,
        user_attrs={key: json.loads(text) for key, text in details.user_attributes.items()},
        system_attrs=dict(with_plain_pickles(system_attrs)),
        intermediate_values=dict(details.reports),
    )


def copied(trial: FrozenTrial) -> FrozenTrial:
    """Return a copy of a trial that may be changed: `copy.deepcopy`, except for immutable parts."""
    return frozen_trial(
        trial_id=trial_id_of(trial),
        number=trial.number,
        state=trial.state,
        values=trial.values,
        start=trial.datetime_start,
        complete=trial.datetime_complete,
        params=copy.deepcopy(trial.params),
        distributions=dict(trial.distributions),
        user_attrs=copy.deepcopy(trial.user_attrs),
        system_attrs=copy.deepcopy(trial.system_attrs),
        intermediate_values=dict(trial.intermediate_values),
    )


def details_of(template: FrozenTrial) -> Details:
    """Return the rows of a trial that the caller created. Raises ValueError for values that cannot be stored."""
    details = Details(
        values={i: value_of(value) for i, value in enumerate(template.values or ())},
        reports={step_of(step): float(value) for step, value in template.intermediate_values.items()},
    )
    for name, value in template.params.items():
        distribution = template.distributions[name]
        details.params[name_of("parameter name", name)] = param_of(
            distribution.to_internal_repr(value), distribution
        )
    for there, here in (
        (template.user_attrs, details.user_attributes),
        (template.system_attrs, details.system_attributes),
    ):
        here.update({name_of("attribute key", key): json.dumps(value) for key, value in there.items()})
    return details


def param_of(stored: float, distribution: BaseDistribution) -> tuple[float, str]:
    """Return a parameter in the form of `Details`. Raises ValueError for a float that is not finite."""
    if not math.isfinite(stored):
        raise ValueError(f"parameter: must be finite to be stored (got {stored}): bound its distribution")
    return float(stored), distribution_to_json(distribution)


def name_of(what: str, name: object) -> str:
    """Return the name of a study or a parameter, or the key of an attribute; `what` names its kind in messages.

    Raises ValueError if no database accepts it, and TypeError if it is no text.
    """
    if not isinstance(name, str):
        raise TypeError(f"{what}: must be text (got {name!r}): give a str")
    if len(name) > ATTRIBUTE_LENGTH:
        raise ValueError(
            f"{what}: must be at most {ATTRIBUTE_LENGTH} characters "
            f"(got {name[:80]!r}..., {len(name)} characters): shorten it"
        )
    if (found := UNSTORABLE.search(name)) is not None:
        raise ValueError(
            f"{what}: must have no {_character(found[0])} (got {name[:80]!r}): leave that character out"
        )
    return name


def _character(found: str) -> str:
    return "NUL character" if found == "\0" else f"half of a surrogate pair, {found!r}"


def step_of(step: int) -> int:
    """Return the step of a report. Raises ValueError if no INTEGER column holds it."""
    if not -_INTEGER_MAX <= step <= _INTEGER_MAX:
        raise ValueError(
            f"step: must be between {-_INTEGER_MAX} and {_INTEGER_MAX} (got {step}): count in larger steps"
        )
    return int(step)


def value_of(value: float) -> float:
    """Return the value of an objective. Raises ValueError for NaN, which Optuna cannot store."""
    if math.isnan(value):
        raise ValueError(f"value: must be a number (got {value}): report NaN as a failed trial")
    return float(value)


def local(stored: datetime | None) -> datetime | None:
    """Return a time as Optuna shows it, naive and local, from its stored form, naive and in UTC."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def stored_time(shown: datetime | None) -> datetime | None:
    """Return the stored time that `local` shows."""
    return None if shown is None else shown.astimezone(UTC).replace(tzinfo=None)
