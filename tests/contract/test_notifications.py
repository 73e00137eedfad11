"""Notifications in the database: who sends each, and where their URLs are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.storage import notifications
from hpsearch.storage.transfer import Selection, Transfer
from hpsearch.study.spec import NotifySpec
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

Labs = Callable[..., Lab]

URL = "json://user:secret@127.0.0.1/"


def test_one_process_claims_a_notification(new_lab: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim is exclusive until it ends; without a delivery it passes on; what was sent is never claimed again."""
    lab = new_lab()
    claim = lab.store.notifications.claim
    assert [claim(lab.study, "new_best", "a"), claim(lab.study, "new_best", "a")] == ["claimed", "busy"]
    assert claim(lab.study, "new_best", "b") == "claimed"
    monkeypatch.setattr(notifications, "SEND_WITHIN_S", -1.0)
    assert claim(lab.study, "study_finished", "a") == "claimed"
    assert claim(lab.study, "study_finished", "a") == "claimed"
    lab.store.notifications.finish(lab.study, "study_finished", "a")
    assert claim(lab.study, "study_finished", "a") == "sent"


def test_urls_are_apart_from_the_study(new_lab: Labs, tmp_path: Path) -> None:
    """No record, copy or export of a study holds them; a follow-up has its parent's; the same file replaces them."""
    lab = new_lab()
    spec = replace(lab.study.spec, name=f"{lab.study.name}-n", notify=NotifySpec(urls=(URL,)))
    assert "secret" not in repr(spec)
    made = lab.store.studies.create(spec, fingerprint=FINGERPRINT)
    assert made == lab.store.studies.get(spec.name)
    assert "secret" not in repr(made)
    urls = lab.store.notifications.urls
    assert urls(made) == (URL,)
    child = lab.store.studies.create(
        a_spec(f"{spec.name}-round-2", seed=5), fingerprint=FINGERPRINT, parent=made
    )
    assert urls(child) == (URL,)
    lab.store.studies.create(replace(spec, notify=NotifySpec(urls=("json://b/",))), fingerprint=FINGERPRINT)
    assert urls(made) == ("json://b/",)
    lab.store.studies.create(replace(spec, notify=NotifySpec()), fingerprint=FINGERPRINT)
    assert urls(made) == ("json://b/",)
    lab.store.studies.copy(child.name, f"{child.name}-copy")
    assert urls(lab.store.studies.get(f"{child.name}-copy")) == ()
    path = tmp_path / "there.db"
    selection = Selection(names=(child.name,))
    Transfer(source=lab.url, target=f"sqlite:///{path}", selection=selection).run(notify=lambda _: None)
    assert b"secret" not in path.read_bytes()
    assert json.dumps(urls(child)) == f'["{URL}"]'
