"""The dashboard as started by a user, and as shown in a browser."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from hpsearch.analysis.trial_facts import given_in_advance
from hpsearch.storage.records import TrialOutcome, Update
from hpsearch.storage.store import open_store
from hpsearch.trials import TrialState
from hpsearch.verdicts import Cause
from tests.dashboard.populate import populate
from tests.end_to_end.browser import Paper, Sight, sight
from tests.end_to_end.conftest import GIVE_UP_S, Folder
from tests.end_to_end.serving import Server, serving
from tests.report import synthetic

TOKEN = "correct-horse-battery"
HOSTILE = quote(synthetic.MARKUP, safe="")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Provide a database with a live study, a hostile one, and one with infinite values."""
    path = tmp_path_factory.mktemp("dashboard") / "studies.db"
    with open_store(f"sqlite:///{path}") as store:
        populate(store, synthetic.synthetic())
        populate(store, synthetic.hostile(), worker=synthetic.MARKUP)
        populate(store, synthetic.regression())
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def server(url: str) -> Iterator[Server]:
    """Provide a dashboard of that database."""
    with serving(url) as started:
        yield started


def shows(seen: Sight, *texts: str) -> None:
    """Return after all texts are on the page; fail if one does not appear."""
    for text in texts:
        seen.page.get_by_text(text).first.wait_for(state="attached")


def test_optunas_pages_show_the_study(server: Server, browser: Browser) -> None:
    """Home, study, trial and note show real numbers, our figures and our notes, whose links lead to our pages."""
    with sight(browser) as seen:
        page = seen.open(f"{server.address}/")
        assert page.url.endswith("/studies/")
        shows(seen, "digits", "diabetes", synthetic.MARKUP)
        page.get_by_role("link", name="Optuna's dashboard", exact=True).click()
        page.wait_for_url("**/dashboard")
        for name, path in (("Studies", "/studies/"), ("Workers", "/workers")):
            page.get_by_role("link", name=name, exact=True).click()
            page.wait_for_url(f"**{path}")
            page.go_back()
        seen.open(f"{server.address}/dashboard/studies/1")
        shows(seen, "Best Trial (number=", "validation_accuracy")
        page.locator('[id="user-defined-plot:hpsearch-search-map"] .scatterlayer .point').first.wait_for()
        shows(seen, "Which learning rates die", "Validation accuracy by epoch")
        seen.open(f"{server.address}/dashboard/studies/1/note")
        shows(seen, "Running: 111 of 121 trials finished, 3 in training.", "outranked")
        seen.open(f"{server.address}/dashboard/studies/1/smartSelection")
        shows(seen, "UserAttribute verdict")
        assert page.get_by_role("cell", name=Cause.OUTRANKED.value, exact=True).count() > 0
        seen.open(f"{server.address}/dashboard/studies/1/trials?numbers=0")
        page.get_by_role("link", name="Trial 0 with its curve").click()
        page.wait_for_url("**/trials/digits/0")
        page.wait_for_selector("html[data-drawn='2']")
        page.get_by_role("link", name="Optuna's dashboard").click()
        page.wait_for_url("**/dashboard/studies/1/trials?numbers=0")
        assert (seen.errors, seen.outside(server.address)) == ([], [])


@pytest.mark.parametrize(("study_id", "numbers"), [(1, (111, 114, 118)), (3, (0, 32, 58))])
def test_no_trial_breaks_a_page(
    server: Server, browser: Browser, study_id: int, numbers: tuple[int, ...]
) -> None:
    """Pages of NaN, infinite, crashed, lost, running and waiting trials come without an error."""
    name = {1: "digits", 3: "diabetes"}[study_id]
    with sight(browser) as seen:
        seen.open(f"{server.address}/dashboard/studies/{study_id}/analytics")
        shows(seen, "Slice", "Contour")
        for number in numbers:
            seen.open(f"{server.address}/dashboard/studies/{study_id}/trials?numbers={number}")
            shows(seen, f"Trial {number} (trial_id=")
            seen.open(f"{server.address}/trials/{name}/{number}")
            shows(seen, f"Trial {number}")
        assert (seen.errors, seen.outside(server.address)) == ([], [])


def test_markup_runs_nothing(server: Server, browser: Browser) -> None:
    """Names, notes and attributes that are markup are shown as text, on our pages and on Optuna's."""
    addresses = [f"/dashboard/studies/2{page}" for page in ("", "/analytics", "/trials", "/note")]
    ours = ["/studies/", f"/studies/{HOSTILE}", f"/trials/{HOSTILE}/3", "/workers"]
    with sight(browser) as seen:
        for address in (*addresses, *ours):
            page = seen.open(server.address + address)
            shows(seen, synthetic.MARKUP)
            page.evaluate("new Promise((next) => requestAnimationFrame(() => setTimeout(next)))")
            assert page.title() != "run"
            assert page.locator("img[src=x]").count() == 0
        assert (seen.errors, seen.outside(server.address)) == ([], [])


