"""Our pages: their contents, their paths, and how they report new data."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from urllib.parse import quote, urlencode
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from hpsearch.dashboard.application import Routes, make_site
from hpsearch.dashboard.links import (
    COMPARE,
    confirmation_link,
    operations_link,
    replay_link,
    study_link,
    trial_link,
)
from hpsearch.dashboard.live import LiveStudies
from hpsearch.dashboard.operations import VALUE
from hpsearch.dashboard.pages import replay_navigation
from hpsearch.errors import StorageError, StorageReadOnlyError, StorageUnavailableError
from hpsearch.objective.trial import ObjectiveTrial
from hpsearch.report.page import render
from hpsearch.storage.records import Assignment, Placement, TrialOutcome, Update, WorkerIdentity
from hpsearch.study.spec import NO_DATA, ObjectiveSpec, Range, StudySpec
from hpsearch.trials import TrialState, best_trials
from hpsearch.verdicts import Cause
from hpsearch.workflows.snapshot import take_snapshot
from tests.dashboard.client import Received, fetch
from tests.dashboard.conftest import Site
from tests.report import synthetic


def test_studies_are_listed(site: Site) -> None:
    """The list has every study with its numbers, and links to its page and to Optuna's dashboard."""
    page = fetch(site.site, "/studies/").text
    assert f'<a href="{study_link("digits")}">digits</a>' in page
    assert "51 of 61" in page
    assert '<a href="/dashboard/studies/1">' in page


def test_a_study_has_its_report(site: Site) -> None:
    """A study's page has its report, and loads Plotly from this server only."""
    page = fetch(site.site, "/studies/digits")
    assert page.status == 200
    assert "Running: 51 of 61 trials finished, 3 in training." in page.text
    assert '<script src="/assets/plotly.js"></script>' in page.text
    assert len(page.body) < 1_000_000
    assert fetch(site.site, "/assets/plotly.js").body.startswith(b"/**")


def test_a_report_is_sent_again_only_if_it_has_changed(site: Site) -> None:
    """The response is 304 while nothing changes, and another version after a trial has ended."""
    tag = fetch(site.site, "/studies/digits").headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        assert fetch(site.site, "/studies/digits", headers={"If-None-Match": known}).status == 304
    running = site.store.queue.held(site.digits, worker="worker-0")[0]
    site.store.queue.release(site.digits, worker="worker-0", numbers=[running], why="drained", crashed=False)
    head = fetch(site.site, "/studies/digits", method="HEAD", headers={"If-None-Match": tag})
    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] != tag
    assert "2 in training" in fetch(site.site, "/studies/digits").text


def test_a_live_report_shows_what_workers_write(site: Site) -> None:
    """A trial that ends after the first request is in the next response with its result, verdict and curve."""
    fetch(site.site, "/studies/digits")
    [claim] = site.store.queue.claim(site.digits, worker="worker-1", count=1, lease_s=60.0)
    outcome = TrialOutcome(
        state=TrialState.COMPLETE,
        value=0.9997,
        finding=synthetic.finding(Cause.HEALTHY),
        series={"training_loss": [0.1], "validation_accuracy": [0.9997]},
    )
    update = Update(claim=claim, reports={0: 0.9997}, epochs=1, steps=15, outcome=outcome)
    assert site.store.trials.record(site.digits, [update]) == frozenset()
    assert "Best-1 (val acc 1.000)" in fetch(site.site, "/studies/digits").text
    assert "1.000" in fetch(site.site, trial_link("digits", claim.number)).text


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a/7", "a b", "ü", "%2F", "?x", "#x", ".", "..", "./", "..//", "x/", "version"]
)
def test_every_name_has_its_pages(site: Site, name: str) -> None:
    """For every name of a study, its links lead to its own pages."""
    site.storage.rename_study(site.digits.study_id, name)
    for link in (study_link(name), trial_link(name, 3)):
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
    for address in ("/studies/", "/workers", f"/studies/{name}", f"/trials/{name}/3", f"/studies/{name}x"):
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
    """The page of workers shows the study of each worker, and where an engine runs it."""
    page = fetch(site.site, "/workers").text
    assert "worker-0" in page
    assert "laboratory" in page
    assert "6 trials of" in page or "3 trials of" in page
    assert '<th scope="col">engine</th>' not in page
    placement = Placement(engine="dask", node="tcp://10.0.0.5:8786", job="hpsearch-1", log="/tmp/<w>.log")
    identity = WorkerIdentity(name="far", host="n5", process_id=1, version="0.2.0", placement=placement)
    site.store.workers.register(identity)
    page = fetch(site.site, "/workers").text
    assert '<th scope="col">engine</th>' in page
    for words in ("dask", "tcp://10.0.0.5:8786", "hpsearch-1", "/tmp/&lt;w&gt;.log"):
        assert f"<td>{words}</td>" in page


