"""Published notes and figures, as a stock server of Optuna's dashboard on a stock storage shows them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import optuna_dashboard
import pytest
from optuna.storages import RDBStorage

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.notes import escaped
from hpsearch.dashboard.publishing import Published, publish
from hpsearch.workflows.snapshot import take_snapshot
from tests.dashboard.client import fetch
from tests.dashboard.conftest import Site


@pytest.fixture
def url(site: Site, tmp_path: Path) -> str:
    """Provide the URL of the site's database."""
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture
def snapshot(site: Site) -> Snapshot:
    """Provide the digits study in its current state."""
    return take_snapshot(site.store, site.digits)


@pytest.fixture
def stock(url: str) -> Iterator[WSGIApplication]:
    """Provide the unpatched dashboard of Optuna on Optuna's own storage."""
    storage = RDBStorage(url)
    yield optuna_dashboard.wsgi(storage)
    storage.remove_session()
    storage.engine.dispose()


def detail(application: WSGIApplication, study_id: int = 1) -> Any:
    """Return a dashboard's details of a study."""
    return fetch(application, f"/api/studies/{study_id}").json


def test_a_stock_server_shows_published_notes_and_figures(
    url: str, stock: WSGIApplication, snapshot: Snapshot
) -> None:
    """It shows the search map, failures and curves, the study's state, and each ended trial's verdict and remedy."""
    ended = [trial for trial in snapshot.trials if trial.state.is_final]
    assert publish(url, snapshot) == Published(figures=4, notes=len(ended) + 1, unchanged=0, users=0)
    details = detail(stock)
    figures = {one["id"]: json.loads(one["graph_object"]) for one in details["plotly_graph_objects"]}
    assert set(figures) == {
        "hpsearch-search-map",
        "hpsearch-learning-rates",
        "hpsearch-learning-curves-training",
        "hpsearch-learning-curves-metric",
    }
    assert all(figure["data"] and figure["layout"]["title"]["text"] for figure in figures.values())
    assert "51 of 61 trials finished, 3 in training" in details["note"]["body"].replace("\\", "")
    notes = {trial["number"]: trial["note"]["body"] for trial in details["trials"]}
    for trial in snapshot.trials:
        assert bool(notes[trial.number]) == trial.state.is_final
        if trial.finding is not None and trial.state.is_final:
            assert escaped(trial.finding.cause.value) in notes[trial.number]
            assert escaped(trial.finding.remedy) in notes[trial.number]
            assert "](/" not in notes[trial.number]


def test_publishing_again_replaces(url: str, stock: WSGIApplication, snapshot: Snapshot) -> None:
    """A second call replaces the figures, and writes no note that is already current."""
    first = publish(url, snapshot)
    assert publish(url, snapshot) == Published(figures=4, notes=0, unchanged=first.notes, users=0)
    details = detail(stock)
    assert len(details["plotly_graph_objects"]) == 4
    assert (details["note"]["version"], details["trials"][0]["note"]["version"]) == (1, 1)


def test_notes_of_users_are_kept(url: str, site: Site, stock: WSGIApplication, snapshot: Snapshot) -> None:
    """A note that a user wrote, changed or emptied is never overwritten."""
    trial_id = detail(stock)["trials"][0]["trial_id"]
    mine = json.dumps({"version": 1, "body": "mine"}).encode()
    assert fetch(stock, f"/api/studies/1/{trial_id}/note", method="PUT", body=mine).status == 204
    first = publish(url, snapshot)
    assert first.users == 1
    body = detail(stock)["note"]["body"]
    changed = json.dumps({"version": 2, "body": f"{body} And more."}).encode()
    assert fetch(stock, "/api/studies/1/note", method="PUT", body=changed).status == 204
    assert publish(url, snapshot) == Published(figures=4, notes=0, unchanged=first.notes - 1, users=2)
    for application in (stock, site.site):
        details = detail(application)
        assert details["trials"][0]["note"]["body"] == "mine"
        assert details["note"]["body"] == f"{body} And more."


def test_our_dashboard_shows_newer_notes_than_published_ones(
    url: str, site: Site, snapshot: Snapshot
) -> None:
    """Our dashboard shows each note once, with links and with the stored version, and each figure once."""
    publish(url, snapshot)
    details = next(
        details for details in iter(lambda: detail(site.site), None) if details["plotly_graph_objects"]
    )
    assert "](/studies/digits)" in details["note"]["body"]
    assert details["note"]["version"] == 1
    assert (
        len({one["id"] for one in details["plotly_graph_objects"]})
        == len(details["plotly_graph_objects"])
        == 4
    )
