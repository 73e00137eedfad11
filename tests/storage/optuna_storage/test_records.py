"""Trials as rows and as Optuna shows them."""

import copy
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpsearch.storage.optuna.records import (
    Details,
    Head,
    copied,
    details_of,
    frozen,
    local,
    name_of,
    step_of,
    stored_time,
    value_of,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def a_trial(**changes: object) -> FrozenTrial:
    """Return a finished trial with one of everything."""
    parts: dict[str, object] = {
        "values": [0.5, -math.inf],
        "params": {"x": 0.1, "n": 3, "kind": None},
        "distributions": {
            "x": FloatDistribution(1e-6, 1.0, log=True),
            "n": IntDistribution(1, 9),
            "kind": CategoricalDistribution((None, "a", 1.5)),
        },
        "intermediate_values": {0: math.inf, 7: 0.25},
        "user_attrs": {"list": [1, {"a": None}]},
        "system_attrs": {"text": "ä\0"},
    }
    return create_trial(**(parts | changes))  # type: ignore[arg-type]  # each part has its own type


def shown(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial as it is after it was stored and read."""
    head = Head(
        trial_id=5,
        study_id=1,
        number=2,
        state=trial.state,
        start=local(stored_time(trial.datetime_start)),
        complete=local(stored_time(trial.datetime_complete)),
    )
    return frozen(head, details_of(trial))


def test_a_trial_is_shown_as_it_was_given() -> None:
    """What is stored of a trial and read again is the trial, but for its number and id."""
    trial = a_trial()
    seen = shown(trial)
    assert (seen.number, seen.state) == (2, TrialState.COMPLETE)
    for part in ("values", "params", "distributions", "intermediate_values", "user_attrs", "system_attrs"):
        assert getattr(seen, part) == getattr(trial, part), part
    assert (seen.datetime_start, seen.datetime_complete) == (trial.datetime_start, trial.datetime_complete)


@given(st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), JSON))
def test_attributes_are_json(attributes: dict[str, object]) -> None:
    """Every JSON value comes back equal, NaN as NaN."""
    assert repr(shown(a_trial(user_attrs=attributes)).user_attrs) == repr(attributes)


def test_a_copy_shares_nothing_that_changes() -> None:
    """A copied trial equals its original, and stays as it is when that is changed at any depth."""
    trial = shown(a_trial())
    copy_ = copied(trial)
    before = copy.deepcopy(trial)
    assert copy_ == trial
    trial.params["x"] = 0.2
    trial.user_attrs["list"].append(2)
    trial.intermediate_values[8] = 1.0
    trial.distributions.clear()
    assert copy_ == before


def test_newer_rows_lie_over_older_ones() -> None:
    """Rows of the same name, key, step or objective are replaced, others kept, and neither side is changed."""
    older = Details(reports={0: 0.0, 1: 1.0}, user_attributes={"a": "1"}, values={0: 1.0})
    newer = Details(reports={1: 2.0}, system_attributes={"a": "2"}, values={0: 2.0})
    both = older.under(newer)
    assert both == Details(
        reports={0: 0.0, 1: 2.0}, user_attributes={"a": "1"}, system_attributes={"a": "2"}, values={0: 2.0}
    )
    assert (len(older), len(newer), len(both)) == (4, 3, 5)
    assert older.reports[1] == 1.0
    assert older.under(None) is older


@pytest.mark.parametrize("name", ["", "k" * 512, "ä\n\U0001f600"])
def test_text_is_a_name(name: str) -> None:
    """Every text that all databases accept is a name."""
    assert name_of("study name", name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "k" * 513,
            r"^study name: must be at most 512 characters \(got 'k{80}'\.\.\., 513 .*\): shorten it$",
        ),
        ("a\0b", r"^study name: must have no NUL character \(got 'a\\x00b'\): leave that character out$"),
        ("\udc00", r"^study name: must have no half of a surrogate pair, '\\udc00' \(got "),
    ],
)
def test_what_some_database_refuses_is_no_name(name: str, message: str) -> None:
    """A name that is too long or no text is refused: what it names, the rule, the name, and what to do."""
    with pytest.raises(ValueError, match=message):
        name_of("study name", name)


@pytest.mark.parametrize("name", [5, None, b"key"])
def test_what_is_no_text_is_no_name(name: object) -> None:
    """A name that is no str is refused with what it is."""
    with pytest.raises(TypeError, match=r"^attribute key: must be text \(got .*\): give a str$"):
        name_of("attribute key", name)


def test_rows_apart_are_all_rows() -> None:
    """Each row of a trial comes alone, with a name, and together they are the trial's rows."""
    whole = details_of(a_trial())
    both = Details()
    names = set()
    for name, row in whole.apart():
        assert len(row) == 1
        both = both.under(row)
        names.add(name)
    assert both == whole
    assert len(names) == len(whole)
    assert {'parameter "x"', "report of step 7", 'user attribute "list"', "value 1"} <= names


def test_numbers_that_do_not_fit_are_refused() -> None:
    """A step beyond 32 bits and a value that is NaN are refused with the number."""
    assert (step_of(2**31 - 1), value_of(math.inf)) == (2**31 - 1, math.inf)
    with pytest.raises(ValueError, match=r"^step: must be .* \(got 2147483648\): count in larger steps$"):
        step_of(2**31)
    with pytest.raises(ValueError, match=r"^value: must be a number \(got nan\)"):
        value_of(math.nan)


@given(st.floats(0, 2**31))
def test_times_come_back(epoch_s: float) -> None:
    """A time that was stored is shown in local time, and stored again it is the same."""
    stored = datetime.fromtimestamp(epoch_s, UTC).replace(tzinfo=None)
    assert stored_time(local(stored)) == stored
    assert local(None) is stored_time(None) is None
