"""Optuna's dashboard with our notes and figures, and with fixes of its faults."""

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna_dashboard import _app

from hpsearch.analysis.snapshot import Snapshot
from hpsearch.dashboard.links import trial_link
from hpsearch.dashboard.notes import escaped, escaped_with_code, study_note, trial_note
from hpsearch.dashboard.patches import MAX_RESPONSES, ResponseCache
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.records import Assignment, Evaluation, TrialOutcome, Update
from hpsearch.trials import TrialState, best_trials
from hpsearch.verdicts import Cause
from tests.dashboard.client import Received, fetch
from tests.dashboard.conftest import Site
from tests.report import synthetic


def detail(site: Site, study_id: int = 1, after: int = 0) -> Any:
    """Return the dashboard's details of a study."""
    return fetch(site.site, f"/api/studies/{study_id}?after={after}").json


def write_note(site: Site, address: str, version: int, body: str) -> Received:
    """Write a note as the dashboard's pages do."""
    details = json.dumps({"version": version, "body": body}).encode()
    return fetch(site.site, address, method="PUT", body=details)


def test_every_ended_trial_has_a_note(site: Site) -> None:
    """The note of an ended trial has its verdict, evidence, remedy and a link to its page; other trials have none."""
    trials = {trial["number"]: trial for trial in detail(site)["trials"]}
    for trial in site.store.trials.all(site.digits):
        body = trials[trial.number]["note"]["body"]
        assert bool(body) == trial.state.is_final
        if trial.finding is not None:
            assert escaped(trial.finding.cause.value) in body
            assert escaped(trial.finding.remedy) in body
            assert f"]({trial_link('digits', trial.number)})" in body


def test_a_study_has_a_note_and_figures(site: Site) -> None:
    """The study's note has its state; the search map, failures and curves follow soon, with titles."""
    details = next(details for details in iter(lambda: detail(site), None) if details["plotly_graph_objects"])
    assert "51 of 61 trials finished, 3 in training" in details["note"]["body"].replace("\\", "")
    assert "](/studies/digits)" in details["note"]["body"]
    figures = {one["id"]: json.loads(one["graph_object"]) for one in details["plotly_graph_objects"]}
    assert list(figures) == [
        "hpsearch-search-map",
        "hpsearch-learning-rates",
        "hpsearch-learning-curves-training",
        "hpsearch-learning-curves-metric",
    ]
    for figure in figures.values():
        assert figure["data"]
        assert len(figure["layout"]["title"]["text"]) < 60  # it would be cut off
        keys = [one for one in figure["data"] if one["type"] == "scatter" and one.get("showlegend", True)]
        # Colours by result have no colour of their own in a legend.
        assert all("coloraxis" not in one.get("marker", {}) for one in keys)


def test_notes_of_users_are_kept(site: Site) -> None:
    """A user's note of a trial or a study replaces ours permanently, even if it is empty."""
    trial_id = detail(site)["trials"][0]["trial_id"]
    for address in (f"/api/studies/1/{trial_id}/note", "/api/studies/1/note"):
        assert write_note(site, address, 1, "mine").status == 204
        assert write_note(site, address, 1, "theirs").status == 409
        assert write_note(site, address, 2, "").status == 204
    details = detail(site)
    assert (details["note"], details["trials"][0]["note"]) == ({"version": 2, "body": ""},) * 2
    assert details["trials"][1]["note"]["body"] != ""


def test_reading_stores_no_notes(site: Site) -> None:
    """Reading a study's details writes no attribute of a note or a figure into the database."""
    before = site.storage.get_study_system_attrs(1)
    detail(site)
    assert site.storage.get_study_system_attrs(1) == before


def test_times_have_a_zone(site: Site) -> None:
    """Every time has its zone, so that a browser in another zone shows it correctly."""
    stored = {trial.number: trial for trial in site.store.trials.all(site.digits)}
    for trial in detail(site)["trials"]:
        if trial["state"] == "Complete":
            assert trial["datetime_start"][-6] in "+-"
            started = stored[trial["number"]].started
            assert started is not None
            assert trial["datetime_start"][:10] == started.astimezone().isoformat()[:10]
    assert "datetime_start" not in detail(site)["trials"][-1]


def test_a_waiting_trial_removes_no_axis(site: Site) -> None:
    """Parameters of all other trials stay axes while a trial without parameters waits, in partial updates too."""
    for after in (0, 55):
        axes = detail(site, after=after)["intersection_search_space"]
        assert [axis["name"] for axis in axes] == ["learning_rate", "weight_decay"]


