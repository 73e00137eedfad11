"""The state of studies in memory."""

import pytest

from hpsearch.dashboard.live import LiveStudies, StudyView
from hpsearch.errors import StudyNotFoundError
from tests.dashboard.client import fetch
from tests.dashboard.conftest import Site
from tests.report import synthetic


def test_an_unchanged_study_has_the_same_view(site: Site) -> None:
    """The view of an unchanged study is the same object; a new budget makes another version."""
    live = LiveStudies(site.store)
    first = live.by_name("digits")
    assert live.by_name("digits") is first
    site.store.studies.set_budget(site.digits, 70)
    assert live.by_name("digits").version != first.version


def test_a_view_agrees_with_the_database(site: Site) -> None:
    """Trials, series and progress of a view are those of the database."""
    snapshot = LiveStudies(site.store).by_name("digits").snapshot
    trials = site.store.trials.all(site.digits)
    assert list(snapshot.trials) == trials
    # Compared as text: NaN is not equal to itself.
    assert repr(snapshot.series) == repr(
        site.store.trials.series(site.digits, [trial.number for trial in trials])
    )
    assert snapshot.progress == site.store.studies.progress(site.digits)


def test_a_deleted_study_is_not_shown(site: Site) -> None:
    """A deleted study is not shown from memory."""
    live = LiveStudies(site.store)
    live.by_name("digits")
    site.store.studies.delete(site.digits.name)
    with pytest.raises(StudyNotFoundError):
        live.by_name("digits")
    assert fetch(site.site, "/studies/digits").status == 404


def test_a_view_caches_results_by_name() -> None:
    """A result is computed once for each name, and one computation can request another."""
    view = StudyView(version=0, snapshot=synthetic.empty())
    made = [view.cached("a", lambda _: view.cached("b", lambda _: object())) for _ in range(2)]
    assert made[0] is made[1]