@pytest.mark.parametrize(("width", "paper"), [(400, "dark"), (2560, "light")])
def test_our_pages_fit(server: Server, browser: Browser, width: int, paper: Paper) -> None:
    """On a phone in the dark and on a wall our pages are drawn without an error, and none is wider than the screen."""
    with sight(browser, width=width, paper=paper) as seen:
        for address in ("/studies/", "/studies/digits", "/trials/digits/0", "/workers"):
            page = seen.open(server.address + address)
            if "digits" in address:
                page.wait_for_selector("html[data-drawn]")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
            dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
            assert dark == (paper == "dark")
        assert (seen.errors, seen.outside(server.address)) == ([], [])


def test_a_trial_in_a_figure_leads_to_its_page(server: Server, browser: Browser) -> None:
    """A click on a trial in a figure of a served report opens that trial's page, and its number in a table does too."""
    with sight(browser) as seen:
        page = seen.open(f"{server.address}/studies/digits")
        page.wait_for_selector("html[data-drawn]")
        page.locator("#best td a").first.click()
        page.wait_for_url("**/trials/digits/*")
        page.go_back()
        page.wait_for_selector("html[data-drawn]")
        page.evaluate(
            "document.querySelector('[data-figure=search-map]')"
            ".emit('plotly_click', { points: [{ hovertext: 'trial 7: complete<br>x' }] })"
        )
        page.wait_for_url("**/trials/digits/7")
        assert (seen.errors, seen.outside(server.address)) == ([], [])


def test_a_page_follows_the_workers_in_place(tmp_path: Path, browser: Browser) -> None:
    """A worker's writes appear without a reload: filter, position, zoom and what is being entered stay."""
    url = f"sqlite:///{tmp_path}/live.db"
    with open_store(url) as store, serving(url) as server, sight(browser) as seen:
        study = populate(store, synthetic.synthetic(40))
        page = seen.open(f"{server.address}/studies/digits")
        page.wait_for_selector("html[data-drawn]")
        shows(seen, "Running: 31 of 41 trials finished, 3 in training.")
        page.get_by_text("Enqueue a trial").click()
        page.locator("#enqueue input").first.fill("0.0123")
        page.locator(".chip", has_text="outranked").click()
        map_of = "document.querySelector('[data-figure=search-map]')"
        page.evaluate(f"{map_of}.scrollIntoView({{ block: 'center' }})")
        box = page.locator("[data-figure=search-map] .nsewdrag").first.bounding_box()
        assert box is not None
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 80, middle[1] + 60, steps=3)
        page.mouse.up()
        zoomed = page.evaluate(f"{map_of}.layout.yaxis.range")
        page.evaluate("window.isSamePage = true; scrollTo(0, 700)")
        [claim] = store.queue.claim(study, worker="worker-1", count=1, lease_s=60.0)
        finding = synthetic.finding(Cause.HEALTHY)
        outcome = TrialOutcome(state=TrialState.COMPLETE, value=0.9999, finding=finding, series={})
        store.trials.record(
            study, [Update(claim=claim, reports={0: 0.9999}, epochs=1, steps=9, outcome=outcome)]
        )
        shows(seen, "Running: 32 of 41 trials finished, 3 in training.")
        # The figures show the trial that the text counts: its point is in the map, with its number.
        page.wait_for_function(
            f"{map_of}.data.some((t) => (t.hovertext ?? []).some((h) => h.startsWith('trial {claim.number}')))"
        )
        assert page.evaluate("isSamePage && Math.abs(scrollY - 700) < 2")
        assert page.evaluate(f"{map_of}.layout.yaxis.range") == zoomed
        assert page.locator("#enqueue input").first.input_value() == "0.0123"
        assert not page.locator(".chip input[value='outranked']").is_checked()
        assert page.locator(".chip input[value='complete']").is_checked()
        hidden = "(p) => p.data.filter((t) => t.meta?.fate === 'outranked').every((t) => t.visible === false)"
        page.wait_for_function(f"({hidden})({map_of})")
        assert (seen.errors, seen.outside(server.address)) == ([], [])


