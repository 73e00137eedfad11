"""Our pages: their contents, their paths, and how they report new data."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from hpsearch.dashboard.application import Routes, make_site
from hpsearch.dashboard.links import replay_link, report_link, trial_link
from hpsearch.dashboard.live import LiveStudies
from hpsearch.dashboard.pages import replay_navigation
from hpsearch.errors import StorageError, StorageReadOnlyError, StorageUnavailableError
from hpsearch.report.page import render
from hpsearch.storage.records import TrialOutcome, Update
from hpsearch.trials import TrialState, best_trials
from hpsearch.verdicts import Cause
from hpsearch.workflows.snapshot import take_snapshot
from tests.dashboard.client import fetch
from tests.dashboard.conftest import Site
from tests.report import synthetic


def test_reports_are_listed(site: Site) -> None:
    """The list has every study with its numbers, and links to its report and to Optuna's dashboard."""
    page = fetch(site.site, "/reports/").text
    assert f'<a href="{report_link("digits")}">digits</a>' in page
    assert "51 of 61" in page
    assert '<a href="/dashboard/studies/1">' in page


def test_a_report_is_the_report(site: Site) -> None:
    """A study's report is served under its name, and loads Plotly from this server only."""
    page = fetch(site.site, "/reports/digits")
    assert page.status == 200
    assert "Running: 51 of 61 trials finished, 3 in training." in page.text
    assert '<script src="/assets/plotly.js"></script>' in page.text
    assert len(page.body) < 1_000_000
    assert fetch(site.site, "/assets/plotly.js").body.startswith(b"/**")


def test_a_report_is_sent_again_only_if_it_has_changed(site: Site) -> None:
    """The response is 304 while nothing changes, and another version after a trial has ended."""
    tag = fetch(site.site, "/reports/digits").headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        assert fetch(site.site, "/reports/digits", headers={"If-None-Match": known}).status == 304
    running = site.store.queue.held(site.digits, worker="worker-0")[0]
    site.store.queue.release(site.digits, worker="worker-0", numbers=[running], why="drained", crashed=False)
    head = fetch(site.site, "/reports/digits", method="HEAD", headers={"If-None-Match": tag})
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] != tag
    assert "2 in training" in fetch(site.site, "/reports/digits").text


def test_a_live_report_shows_what_workers_write(site: Site) -> None:
    """A trial that ends after the first request is in the next response with its result, verdict and curve."""
    fetch(site.site, "/reports/digits")
    [claim] = site.store.queue.claim(site.digits, worker="worker-1", count=1, lease_s=60.0)
    outcome = TrialOutcome(
        state=TrialState.COMPLETE,
        value=0.9997,
        finding=synthetic.finding(Cause.HEALTHY),
        series={"training_loss": [0.1], "validation_accuracy": [0.9997]},
    )
    update = Update(claim=claim, reports={0: 0.9997}, epochs=1, steps=15, outcome=outcome)
    assert site.store.trials.record(site.digits, [update]) == frozenset()
    assert "Best-1 (val acc 1.000)" in fetch(site.site, "/reports/digits").text
    assert "1.000" in fetch(site.site, trial_link("digits", claim.number)).text


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a/7", "a b", "ü", "%2F", "?x", "#x", ".", "..", "./", "..//", "x/", "version"]
)
def test_every_name_has_its_pages(site: Site, name: str) -> None:
    """For every name of a study, its links lead to its own pages."""
    site.storage.rename_study(site.digits.study_id, name)
    for link in (report_link(name), trial_link(name, 3)):
        assert not {".", ".."} & set(link.split("/"))
        assert fetch(site.site, link).status == 200


def test_a_trial_has_a_page(site: Site) -> None:
    """A trial's page has its verdict, evidence, remedy and parameters, its curve, and links to its neighbours."""
    trials = site.store.trials.all(site.digits)
    died = next(trial for trial in trials if trial.verdict is Cause.DEAD_RELU_TOTAL)
    page = fetch(site.site, trial_link("digits", died.number)).text
    for words in (
        "Verdict: dead_relu_total from step",
        "gradient_norm",
        "Lower the learning rate",
        "learning_rate",
        'data-figure="',
    ):
        assert words in page
    assert f'href="{trial_link("digits", died.number - 1)}"' in page
    assert f'href="/dashboard/studies/1/trials?numbers={died.number}"' in page


