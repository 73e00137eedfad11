"""Notes as Optuna's dashboard stores them, and how ours are distinguished from a user's."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna_dashboard import get_note, save_note

from hpsearch.dashboard.notes import is_ours, note_attributes, signed, stored_note

NOTES = st.text(max_size=30).map(lambda text: text * 300)


@given(NOTES)
def test_a_signed_note_is_ours_until_it_is_changed(text: str) -> None:
    """A signed note is ours; a note that a user has written or changed is not."""
    body = signed(text)
    assert is_ours(body)
    assert not is_ours(text)
    assert not is_ours(f"{body} ")
    assert not is_ours(f"mine\n\n{body}")
    assert not is_ours(body[1:])


@pytest.mark.parametrize("first", ["", "short", "long " * 2000])
@pytest.mark.parametrize("second", ["", "short", "long " * 2000])
def test_optunas_dashboard_reads_our_notes(first: str, second: str) -> None:
    """Optuna's function reads notes that we have written over longer and shorter ones, and we read its notes."""
    study = optuna.create_study()
    save_note(study, first)
    before = stored_note(study._storage.get_study_system_attrs(study._study_id), None)
    assert (before.body, before.version) == (first, 1)
    for key, value in note_attributes(before, None, second).items():
        study._storage.set_study_system_attr(study._study_id, key, value)
    assert get_note(study) == second
    after = stored_note(study._storage.get_study_system_attrs(study._study_id), None)
    assert (after.body, after.version) == (second, 2)