def test_unknown_studies_and_trials_are_reported(site: Site) -> None:
    """Unknown studies and trials are 404, with the nearest name; a change of a page that can only be read is 405."""
    assert "did you mean digits" in fetch(site.site, "/studies/digit").text
    for address in ("/studies/digit", "/trials/digits/60", "/trials/digits/99999999999", "/trials/digit/3"):
        assert fetch(site.site, address).status == 404
    longest = "9" * 5000
    for number in ("99999999999", longest):
        for address in (f"/trials/digits/{number}", f"/trials/digits/{number}/replay"):
            response = fetch(site.site, address)
            assert (response.status, f"(got {number})" in response.text) == (404, True)
    assert fetch(site.site, "/studies/digits", method="POST").status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch",
        "/trials/digits",
        "/trials/",
        "/studies/nosuch",
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
    for link in ("/studies/", "/workers", "/dashboard"):
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
    assert fetch(site.site, "/studies/digits").status in (500, 503)


def test_home_is_the_list_of_studies(site: Site) -> None:
    """The root redirects to our studies; Optuna's dashboard responds to all paths that are not ours."""
    assert fetch(site.site, "/").headers["location"] == "/studies/"
    assert "Optuna Dashboard" in fetch(site.site, "/dashboard").text
    assert [study["study_name"] for study in fetch(site.site, "/api/studies").json["study_summaries"]] == [
        "digits",
        synthetic.MARKUP,
        "diabetes",
    ]


def test_a_read_only_site_offers_no_operations(site: Site) -> None:
    """A read-only site has no forms for replays and operations, which it would refuse."""
    read_only = make_site(site.store, site.storage, read_only=True)
    for address in (trial_link("digits", 0), study_link("digits")):
        assert '<form method="post"' in fetch(site.site, address).text.replace(' id="operate"', "")
        assert 'method="post"' not in fetch(read_only, address).text


def test_former_addresses_lead_to_studies(site: Site) -> None:
    """The addresses of reports of version 0.2 redirect to the pages of studies."""
    for name in ("digits", "a/b", ".."):
        former = study_link(name).replace("/studies/", "/reports/")
        assert fetch(site.site, former).headers["location"] == study_link(name)
    assert fetch(site.site, "/reports/").headers["location"] == "/studies/"


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
        for link in ("/studies/", "/workers"):
            assert f'<a href="{link}">' in page.text
            assert fetch(site.site, link).status == 200
        # The links are outside the element that Optuna's script draws in.
        assert page.text.index('id="dashboard"') < page.text.index('id="hpsearch-links"')
        assert page.text.count("</body>") == 1


def test_a_served_report_has_links_to_its_trials(site: Site) -> None:
    """Trial numbers in its tables are links, and its figures have the path of trial pages; a file has no such links."""
    page = fetch(site.site, "/studies/digits").text
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
        study_link("digits"),
        "/studies/",
        "/workers",
        "/dashboard/studies/1",
    ):
        assert f'href="{link}' in navigation


def operate(site: Site, name: str = "digits", **fields: str) -> Received:
    """Send the form of an operation as our script does."""
    return fetch(
        site.site,
        operations_link(name),
        method="POST",
        body=urlencode({key.replace("value_", VALUE): value for key, value in fields.items()}).encode(),
        headers={"Accept": "application/json"},
        content_type="application/x-www-form-urlencoded",
    )


