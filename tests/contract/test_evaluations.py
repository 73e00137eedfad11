"""Evaluations with other seeds, the opening of the sealed test part, and follow-up studies."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hpsearch.errors import StudyNotFoundError
from hpsearch.storage.records import Evaluation
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, evaluation

Labs = Callable[..., Lab]


def without_time(made: Evaluation) -> Evaluation:
    """Return an evaluation made at no particular time."""
    return replace(made, made=datetime.min.replace(tzinfo=UTC))


def test_evaluations_are_read_as_written_and_replaced(new_lab: Labs) -> None:
    """They are ordered by number, part and seed; one with the same three replaces the other; not finite is None."""
    lab, other = new_lab(), new_lab()
    first = [evaluation(3, seed=2**40), evaluation(1, seed=2, part="test"), evaluation(1, seed=1)]
    lab.store.evaluations.write(lab.study, first)
    lab.store.evaluations.write(
        lab.study,
        [evaluation(1, seed=1, loss=math.nan, accuracy=math.inf), evaluation(1, seed=7, score=-2.5)],
    )
    lab.store.evaluations.write(lab.study, [])
    found = lab.store.evaluations.all(lab.study)
    assert [without_time(one) for one in found] == [
        without_time(one)
        for one in (
            evaluation(1, seed=2, part="test"),
            evaluation(1, seed=1, loss=None, accuracy=None),
            evaluation(1, seed=7, score=-2.5),
            evaluation(3, seed=2**40),
        )
    ]
    assert all(abs(one.made - datetime.now(UTC)) < timedelta(minutes=5) for one in found)
    assert other.store.evaluations.all(other.study) == []


def test_the_first_opening_counts_for_ever(new_lab: Labs) -> None:
    """An opened test part stays opened, for the first trial and by the first command."""
    lab, other = new_lab(), new_lab()
    assert lab.store.evaluations.unsealing(lab.study) is None
    opened = lab.store.evaluations.unseal(lab.study, number=3, command="first \N{SNOWMAN}", seeds=7)
    assert (opened.number, opened.command, opened.seeds) == (3, "first \N{SNOWMAN}", 7)
    assert abs(opened.opened - datetime.now(UTC)) < timedelta(minutes=5)
    assert lab.store.evaluations.unseal(lab.study, number=4, command="second", seeds=1) == opened
    assert lab.store.evaluations.unsealing(lab.study) == opened
    assert other.store.evaluations.unsealing(other.study) is None


def test_a_study_knows_whom_it_follows_up(new_lab: Labs) -> None:
    """The parent is kept by its key, also in a new session, and even if it is gone."""
    lab = new_lab()
    child = lab.store.studies.create(a_spec(), fingerprint=FINGERPRINT, parent=lab.study)
    assert (lab.study.parent, child.parent) == (None, lab.study.key)
    lab.store.studies.delete(lab.study.name)
    assert lab.store.studies.get(child.spec.name).parent == lab.study.key
    lab.store.studies.delete(child.name)


def test_a_deleted_study_has_none(new_lab: Labs) -> None:
    """Its evaluations are deleted with it, and no new ones are written."""
    lab = new_lab()
    lab.store.evaluations.write(lab.study, [evaluation(0)])
    lab.store.studies.delete(lab.study.name)
    assert lab.store.evaluations.all(lab.study) == []
    with pytest.raises(StudyNotFoundError):
        lab.store.evaluations.write(lab.study, [evaluation(0)])
    with pytest.raises(StudyNotFoundError):
        lab.store.evaluations.unseal(lab.study, number=0, command="too late")
    with pytest.raises(StudyNotFoundError):
        lab.store.evaluations.unsealing(lab.study)
