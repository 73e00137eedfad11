"""Our pages: their contents, their paths, and their notice of new data."""

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from hpsearch.dashboard.application import make_site
from hpsearch.dashboard.links import replay_link, report_link, trial_link
from hpsearch.dashboard.live import LiveStudies
from hpsearch.dashboard.pages.frame import way_back
from hpsearch.dashboard.routes import Routes
from hpsearch.errors import StorageError, StorageReadOnlyError, StorageUnavailableError
from hpsearch.report.page import render
from hpsearch.storage.records import TrialOutcome, Update
from hpsearch.trials import TrialState, best_trials
from hpsearch.verdicts import Cause
from hpsearch.workflows.snapshot import take_snapshot
from tests.dashboard.asking import ask
from tests.dashboard.conftest import Site
from tests.report import synthetic


def test_reports_are_listed(site: Site) -> None:
    """The list names every study with its numbers, and the way to its report and to Optuna's dashboard."""
    page = ask(site.site, "/reports/").text
    assert f'<a href="{report_link("digits")}">digits</a>' in page
    assert "51 of 61" in page
    assert '<a href="/dashboard/studies/1">' in page


def test_a_report_is_the_report(site: Site) -> None:
    """A study's report is served under its name, and loads Plotly from here only."""
    page = ask(site.site, "/reports/digits")
    assert page.status == 200
    assert "Running: 51 of 61 trials finished, 3 in training." in page.text
    assert '<script src="/assets/plotly.js"></script>' in page.text
    assert len(page.body) < 1_000_000
    assert ask(site.site, "/assets/plotly.js").body.startswith(b"/**")


def test_a_report_says_whether_it_is_new(site: Site) -> None:
    """As long as nothing changes a reader gets 304; when a trial ends, another version."""
    tag = ask(site.site, "/reports/digits").headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        assert ask(site.site, "/reports/digits", headers={"If-None-Match": known}).status == 304
    running = site.store.queue.held(site.digits, worker="worker-0")[0]
    site.store.queue.release(site.digits, worker="worker-0", numbers=[running], why="drained", crashed=False)
    head = ask(site.site, "/reports/digits", method="HEAD", headers={"If-None-Match": tag})
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] != tag
    assert "2 in training" in ask(site.site, "/reports/digits").text


def test_a_live_report_shows_what_workers_write(site: Site) -> None:
    """A trial that ends after the first look is in the next one with its result, its verdict and its curve."""
    ask(site.site, "/reports/digits")
    [claim] = site.store.queue.claim(site.digits, worker="worker-1", count=1, lease_s=60.0)
    outcome = TrialOutcome(
        state=TrialState.COMPLETE,
        value=0.9997,
        finding=synthetic.finding(Cause.HEALTHY),
        series={"training_loss": [0.1], "validation_accuracy": [0.9997]},
    )
    update = Update(claim=claim, reports={0: 0.9997}, epochs=1, steps=15, outcome=outcome)
    assert site.store.trials.record(site.digits, [update]) == frozenset()
    assert "Best-1 (val acc 1.000)" in ask(site.site, "/reports/digits").text
    assert "1.000" in ask(site.site, trial_link("digits", claim.number)).text


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a/7", "a b", "ü", "%2F", "?x", "#x", ".", "..", "./", "..//", "x/", "version"]
)
def test_every_name_has_its_pages(site: Site, name: str) -> None:
    """Whatever a study is called, its links lead to its pages and to no others."""
    site.storage.rename_study(site.digits.study_id, name)
    for link in (report_link(name), trial_link(name, 3)):
        assert not {".", ".."} & set(link.split("/"))
        assert ask(site.site, link).status == 200


def test_a_trial_has_a_page(site: Site) -> None:
    """Verdict, evidence, remedy and parameters of a trial stand on its page, with its curve and its neighbours."""
    trials = site.store.trials.all(site.digits)
    died = next(trial for trial in trials if trial.verdict is Cause.DEAD_RELU_TOTAL)
    page = ask(site.site, trial_link("digits", died.number)).text
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
            assert ask(site.site, trial_link(study.spec.name, trial.number)).status == 200


def test_markup_is_text(site: Site) -> None:
    """On no page of ours does text from the database become markup."""
    name = quote(synthetic.MARKUP, safe="")
    for address in ("/reports/", "/workers", f"/reports/{name}", f"/trials/{name}/3", f"/reports/{name}x"):
        answer = ask(site.site, address)
        assert "<img" not in answer.text or answer.headers["content-type"].startswith("text/plain")


def test_a_trial_is_replayed_on_its_page(site: Site) -> None:
    """A button has a trial trained again; its page comes when that is done, or the reason why it cannot."""
    link = replay_link("digits", 0)
    assert f'<form method="post" action="{link}">' in ask(site.site, trial_link("digits", 0)).text
    assert ask(site.site, link).headers["location"] == trial_link("digits", 0)
    assert ask(site.site, link, method="POST").headers["location"] == link
    answers = iter(lambda: ask(site.site, link), None)
    ended = next(answer for answer in answers if "It is being trained again" not in answer.text)
    # The synthetic study has made-up data's fingerprint, so its trials cannot be trained again.
    assert (ended.status, "fingerprint" in ended.text) == (500, True)
    assert ask(site.site, replay_link("digits", 99), method="POST").status == 404


