"""Events and notifications of a study, from what its database says."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpsearch.errors import UsageError
from hpsearch.storage import notifications
from hpsearch.storage.store import open_store
from hpsearch.study.spec import BudgetSpec
from hpsearch.trials import TrialState
from hpsearch.worker import notifier
from hpsearch.worker.events import EventFile, StudyWatcher
from hpsearch.worker.notifier import Notifier, check_urls, due_notifications
from hpsearch.worker.shutdown import StopRequest
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec
from tests.worker.bench import RATES, SPEC, Bench

URLS = ("json://user:secret@127.0.0.1/a", "json://127.0.0.1/b")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Provide a study of four trials whose notifications go to two URLs."""
    url = f"sqlite:///{tmp_path}/a.db"
    with open_store(url) as store:
        spec = a_spec("digits", trials=4)
        spec = replace(spec, notify=replace(spec.notify, urls=URLS))
        yield Lab(store=store, url=url, study=store.studies.create(spec, fingerprint=FINGERPRINT))


def look(watcher: StudyWatcher, lab: Lab) -> list[tuple[Any, ...]]:
    """Return the events since the last look: each with its trial, if it has one."""
    found = watcher.look(lab.study, lab.store.studies.progress(lab.study))
    return [(one.event, one.trial) if one.trial is not None else (one.event,) for one in found]


def test_each_event_is_found_once(lab: Lab) -> None:
    """Starts, ends of trials with new bests, failures, and the ends and pauses of studies, in order."""
    watcher = StudyWatcher(lab.store)
    assert look(watcher, lab) == [("study_started",)]
    lab.finish(1, value=0.5)
    lab.finish(1, value=0.25)
    lab.finish(1, state=TrialState.FAILED, value=None)
    assert look(watcher, lab) == [
        ("trial_finished", 0),
        ("new_best", 0),
        ("trial_finished", 1),
        ("trial_failed", 2),
    ]
    assert look(watcher, lab) == []
    lab.store.studies.pause(lab.study, by="ann")
    assert look(watcher, lab) == [("study_paused",)]
    lab.store.studies.resume(lab.study)
    lab.finish(2, value=0.75)
    assert look(watcher, lab) == [
        ("trial_finished", 3),
        ("new_best", 3),
        ("trial_finished", 4),
        ("study_finished",),
    ]
    assert look(StudyWatcher(lab.store), lab) == []


def test_workers_come_and_go(lab: Lab) -> None:
    """A worker joins with its first trial; it leaves, or is lost if its process died."""
    dead: list[str] = []
    watcher = StudyWatcher(lab.store, lambda: dead)
    look(watcher, lab)
    lab.renew(600.0, worker="ann")
    claims = lab.claim(1, worker="ann")
    assert look(watcher, lab) == [("worker_joined",)]
    lab.assign(claims)
    lab.end(claims)
    dead.append("ann")
    assert [one[0] for one in look(watcher, lab)] == ["worker_lost", "trial_finished", "new_best"]
    assert look(watcher, lab) == []


def test_lines_are_json_with_fixed_fields(lab: Lab, tmp_path: Path) -> None:
    """Every line has all fields; a value that JSON lacks is null; a file that cannot be written is a usage error."""
    watcher = StudyWatcher(lab.store)
    look(watcher, lab)
    lab.finish(1, value=float("inf"))
    file = EventFile(str(tmp_path / "events.jsonl"))
    for event in watcher.look(lab.study, lab.store.studies.progress(lab.study)):
        file.write(event)
    file.close()
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    read = json.loads(line)
    assert read | {"time": "", "worker": ""} == {
        "time": "",
        "event": "trial_finished",
        "study": "digits",
        "trial": 0,
        "state": "complete",
        "value": None,
        "verdict": "healthy",
        "worker": "",
        "reason": None,
        "finished": 1,
        "budget": 4,
    }
    with pytest.raises(UsageError, match=r"--events: must be a file that can be written"):
        EventFile(str(tmp_path / "none" / "events.jsonl"))