def test_every_trial_has_a_page(site: Site) -> None:
    """Waiting, running, failed, infinite and hostile trials have pages too."""
    for study in (site.digits, site.hostile, site.regression):
        for trial in site.store.trials.all(study):
            assert fetch(site.site, trial_link(study.spec.name, trial.number)).status == 200


def test_only_the_best_trial_has_a_star(site: Site) -> None:
    """The curve of a trial ends in the symbol of its fate; only that of the study's best trial ends in a star."""
    best, second = best_trials(site.store.trials.all(site.digits), maximize=True, count=2)
    pages = [fetch(site.site, trial_link("digits", trial.number)).text for trial in (best, second)]
    assert ['"symbol":"star"' in page for page in pages] == [True, False]


def test_markup_is_text(site: Site) -> None:
    """Text from the database does not become markup on any of our pages."""
    name = quote(synthetic.MARKUP, safe="")
    for address in ("/reports/", "/workers", f"/reports/{name}", f"/trials/{name}/3", f"/reports/{name}x"):
        response = fetch(site.site, address)
        assert "<img" not in response.text or response.headers["content-type"].startswith("text/plain")


def test_a_trial_can_be_replayed_on_its_page(site: Site) -> None:
    """The button starts a replay, whose page follows when it is ready, or the reason why it is impossible."""
    link = replay_link("digits", 0)
    assert f'<form method="post" action="{link}">' in fetch(site.site, trial_link("digits", 0)).text
    assert fetch(site.site, link).headers["location"] == trial_link("digits", 0)
    assert fetch(site.site, link, method="POST").headers["location"] == link
    responses = iter(lambda: fetch(site.site, link), None)
    ended = next(response for response in responses if "is being trained again" not in response.text)
    # The synthetic study has made-up data's fingerprint, so its trials cannot be trained again.
    assert (ended.status, "fingerprint" in ended.text) == (500, True)
    assert fetch(site.site, replay_link("digits", 99), method="POST").status == 404


def test_workers_are_listed(site: Site) -> None:
    """The page of workers shows the study of each worker."""
    page = fetch(site.site, "/workers").text
    assert "worker-0" in page
    assert "laboratory" in page
    assert "6 trials of" in page or "3 trials of" in page