def test_workers_are_listed(site: Site) -> None:
    """The page of workers shows the study of each worker."""
    page = ask(site.site, "/workers").text
    assert "worker-0" in page
    assert "laboratory" in page
    assert "6 trials of" in page or "3 trials of" in page


def test_what_is_not_there_is_said(site: Site) -> None:
    """Unknown studies and trials are 404 with the nearest name; what cannot be changed here is 405."""
    assert "did you mean digits" in ask(site.site, "/reports/digit").text
    for address in ("/reports/digit", "/trials/digits/60", "/trials/digits/99999999999", "/trials/digit/3"):
        assert ask(site.site, address).status == 404
    longest = "9" * 5000
    for number in ("99999999999", longest):
        for address in (f"/trials/digits/{number}", f"/trials/digits/{number}/replay"):
            answered = ask(site.site, address)
            assert (answered.status, f"(got {number})" in answered.text) == (404, True)
    assert ask(site.site, "/reports/digits", method="POST").status == 405


def test_a_waiting_trial_shows_what_it_was_enqueued_with(site: Site) -> None:
    """Before it begins its page has the values that were given, and says so."""
    (number,) = site.store.queue.enqueue(site.digits, [{"learning_rate": 0.0123}])
    page = ask(site.site, trial_link("digits", number)).text
    assert "0.0123 (given in advance)" in page


def test_health_and_metrics_tell_how_it_is(site: Site) -> None:
    """If the database answers, health reports that, with numbers that add up."""
    assert ask(site.site, "/healthz").body == b"ok\n"
    lines = dict(
        line.rsplit(" ", 1)
        for line in ask(site.site, "/metrics").text.splitlines()
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


def test_a_lost_database_is_told(site: Site, tmp_path: Path) -> None:
    """Without the database health is 503 with the reason, metrics say so, and no page takes the server down."""
    site.store.close()
    for file in tmp_path.glob("studies.db*"):
        file.unlink()
    (tmp_path / "studies.db").mkdir()
    health = ask(site.site, "/healthz")
    assert (health.status, "studies.db" in health.text) == (503, True)
    assert "hpsearch_database_up 0.0" in ask(site.site, "/metrics").text
    assert ask(site.site, "/reports/digits").status in (500, 503)


def test_home_is_optunas(site: Site) -> None:
    """The root leads to Optuna's dashboard, and what is not ours is answered by it."""
    assert ask(site.site, "/").headers["location"] == "/dashboard"
    assert "Optuna Dashboard" in ask(site.site, "/dashboard").text
    assert [study["study_name"] for study in ask(site.site, "/api/studies").json["study_summaries"]] == [
        "digits",
        synthetic.MARKUP,
        "diabetes",
    ]


def test_who_may_only_look_is_offered_no_replay(site: Site) -> None:
    """A read-only site has no button that it would refuse."""
    address = trial_link("digits", 0)
    assert "<form" in ask(site.site, address).text
    looking = make_site(site.store, site.storage, read_only=True)
    assert "<form" not in ask(looking, address).text


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageReadOnlyError("may not write"), 403), (StorageUnavailableError("is away"), 503)],
)
def test_what_the_database_refuses_optunas_pages_is_said(
    site: Site, error: StorageError, status: int
) -> None:
    """A database that may not be written, or is away, is told where Optuna's dashboard asks for it, too."""

    def stock(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
        raise error

    answer = ask(Routes(LiveStudies(site.store), stock), "/api/studies/1/rename", method="POST")
    assert (answer.status, answer.text) == (status, f"{error}\n")


def test_optunas_pages_lead_to_ours(site: Site) -> None:
    """The landing page and every other page of Optuna's has links to reports and workers, also if a browser kept it."""
    for path in ("/dashboard", "/dashboard/studies/1/trials"):
        page = ask(site.site, path, headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})
        assert page.status == 200
        assert page.headers["content-length"] == str(len(page.body))
        for link in ("/reports/", "/workers"):
            assert f'<a href="{link}">' in page.text
            assert ask(site.site, link).status == 200
        # The links are outside the element that Optuna's script draws in.
        assert page.text.index('id="dashboard"') < page.text.index('id="hpsearch-links"')
        assert page.text.count("</body>") == 1


def test_a_served_report_leads_to_its_trials(site: Site) -> None:
    """The trials of its tables are links, and figures know where the pages of trials are; a file has no such links."""
    page = ask(site.site, "/reports/digits").text
    best = best_trials(site.store.trials.all(site.digits), maximize=True, count=3)
    for trial in best:
        assert f'<a href="{trial_link("digits", trial.number)}">{trial.number}</a>' in page
    assert f'data-trials="{trial_link("digits", 0)[:-1]}"' in page
    assert "trial-number" not in page
    written = render(take_snapshot(site.store, site.digits))
    assert "/trials/" not in written


def test_a_replay_leads_back(site: Site) -> None:
    """The page of a replay has the way to its trial, to the report and to all other pages."""
    way = way_back(site.digits, 3)
    for link in (
        trial_link("digits", 3),
        report_link("digits"),
        "/reports/",
        "/workers",
        "/dashboard/studies/1",
    ):
        assert f'href="{link}' in way
