"""The mirror of a study in memory."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection, load_study
from optuna.trial import FrozenTrial, TrialState

from hpsearch.search.mirror import STUDY_ID, Mirror


def empty_mirror() -> Mirror:
    """Return an empty mirror."""
    return Mirror("toy", StudyDirection.MINIMIZE)


def trial(number: int, state: TrialState = TrialState.COMPLETE, **known: Any) -> FrozenTrial:
    """Return a trial without parameters."""
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs=known,
        intermediate_values={},
    )


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_trials_are_read_by_number(put: list[int], removed: list[int]) -> None:
    """Whatever was inserted and removed, Optuna reads each trial once, sorted by number."""
    mirror = empty_mirror()
    for number in put:
        mirror.put(trial(number))
    for number in removed:
        mirror.remove(number)
    left = sorted(set(put) - set(removed))
    assert [t.number for t in mirror.get_all_trials(STUDY_ID)] == left
    assert all(number in mirror for number in left)
    assert all(number not in mirror for number in removed)


def test_putting_a_number_again_replaces_its_trial() -> None:
    """The last trial inserted under a number is the one that is read."""
    mirror = empty_mirror()
    mirror.put(trial(3, TrialState.WAITING))
    mirror.put(trial(3, TrialState.FAIL))
    assert [t.state for t in mirror.get_all_trials(STUDY_ID)] == [TrialState.FAIL]
    assert mirror.get_all_trials(STUDY_ID, states=(TrialState.WAITING,)) == []


def test_reading_copies_nothing() -> None:
    """Without `deepcopy` reads return the trials themselves, so reading costs no more than a list."""
    mirror = empty_mirror()
    one = trial(0)
    mirror.put(one)
    assert mirror.get_all_trials(STUDY_ID, deepcopy=False)[0] is one
    assert mirror.get_trial(0) is one
    assert mirror.get_all_trials(STUDY_ID, deepcopy=True)[0] is not one


def test_a_read_trial_does_not_change() -> None:
    """A write replaces the trial: asha compares the list from before its own write with the trial."""
    mirror = empty_mirror()
    mirror.put(trial(0, TrialState.RUNNING))
    before = mirror.get_all_trials(STUDY_ID, deepcopy=False)[0]
    mirror.set_trial_system_attr(0, "completed_rung_0", 0.5)
    mirror.set_trial_intermediate_value(0, 1, 0.5)
    mirror.set_trial_param(0, "x", 2.0, IntDistribution(0, 9))
    mirror.set_trial_state_values(0, TrialState.COMPLETE, [0.5])
    assert before == trial(0, TrialState.RUNNING)
    after = mirror.get_trial(0)
    assert after.system_attrs == {"completed_rung_0": 0.5}
    assert after.intermediate_values == {1: 0.5}
    assert after.params == {"x": 2}
    assert (after.state, after.value) == (TrialState.COMPLETE, 0.5)


def test_written_attributes_are_taken_once() -> None:
    """Attributes that Optuna wrote are returned once, to be stored; those of the inserted trial are not."""
    mirror = empty_mirror()
    mirror.put(trial(0, TrialState.RUNNING, known=1))
    mirror.set_trial_system_attr(0, "rung", 2)
    assert mirror.take_written(0) == {"rung": 2}
    assert mirror.take_written(0) == {}
    assert mirror.get_trial(0).system_attrs == {"known": 1, "rung": 2}


def test_ask_takes_the_waiting_trial_under_its_number() -> None:
    """`Study.ask` runs the trial that was inserted as WAITING, and creates no number."""
    mirror = empty_mirror()
    study = load_study(study_name="toy", storage=mirror, sampler=RandomSampler(seed=0))
    mirror.put(trial(7, TrialState.WAITING))
    mirror.put(trial(2))
    asked = study.ask({"x": FloatDistribution(0.0, 1.0)})
    assert asked.number == 7
    assert mirror.get_trial(7).state is TrialState.RUNNING
    assert 0.0 <= mirror.get_trial(7).params["x"] <= 1.0
    with pytest.raises(NotImplementedError, match="create_new_trial"):
        study.ask()


def test_a_running_trial_is_not_started_again() -> None:
    """Starting a running trial returns False, as if another worker had taken it."""
    mirror = empty_mirror()
    mirror.put(trial(0, TrialState.RUNNING))
    assert not mirror.set_trial_state_values(0, TrialState.RUNNING)


def test_unknown_trials_and_studies_are_key_errors() -> None:
    """Unknown trials and studies raise the exceptions of Optuna's storages."""
    with pytest.raises(KeyError, match="trial 4: not in the mirror of 'toy'"):
        empty_mirror().get_trial(4)
    with pytest.raises(KeyError, match="other"):
        empty_mirror().get_study_id_from_name("other")