def test_large_studies_have_no_plot_of_every_trial(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a number of trials the plot of intermediate values is left out; our learning curves replace it."""
    assert detail(site)["has_intermediate_values"] is True
    monkeypatch.setattr("hpsearch.dashboard.patches.MAX_CURVES", 59)
    details = detail(site, after=1)
    assert details["has_intermediate_values"] is False
    assert details["trials"][0]["intermediate_values"]


def test_verdicts_can_be_filtered_by(site: Site) -> None:
    """The verdict is a user attribute of every trial that has one."""
    details = detail(site)
    assert "verdict" in [attribute["key"] for attribute in details["union_user_attrs"]]
    verdicts = {
        trial["number"]: next((a["value"] for a in trial["user_attrs"] if a["key"] == "verdict"), None)
        for trial in details["trials"]
    }
    assert verdicts == {trial.number: trial.verdict for trial in site.store.trials.all(site.digits)}


def test_infinite_values_are_valid_json(site: Site) -> None:
    """The details of a study with infinite values and NaN in its curves are strict JSON."""
    body = fetch(site.site, "/api/studies/3").body
    details = json.loads(body, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "inf" in [value for trial in details["trials"] for value in trial.get("values", [])]


def test_a_renamed_study_keeps_everything(site: Site) -> None:
    """Renaming on the dashboard's page keeps the id, the workers' leases and saved figures; used names are refused."""
    held = site.store.queue.held(site.digits, worker="worker-0")
    site.storage.set_study_system_attr(1, "dashboard:plot_data:mine:0", "{}")
    response = fetch(
        site.site, "/api/studies/1/rename", method="POST", body=json.dumps({"study_name": "new"}).encode()
    )
    assert (response.status, response.json["study_id"], response.json["study_name"]) == (201, 1, "new")
    renamed = site.store.studies.get("new")
    assert (renamed.key, site.store.queue.held(renamed, worker="worker-0")) == (site.digits.key, held)
    assert "mine" in [one["id"] for one in detail(site)["plotly_graph_objects"]]
    for body in (
        b'{"study_name": "diabetes"}',
        b"{}",
        b"[]",
        b"{",
        b'{"study_name": ""}',
        b'{"study_name": 3}',
        b'{"study_name": " "}',
        b'{"study_name": "two\\nlines"}',
        b"[" * 200_000,
    ):
        assert fetch(site.site, "/api/studies/1/rename", method="POST", body=body).status == 400
    for missing in ("99", "9" * 30, "9" * 5000):
        address = f"/api/studies/{missing}/rename"
        assert fetch(site.site, address, method="POST", body=b'{"study_name": "x"}').status == 404


def test_other_clients_studies_are_shown(site: Site) -> None:
    """A study that hpsearch did not create is shown as Optuna shows it, without our figures."""
    study_id = site.storage.create_new_study([StudyDirection.MINIMIZE], study_name="theirs")
    assert fetch(site.site, f"/api/studies/{study_id}").json["plotly_graph_objects"] == []
    assert fetch(site.site, "/api/studies/99").status == 404
    assert "theirs" in fetch(site.site, "/studies/").text


def test_notes_escape_external_text() -> None:
    """External text is not interpreted as Markdown: it makes no link, picture, table or line break."""
    assert escaped("a|b\n# c [x](javascript:1) ![](y) <b> `z`") == (
        r"a\|b \# c \[x\]\(javascript\:1\) \!\[\]\(y\) \<b\> \`z\`"
    )
    snapshot = synthetic.hostile()
    notes = [study_note(snapshot), *(trial_note(trial, snapshot.study) for trial in snapshot.trials)]
    assert not [note for note in notes if "<" in note.replace("\\<", "")]


def test_keys_are_code_in_the_advice() -> None:
    """A key of the study file in the advice is code; markup between backquotes, or a single backquote, is text."""
    note = study_note(synthetic.synthetic())
    assert "raise `search.learning_rate.low`" in note
    assert escaped_with_code("a_b: lower `search.x.high`.") == r"a\_b\: lower `search.x.high`\."
    for hostile in ("`<b>` x", "x ` y", "`a``", "[x](y) `a b`"):
        assert escaped_with_code(hostile) == escaped(hostile)


def test_a_note_spells_out_infinite_evidence() -> None:
    """Infinite evidence is written as a word."""
    snapshot: Snapshot = synthetic.synthetic()
    died = next(trial for trial in snapshot.trials if trial.verdict is Cause.DIVERGED_LR)
    assert "| loss | infinite |" in trial_note(died, snapshot.study)


def best_in_map(details: Any) -> str:
    """Return the first line of the star's hover label in the search map, such as `trial 7: complete`."""
    figures = {one["id"]: json.loads(one["graph_object"]) for one in details["plotly_graph_objects"]}
    (star,) = (one for one in figures["hpsearch-search-map"]["data"] if one.get("name") == "best")
    return str(star["hovertext"][0]).partition("<br>")[0]


def test_a_page_shows_one_state(site: Site) -> None:
    """Trials, best trial, note and figures of one response show the same state, also right after a change."""
    on_screen = "/api/studies/1?after=1"
    for number in range(3):
        [claim] = site.store.queue.claim(site.digits, worker="worker-0", count=1, lease_s=60.0)
        value = 0.9999 + number / 1e6
        outcome = TrialOutcome(
            state=TrialState.COMPLETE, value=value, finding=synthetic.finding(Cause.HEALTHY), series={}
        )
        site.store.trials.assign(
            site.digits,
            [Assignment(claim=claim, params={"learning_rate": 0.1, "weight_decay": 1e-5})],
        )
        site.store.trials.record(
            site.digits, [Update(claim=claim, reports={0: value}, epochs=1, steps=9, outcome=outcome)]
        )
        details = fetch(site.site, on_screen).json
        assert [trial["number"] for trial in details["best_trials"]] == [claim.number]
        states = [trial["state"] for trial in details["trials"] if trial["number"] == claim.number]
        assert states == ["Complete"]
        assert str(claim.number) in best_in_map(details)
        site.store.studies.set_budget(site.digits, 70 + number)


def test_an_unchanged_study_is_serialized_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's details come from memory until a note, an attribute or a trial of the study changes, by any client."""
    made: list[object] = []
    original = _app.serialize_study_detail

    def serialize(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(_app, "serialize_study_detail", serialize)
    trials = len(detail(site)["trials"])
    detail(site)
    assert len(made) == 1
    write_note(site, "/api/studies/1/note", 1, "ours")
    assert detail(site)["note"]["body"] == "ours"
    other = OptunaStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    other.set_study_user_attr(1, "colour", "blue")
    assert {"key": "colour", "value": "blue"} in detail(site)["user_attrs"]
    other.create_new_trial(1)
    assert len(detail(site)["trials"]) == trials + 1
    other.remove_session()
    assert len(made) == 4


def test_another_study_in_the_place_of_a_deleted_one_is_shown(site: Site, tmp_path: Path) -> None:
    """SQLite reuses a study's id, and a study without trials differs from the deleted one in its direction alone."""
    other = OptunaStorage(f"sqlite:///{tmp_path / 'studies.db'}")
    study_id = other.create_new_study([StudyDirection.MINIMIZE], "empty")
    assert detail(site, study_id)["directions"] == ["minimize"]
    other.delete_study(study_id)
    assert other.create_new_study([StudyDirection.MAXIMIZE], "empty") == study_id
    assert detail(site, study_id)["directions"] == ["maximize"]
    other.remove_session()


def test_the_best_trial_is_the_best_by_fresh_seeds(site: Site) -> None:
    """The best trial by fresh seeds is Optuna's best trial, the star of the map, and first in the note."""
    order = [
        trial.number for trial in best_trials(site.store.trials.all(site.digits), maximize=True, count=3)
    ]
    made = [
        Evaluation(
            number=number,
            part="validation",
            seed=seed,
            loss=0.1,
            accuracy=0.5 + 0.1 * rank,
            made=synthetic.TAKEN,
        )
        for rank, number in enumerate(order)
        for seed in range(2)
    ]
    site.store.evaluations.write(site.digits, made)
    for after in (1, order[-1] + 1):
        details = fetch(site.site, f"/api/studies/1?after={after}").json
        assert [trial["number"] for trial in details["best_trials"]] == [order[-1]]
        assert details["best_trials"][0]["note"]["body"]
        assert str(order[-1]) in best_in_map(details)
        assert "1. Best-1 (val acc 0.700 over 2 fresh seeds" in details["note"]["body"].replace("\\", "")


def test_a_response_is_made_once_from_the_same_sources() -> None:
    """A second request with the same sources gets the cached response; other sources make another one."""
    cache, made = ResponseCache(), iter([b"one", b"two"])
    assert [cache.get(sources, lambda: next(made)) for sources in ("a", "a", "b", "a")] == [
        b"one",
        b"one",
        b"two",
        b"one",
    ]


def test_the_least_recently_used_response_is_dropped() -> None:
    """The cache has a maximum size, and keeps the responses that were requested last."""
    cache = ResponseCache()
    made: list[int] = []

    def get(number: int) -> None:
        def make() -> bytes:
            made.append(number)
            return b"response"

        cache.get(number, make)

    for number in range(MAX_RESPONSES):
        get(number)
    get(0)
    get(MAX_RESPONSES)
    get(0)
    get(1)
    assert made == [*range(MAX_RESPONSES), MAX_RESPONSES, 1]
