"""The picture of a study in memory."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.study import StudyDirection, load_study
from optuna.trial import FrozenTrial, TrialState

from hpsearch.search.mirror import STUDY_ID, Mirror


def mirror() -> Mirror:
    """Return an empty picture."""
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
def test_trials_come_in_any_order_and_are_read_by_number(put: list[int], removed: list[int]) -> None:
    """Whatever was put in and taken out again, Optuna reads each trial once, sorted by number."""
    picture = mirror()
    for number in put:
        picture.put(trial(number))
    for number in removed:
        picture.remove(number)
    left = sorted(set(put) - set(removed))
    assert [t.number for t in picture.get_all_trials(STUDY_ID)] == left
    assert all(number in picture for number in left)
    assert all(number not in picture for number in removed)


def test_putting_a_number_again_replaces_its_trial() -> None:
    """A trial is known by its number: the last one put in is the one that is read."""
    picture = mirror()
    picture.put(trial(3, TrialState.WAITING))
    picture.put(trial(3, TrialState.FAIL))
    assert [t.state for t in picture.get_all_trials(STUDY_ID)] == [TrialState.FAIL]
    assert picture.get_all_trials(STUDY_ID, states=(TrialState.WAITING,)) == []


def test_reading_copies_nothing() -> None:
    """Without `deepcopy` the trials themselves are handed out, so reading costs no more than a list."""
    picture = mirror()
    one = trial(0)
    picture.put(one)
    assert picture.get_all_trials(STUDY_ID, deepcopy=False)[0] is one
    assert picture.get_trial(0) is one
    assert picture.get_all_trials(STUDY_ID, deepcopy=True)[0] is not one


def test_what_was_read_does_not_change_when_it_is_written() -> None:
    """A write replaces the trial: asha compares the list from before its own write with the trial."""
    picture = mirror()
    picture.put(trial(0, TrialState.RUNNING))
    before = picture.get_all_trials(STUDY_ID, deepcopy=False)[0]
    picture.set_trial_system_attr(0, "completed_rung_0", 0.5)
    picture.set_trial_intermediate_value(0, 1, 0.5)
    picture.set_trial_param(0, "x", 2.0, IntDistribution(0, 9))
    picture.set_trial_state_values(0, TrialState.COMPLETE, [0.5])
    assert before == trial(0, TrialState.RUNNING)
    after = picture.get_trial(0)
    assert after.system_attrs == {"completed_rung_0": 0.5}
    assert after.intermediate_values == {1: 0.5}
    assert after.params == {"x": 2}
    assert (after.state, after.value) == (TrialState.COMPLETE, 0.5)


def test_written_attributes_are_taken_once() -> None:
    """What Optuna wrote on a trial is handed out to be stored once; what it was put in with is not."""
    picture = mirror()
    picture.put(trial(0, TrialState.RUNNING, known=1))
    picture.set_trial_system_attr(0, "rung", 2)
    assert picture.take_written(0) == {"rung": 2}
    assert picture.take_written(0) == {}
    assert picture.get_trial(0).system_attrs == {"known": 1, "rung": 2}


def test_ask_takes_the_waiting_trial_under_its_number() -> None:
    """`Study.ask` runs the trial that was put in as WAITING, and no other number is ever given."""
    picture = mirror()
    study = load_study(study_name="toy", storage=picture, sampler=RandomSampler(seed=0))
    picture.put(trial(7, TrialState.WAITING))
    picture.put(trial(2))
    asked = study.ask({"x": FloatDistribution(0.0, 1.0)})
    assert asked.number == 7
    assert picture.get_trial(7).state is TrialState.RUNNING
    assert 0.0 <= picture.get_trial(7).params["x"] <= 1.0
    with pytest.raises(NotImplementedError, match="create_new_trial"):
        study.ask()


def test_a_running_trial_is_not_started_again() -> None:
    """Optuna learns that a trial was taken by another worker."""
    picture = mirror()
    picture.put(trial(0, TrialState.RUNNING))
    assert not picture.set_trial_state_values(0, TrialState.RUNNING)


def test_what_is_not_there_is_a_key_error() -> None:
    """Unknown trials and studies raise what Optuna's storages raise."""
    with pytest.raises(KeyError, match="trial 4: not in the mirror of 'toy'"):
        mirror().get_trial(4)
    with pytest.raises(KeyError, match="other"):
        mirror().get_study_id_from_name("other")