def test_a_study_is_operated_from_its_page(site: Site) -> None:
    """Each operation changes the database as its command does, says so, and shows on the page at once."""
    studies = site.store.studies
    assert "paused" in operate(site, operation="pause").json["sentence"]
    assert studies.progress(site.digits).is_paused
    assert 'value="resume"' in fetch(site.site, study_link("digits")).text
    assert "resumed" in operate(site, operation="resume").json["sentence"]
    assert not studies.progress(site.digits).is_paused
    changed = operate(site, operation="edit", trials="70", priority="3").json["sentence"]
    assert changed.splitlines() == [
        'Study "digits": the budget is 70 trials now (it was 61)',
        'Study "digits": the priority is 3 now (it was 0)',
    ]
    assert (studies.get("digits").spec.trials, studies.get("digits").priority) == (70, 3)
    assert 'name="trials" min="1" value="70"' in fetch(site.site, study_link("digits")).text
    same = operate(site, operation="edit", trials="70", priority="3").json["sentence"]
    assert same == 'Study "digits": has these values already'
    assert (
        "trial 60 waits with"
        in operate(site, operation="enqueue", value_learning_rate="0.0123").json["sentence"]
    )
    assert site.store.trials.get(site.digits, 60).state is TrialState.WAITING
    assert "ends with" in operate(site, operation="stop").json["sentence"]


def test_an_operation_says_if_no_worker_is_running(site: Site) -> None:
    """A study that gets work while no worker runs needs one; it is not missed otherwise."""
    operate(site, operation="pause")
    assert "No worker is running" not in operate(site, operation="resume").json["sentence"]
    for worker in site.store.workers.all():
        site.store.workers.unregister(worker.identity.name)
    assert "No worker is running" not in operate(site, operation="pause").json["sentence"]
    assert "No worker is running" in operate(site, operation="resume").json["sentence"]
    assert operate(site, operation="edit", trials="90", priority="0").json["sentence"].splitlines() == [
        'Study "digits": the budget is 90 trials now (it was 61)',
        "No worker is running: hpsearch worker start --study digits starts one.",
    ]


def test_a_failed_trial_is_retried_from_its_page(site: Site) -> None:
    """The page of a failed trial offers to train its parameters as a new trial; that of another trial does not."""
    trials = site.store.trials.all(site.digits)
    failed = next(trial for trial in trials if trial.state is TrialState.FAILED and trial.params)
    assert 'id="retry"' in fetch(site.site, trial_link("digits", failed.number)).text
    complete = next(trial for trial in trials if trial.state is TrialState.COMPLETE)
    assert 'id="retry"' not in fetch(site.site, trial_link("digits", complete.number)).text
    sentence = operate(site, operation="retry", number=str(failed.number)).json["sentence"]
    assert sentence == f'Study "digits": trial 60 waits in place of trial {failed.number}'


@pytest.mark.parametrize(
    ("fields", "status", "problems"),
    [
        ({"operation": "explode"}, 400, ["operation: must be known"]),
        ({}, 400, ['operation: must be known (got "")']),
        (
            {"operation": "edit", "trials": "0", "priority": "high"},
            400,
            ["trials: must be a whole number from 1 to", "priority: must be a whole number", '(got "high")'],
        ),
        (
            {"operation": "edit", "trials": "61", "priority": "0", "hours": "0", "until": "x"},
            400,
            ["hours: must be a number above 0", "until: must be a number from"],
        ),
        ({"operation": "enqueue"}, 400, ["needs a value (got none): give one for learning_rate, "]),
        (
            {"operation": "enqueue", "value_learning_rate": "-1", "value_weight_decay": "x"},
            400,
            ["learning_rate: ", "weight_decay: "],
        ),
        ({"operation": "retry", "number": "5000"}, 404, ["5000"]),
        ({"operation": "confirm", "best": "0", "seeds": "1"}, 400, ["best: must be", "seeds: must be"]),
    ],
)
def test_bad_operations_are_refused_with_all_problems(
    site: Site, fields: dict[str, str], status: int, problems: list[str]
) -> None:
    """An operation that cannot be done changes nothing and names every problem."""
    before = site.store.studies.progress(site.digits)
    response = operate(site, **fields)
    assert response.status == status
    for problem in problems:
        assert problem in response.json["sentence"]
    assert site.store.studies.progress(site.digits) == before


