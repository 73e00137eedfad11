"""Ranges that are edited after trials have begun."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from optuna.distributions import FloatDistribution

from hpsearch.errors import StudyExistsError
from hpsearch.study.spec import Range
from tests.contract.laboratory import FINGERPRINT, SEARCH, Lab, a_spec

Labs = Callable[..., Lab]

NARROW = Range(name="learning_rate", low=1e-3, high=1.0, log=True)


def test_an_edit_keeps_what_trials_have(new_lab: Labs) -> None:
    """Trials keep their distributions, also for stock Optuna; the study has the new range and the record of the old."""
    lab = new_lab()
    lab.finish(2)
    before = lab.store.trials.all(lab.study)
    edited = lab.store.studies.set_ranges(lab.study, {"learning_rate": NARROW})
    assert edited.spec.search == (NARROW, *SEARCH[1:])
    assert edited == lab.store.studies.get(lab.study.name)
    assert [(e.before, e.after, e.trials) for e in edited.edits] == [(SEARCH[0], NARROW, 2)]
    assert lab.store.trials.all(edited) == before
    stock = lab.stock()
    distribution = stock.trials[0].distributions["learning_rate"]
    assert isinstance(distribution, FloatDistribution)
    assert distribution.low == 1e-6
    assert stock.ask().suggest_float("learning_rate", 1e-3, 1.0, log=True) >= 1e-3
    lab.close()


def test_an_edited_range_keeps_its_condition(new_lab: Labs) -> None:
    """The study and the record of the edit have the range with its condition."""
    when = replace(NARROW, when=(("model.activation", ("relu",)),))
    lab = new_lab()
    edited = lab.store.studies.set_ranges(lab.study, {"learning_rate": when})
    assert edited.edits[0].after == when
    assert edited == lab.store.studies.get(lab.study.name)


def test_what_is_shown_spans_all_ranges(new_lab: Labs) -> None:
    """Figures get one range over all trials; new trials, and the study file in the report, the present one."""
    lab = new_lab()
    study = lab.store.studies.set_ranges(lab.study, {"learning_rate": NARROW})
    study = lab.store.studies.set_ranges(study, {"learning_rate": replace(NARROW, low=1e-2, high=2.0)})
    shown = lab.store.trials.shown_study(study)
    assert shown.spec.search == (Range(name="learning_rate", low=1e-6, high=2.0, log=True), *SEARCH[1:])
    assert shown.present_spec == study.spec
    assert lab.store.studies.search(study) == study.spec.search
    assert lab.store.studies.search(new_lab().study) is None


def test_the_file_of_before_the_edit_still_means_the_study(new_lab: Labs) -> None:
    """Creating the study again with its earlier ranges returns it; with others it is an error."""
    lab = new_lab()
    study = lab.store.studies.set_ranges(lab.study, {"learning_rate": NARROW})
    first = replace(study.spec, search=SEARCH)
    assert lab.store.studies.create(first, fingerprint=FINGERPRINT) == study
    other = replace(first, search=(replace(NARROW, high=0.5), *SEARCH[1:]))
    with pytest.raises(StudyExistsError, match=r"search\.learning_rate\.high is 1\.0 there \(got 0\.5\)"):
        lab.store.studies.create(other, fingerprint=FINGERPRINT)


def test_a_copy_has_the_edits(new_lab: Labs) -> None:
    """A copy in the same database has the ranges of before too."""
    lab = new_lab()
    study = lab.store.studies.set_ranges(lab.study, {"learning_rate": NARROW})
    lab.store.studies.copy(study.name, f"{study.name}-copy")
    assert lab.store.studies.get(f"{study.name}-copy").edits == study.edits
    assert a_spec("unused").search == SEARCH