def test_every_button_operates_the_study(tmp_path: Path, browser: Browser) -> None:
    """Each button, on a phone, says what it did, the page shows it without a reload, and the database has it."""
    url = f"sqlite:///{tmp_path}/live.db"
    with open_store(url) as store, serving(url) as server, sight(browser, width=400) as seen:
        study = populate(store, synthetic.synthetic(40))
        page = seen.open(f"{server.address}/studies/")
        page.get_by_role("link", name="digits", exact=True).click()
        page.wait_for_selector("html[data-opened]")  # its scripts run
        page.get_by_role("button", name="Pause").click()
        shows(seen, 'Study "digits": paused')
        page.get_by_role("button", name="Resume").click()
        shows(seen, 'Study "digits": resumed')
        page.get_by_role("button", name="Pause").wait_for()
        page.get_by_label("Budget in trials").fill("50")
        page.get_by_role("button", name="Set", exact=True).click()
        shows(seen, "the budget is 50 trials now (it was 41)", "31 of 50 trials finished")
        page.get_by_text("Enqueue a trial").click()
        page.locator("#enqueue input").first.fill("-1")
        page.get_by_role("button", name="Enqueue").click()
        shows(seen, "(got -1)")
        page.locator("#enqueue input").first.fill("0.0123")
        page.get_by_role("button", name="Enqueue").click()
        shows(seen, "trial 40 waits with")
        page.get_by_role("button", name="Stop").click()
        shows(seen, "ends with 34 trials (its budget was 50)")
        page.wait_for_selector("html[data-drawn]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert given_in_advance(store.trials.get(study, 40)) == {"learning_rate": 0.0123}
        assert store.studies.get("digits").spec.trials == 34
        # A refused operation is an answer with status 400, which Chromium notes in the console.
        errors = [error for error in seen.errors if "status of 400" not in error]
        assert (errors, seen.outside(server.address)) == ([], [])


def test_a_trial_is_replayed_and_the_best_confirmed(
    make_folder: Callable[[Mapping[str, str]], Folder], browser: Browser
) -> None:
    """A trial's page trains it again and shows that its numbers are the same; its study's page confirms the best."""
    folder = make_folder({"iris.toml": 'name = "iris"\ntrials = 2\ndata = { source = "iris" }\n'})
    assert folder.run("study", "run", "iris.toml", "--workers", "1").returncode == 0
    with serving(f"sqlite:///{folder.path}/storage/hpsearch.db") as server, sight(browser) as seen:
        page = seen.open(f"{server.address}/trials/iris/0")
        page.get_by_role("button", name="Replay").click()
        shows(seen, "bit-identical to the stored curve")
        page = seen.open(f"{server.address}/studies/iris")
        page.get_by_text("Confirm the best with fresh seeds").click()
        page.locator("#confirm [name=best]").fill("1")
        page.locator("#confirm [name=seeds]").fill("2")
        page.get_by_role("button", name="Confirm").click()
        page.wait_for_url("**/studies/iris#best")
        shows(seen, "The best 1, by validation accuracy over fresh seeds")
        assert (seen.errors, seen.outside(server.address)) == ([], [])


def test_without_the_token_nothing_is_served(url: str, browser: Browser) -> None:
    """A browser gets in by the address with the token and stays in; others get nothing; no log has the token."""
    with serving(url, environment={"HPSEARCH_TOKEN": TOKEN}) as server:
        for path in (
            "/",
            "/studies/digits",
            "/static/bundle.js",
            "/healthz",
            "/api/studies",
            "/?token=wrong",
        ):
            status, body = server.ask(path)
            assert status == 401
            assert "digits" not in body
        assert server.ask("/healthz", Authorization=f"Bearer {TOKEN}") == (200, "ok\n")
        with sight(browser) as seen:
            page = seen.open(f"{server.address}/?token={TOKEN}")
            shows(seen, "digits")
            assert TOKEN not in page.url
            seen.open(f"{server.address}/studies/digits")
            assert page.evaluate("document.cookie") == ""
            assert seen.errors == []
        code, said = server.end(signal.SIGTERM)
        assert (code, TOKEN in said) == (0, False)


def test_idle_connections_lock_nobody_out(url: str) -> None:
    """Pages that keep connections open, two hundred of them, leave room for others."""
    with serving(url) as server, ExitStack() as kept:
        port = int(server.address.rpartition(":")[2])
        for _ in range(200):
            idle = kept.enter_context(socket.create_connection(("127.0.0.1", port), timeout=GIVE_UP_S))
            idle.sendall(b"POST /api/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        assert server.ask("/healthz") == (200, "ok\n")


def test_changes_are_refused_where_they_should_be(url: str) -> None:
    """Other hosts, other origins, and all users of a read-only dashboard cannot change anything."""
    note = json.dumps({"version": 1, "body": "x"}).encode()
    change: dict[str, Any] = {"method": "PUT", "body": note, "Content_Type": "application/json"}
    with serving(url, "--read-only") as server:
        status, body = server.ask("/api/studies/1/note", **change)
        assert (status, "read-only" in body) == (403, True)
        assert server.ask("/studies/digits")[0] == 200
        assert server.ask("/studies/digits", Host="evil.example")[0] == 421
        code, _ = server.end(signal.SIGINT)
        assert code == 130
    with serving(url) as server:
        assert server.ask("/api/studies/1/note", Origin="http://evil.example", **change)[0] == 403
        assert server.ask("/api/studies/1/note", Sec_Fetch_Site="cross-site", **change)[0] == 403
        assert json.loads(server.ask("/api/studies/1")[1])["note"]["version"] == 0
        assert server.ask("/api/studies/1/note", Origin=server.address, **change)[0] == 204
        port = server.address.rpartition(":")[2]
        taken = subprocess.run(
            [sys.executable, "-m", "hpsearch", "dashboard", "--port", port, "--storage", url],
            capture_output=True,
            text=True,
            timeout=GIVE_UP_S,
            check=False,
        )
        assert (taken.returncode, taken.stdout) == (1, "")
        assert f"port {port}: Address already in use" in taken.stderr