def test_operations_work_without_scripts(site: Site) -> None:
    """Without scripts a browser is led to the study's page, or gets a page with the problem."""
    form = {"method": "POST", "content_type": "application/x-www-form-urlencoded"}
    done = fetch(site.site, operations_link("digits"), body=b"operation=pause", **form)
    assert (done.status, done.headers["location"]) == (303, study_link("digits"))
    wrong = fetch(site.site, operations_link("digits"), body=b"operation=edit&trials=0&priority=0", **form)
    assert (wrong.status, "trials: must be a whole number" in wrong.text) == (400, True)
    assert fetch(site.site, operations_link("nosuch"), body=b"operation=pause", **form).status == 404
    assert fetch(site.site, operations_link("digits")).status == 405


def test_the_best_are_confirmed_in_the_background(site: Site) -> None:
    """The form leads to the progress of the confirmation, which ends on the study's page or with the reason."""
    page = operate(site, operation="confirm", best="1", seeds="2").json["page"]
    assert page == confirmation_link("digits")
    responses = iter(lambda: fetch(site.site, page), None)
    ended = next(response for response in responses if "are being trained again" not in response.text)
    # The synthetic study has made-up data's fingerprint, so its trials cannot be trained again.
    assert (ended.status, "fingerprint" in ended.text) == (500, True)
    assert fetch(site.site, confirmation_link("diabetes")).headers["location"] == study_link("diabetes")


def tenfold(trial: ObjectiveTrial) -> float:
    """Return a number that depends on the seed, for the next test."""
    return 10.0 + trial.seed % 7


def test_the_best_of_a_training_function_are_confirmed(site: Site) -> None:
    """The form is there for a function that can be imported; its trainings are stored."""
    spec = StudySpec(
        name="own",
        data=NO_DATA,
        metric="value",  # type: ignore[arg-type] # any name, for a study with an objective
        objective=ObjectiveSpec(function=f"{__name__}:tenfold"),
        trials=2,
        search=(Range(name="x", low=0.0, high=1.0, log=False),),
    )
    study = site.store.studies.create(spec, fingerprint="")
    claims = site.store.queue.claim(study, worker="ann", count=2, lease_s=600.0)
    site.store.trials.assign(
        study, [Assignment(claim=one, params={"x": 0.5 + one.number / 10}) for one in claims]
    )
    finding = synthetic.finding(Cause.HEALTHY)
    outcome = TrialOutcome(state=TrialState.COMPLETE, value=1.0, finding=finding, series={})
    site.store.trials.record(
        study, [Update(claim=one, reports={}, epochs=1, steps=1, outcome=outcome) for one in claims]
    )
    assert 'id="confirm"' in fetch(site.site, study_link("own")).text
    page = operate(site, "own", operation="confirm", best="1", seeds="2").json["page"]
    responses = iter(lambda: fetch(site.site, page), None)
    ended = next(response for response in responses if "are being trained again" not in response.text)
    assert (ended.status, ended.headers["location"]) == (303, f"{study_link('own')}#best")
    assert len(site.store.evaluations.all(study)) == 2


def test_studies_are_compared(site: Site) -> None:
    """Two studies of one metric are compared on one page; fewer, unknown and unlike ones are explained."""
    site.store.studies.copy("digits", "digits again")
    page = fetch(site.site, f"{COMPARE}?study=digits&study=digits%20again")
    assert (page.status, "Differences between the study files" in page.text) == (200, True)
    assert (
        fetch(
            site.site,
            f"{COMPARE}?study=digits&study=digits%20again",
            headers={"If-None-Match": page.headers["etag"]},
        ).status
        == 304
    )
    for query, status, words in (
        ("", 400, "must name two studies"),
        ("study=digits&study=digits", 400, "must name two studies"),
        ("study=digits&study=nosuch", 404, "nosuch"),
        ("study=digits&study=diabetes", 400, "metric"),
    ):
        response = fetch(site.site, f"{COMPARE}?{query}")
        assert (response.status, words in response.text) == (status, True), query