def test_unknown_studies_and_trials_are_reported(site: Site) -> None:
    """Unknown studies and trials are 404, with the nearest name; a change of a page that can only be read is 405."""
    assert "did you mean digits" in fetch(site.site, "/reports/digit").text
    for address in ("/reports/digit", "/trials/digits/60", "/trials/digits/99999999999", "/trials/digit/3"):
        assert fetch(site.site, address).status == 404
    longest = "9" * 5000
    for number in ("99999999999", longest):
        for address in (f"/trials/digits/{number}", f"/trials/digits/{number}/replay"):
            response = fetch(site.site, address)
            assert (response.status, f"(got {number})" in response.text) == (404, True)
    assert fetch(site.site, "/reports/digits", method="POST").status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch",
        "/trials/digits",
        "/trials/",
        "/reports/nosuch",
        "/trials/digits/99",
        "/api/nosuch",
        "/<img>",
    ],
)
def test_an_unknown_path_has_a_page(site: Site, path: str) -> None:
    """An unknown path gets a page of ours that names it, with links to pages that exist, and does not reload itself."""
    response = fetch(site.site, quote(path))
    assert (response.status, response.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert escape(path.rpartition("/")[2]) in response.text
    assert "data-version" not in response.text
    for link in ("/reports/", "/workers", "/dashboard"):
        assert f'<a href="{link}">' in response.text
    assert fetch(site.site, quote(path), method="HEAD").body == b""


def test_a_waiting_trial_shows_its_enqueued_values(site: Site) -> None:
    """The page of a waiting trial has the values that were given in advance, and marks them."""
    (number,) = site.store.queue.enqueue(site.digits, [{"learning_rate": 0.0123}])
    page = fetch(site.site, trial_link("digits", number)).text
    assert "0.0123 (given in advance)" in page


def test_health_and_metrics_agree_with_the_database(site: Site) -> None:
    """If the database is available, health is 200, and the metrics add up to the numbers in the database."""
    assert fetch(site.site, "/healthz").body == b"ok\n"
    lines = dict(
        line.rsplit(" ", 1)
        for line in fetch(site.site, "/metrics").text.splitlines()
        if not line.startswith("#")
    )
    assert float(lines["hpsearch_database_up"]) == 1
    assert float(lines['hpsearch_study_budget_trials{study="digits"}']) == 61
    states = ("complete", "pruned", "failed", "running", "waiting")
    counts = [float(lines[f'hpsearch_study_trials{{state="{state}",study="digits"}}']) for state in states]
    assert (sum(counts), counts[-2:]) == (60, [3, 3])
    epochs = sum(
        float(n) for key, n in lines.items() if key.startswith("hpsearch_study_epochs") and "digits" in key
    )
    assert epochs == site.store.studies.progress(site.digits).epochs
    workers = [float(n) for key, n in lines.items() if key.startswith("hpsearch_workers")]
    assert sum(workers) == len(site.store.workers.all()) == 2


def test_a_lost_database_is_reported(site: Site, tmp_path: Path) -> None:
    """Without the database health is 503 with the reason, metrics report it, and pages are errors of the server."""
    site.store.close()
    for file in tmp_path.glob("studies.db*"):
        file.unlink()
    (tmp_path / "studies.db").mkdir()
    health = fetch(site.site, "/healthz")
    assert (health.status, "studies.db" in health.text) == (503, True)
    assert "hpsearch_database_up 0.0" in fetch(site.site, "/metrics").text
    assert fetch(site.site, "/reports/digits").status in (500, 503)


def test_home_is_optunas(site: Site) -> None:
    """The root redirects to Optuna's dashboard, which responds to all paths that are not ours."""
    assert fetch(site.site, "/").headers["location"] == "/dashboard"
    assert "Optuna Dashboard" in fetch(site.site, "/dashboard").text
    assert [study["study_name"] for study in fetch(site.site, "/api/studies").json["study_summaries"]] == [
        "digits",
        synthetic.MARKUP,
        "diabetes",
    ]


def test_a_read_only_site_offers_no_replay(site: Site) -> None:
    """A read-only site has no button for a replay, which it would refuse."""
    address = trial_link("digits", 0)
    assert "<form" in fetch(site.site, address).text
    read_only = make_site(site.store, site.storage, read_only=True)
    assert "<form" not in fetch(read_only, address).text


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageReadOnlyError("may not write"), 403), (StorageUnavailableError("is unavailable"), 503)],
)
def test_errors_of_the_database_are_reported_for_optunas_paths(
    site: Site, error: StorageError, status: int
) -> None:
    """A read-only or unavailable database is reported for requests to Optuna's dashboard too."""

    def stock(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        raise error

    response = fetch(Routes(LiveStudies(site.store), stock), "/api/studies/1/rename", method="POST")
    assert (response.status, response.text) == (status, f"{error}\n")


def test_optunas_pages_have_links_to_ours(site: Site) -> None:
    """Every page of Optuna's dashboard has links to reports and workers, even if the browser has a cached copy."""
    for path in ("/dashboard", "/dashboard/studies/1/trials"):
        page = fetch(site.site, path, headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
        assert page.status == 200
        assert page.headers["content-length"] == str(len(page.body))
        for link in ("/reports/", "/workers"):
            assert f'<a href="{link}">' in page.text
            assert fetch(site.site, link).status == 200
        # The links are outside the element that Optuna's script draws in.
        assert page.text.index('id="dashboard"') < page.text.index('id="hpsearch-links"')
        assert page.text.count("</body>") == 1


def test_a_served_report_has_links_to_its_trials(site: Site) -> None:
    """Trial numbers in its tables are links, and its figures have the path of trial pages; a file has no such links."""
    page = fetch(site.site, "/reports/digits").text
    best = best_trials(site.store.trials.all(site.digits), maximize=True, count=3)
    for trial in best:
        assert f'<a href="{trial_link("digits", trial.number)}">{trial.number}</a>' in page
    assert f'data-trials="{trial_link("digits", 0)[:-1]}"' in page
    assert "trial-number" not in page
    written = render(take_snapshot(site.store, site.digits))
    assert "/trials/" not in written


def test_a_replay_has_links_back(site: Site) -> None:
    """The page of a replay has links to its trial, to the report and to all other pages."""
    navigation = replay_navigation(site.digits, 3)
    for link in (
        trial_link("digits", 3),
        report_link("digits"),
        "/reports/",
        "/workers",
        "/dashboard/studies/1",
    ):
        assert f'href="{link}' in navigation