def test_each_notification_is_sent_once_by_anyone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes send each to each URL once; one that failed is sent by the next, when its claim has ended."""
    sent: list[tuple[str, str]] = []
    broken = {URLS[1]}

    def send(url: str, one: notifier.Notification) -> bool:
        if url not in broken:
            sent.append((url[-1], one.event))
        return url not in broken

    monkeypatch.setattr(notifier, "_send", send)
    notes: list[str] = []
    ann, bob = (Notifier(store=lab.store, note=notes.append) for _ in range(2))
    lab.finish(4, value=0.5)
    progress = lab.store.studies.progress(lab.study)
    assert ann.send(lab.study, progress) is False
    assert bob.send(lab.study, progress) is True  # what ann could not send is still hers
    assert sent == [("a", "new_best"), ("a", "study_finished")]
    assert len(notes) == 2
    assert "secret" not in str(notes)
    broken.clear()
    monkeypatch.setattr("hpsearch.storage.notifications._claim", _expired(lab))
    assert bob.send(lab.study, progress) is False
    assert sent[2:] == [("b", "new_best"), ("b", "study_finished")]
    ann.send(lab.study, progress)
    assert len(sent) == 4


def _expired(lab: Lab) -> Any:
    """Return the claim as it works once all present claims have ended."""

    def claim(connection: Any, locked: Any, event: str, subject: str) -> Any:
        late = replace(locked, now_s=locked.now_s + notifications.SEND_WITHIN_S + 1)
        return notifications_claim(connection, late, event, subject)

    notifications_claim = notifications._claim
    return claim


def test_a_pause_by_a_user_is_no_notification(lab: Lab) -> None:
    """Users know of their own pauses; a pause after failures is news."""
    lab.store.studies.pause(lab.study, by="ann@home")
    assert list(due_notifications(lab.study, lab.store.studies.progress(lab.study))) == []
    lab.store.studies.resume(lab.study)
    lab.store.studies.pause(lab.study, by="hpsearch after 5 failures in a row, all ValueError,")
    (one,) = due_notifications(lab.study, lab.store.studies.progress(lab.study))
    assert (one.event, one.title) == ("study_paused", 'Study "digits" paused')


def test_a_study_that_goes_on_and_ends_again_notifies_again(lab: Lab) -> None:
    """Raising the limit that ended a study gives its next end another subject; the same end keeps its own."""

    def subject() -> str:
        due = due_notifications(lab.study, lab.store.studies.progress(lab.study))
        return next((one.subject for one in due if one.event == "study_finished"), "")

    lab.store.studies.set_limits(lab.study, BudgetSpec(patience=1))
    lab.finish(2, value=0.5)
    first = subject()
    assert first == subject() != ""
    lab.store.studies.set_limits(lab.study, BudgetSpec(patience=2))
    assert subject() == ""
    lab.finish(1, value=0.5)
    assert subject() not in ("", first)


def test_results_after_the_end_of_a_study_do_not_notify_again(lab: Lab) -> None:
    """A trial that another worker had under way may reach a second limit, and then the budget: the end is the same."""
    lab.store.studies.set_limits(lab.study, BudgetSpec(epochs=4, until=0.9))
    lab.store.studies.set_budget(lab.study, 3)
    claims = lab.claim(3)
    lab.assign(claims)
    subjects = set()
    for claim, value in zip(claims, (0.95, 0.5, 0.5), strict=True):
        lab.end([claim], value=value)
        due = due_notifications(lab.study, lab.store.studies.progress(lab.study))
        subjects.add(next(one.subject for one in due if one.event == "study_finished"))
    assert len(subjects) == 1


def test_unknown_urls_are_refused_without_showing_them() -> None:
    """The error shows the kind of a URL alone."""
    check_urls(URLS)
    with pytest.raises(UsageError) as caught:
        check_urls((*URLS, "nosuch://token"))
    assert "notify.urls[2]: must be a URL that apprise supports (got nosuch://****)" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_running_worker_follows_edited_ranges(tmp_path: Path) -> None:
    """Trials that are claimed after an edit are sampled from the new range; earlier ones keep theirs."""
    bench = Bench(f"sqlite:///{tmp_path}/b.db", replace(SPEC, trials=8))
    worker = bench.worker("ann", rows=2, stop=StopRequest())
    rates = RATES[0]
    edited = False
    begin = worker._follow_ranges

    def follow() -> None:
        nonlocal edited
        if not edited and worker.ended >= 4:
            edited = True
            bench.store.studies.set_ranges(bench.study, {rates.name: replace(rates, low=1e-2, high=2e-2)})
        begin()

    worker._follow_ranges = follow  # type: ignore[method-assign]
    worker.run()
    (edit,) = bench.store.studies.get("iris").edits
    trials = bench.store.trials.all(bench.study)
    inside = [1e-2 <= float(trial.params["learning_rate"]) <= 2e-2 for trial in trials]
    assert len(trials) == 8
    assert inside[-2:] == [True, True]
    assert not all(inside[: edit.trials])
    bench.close()
