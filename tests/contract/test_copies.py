"""Copies: studies move between databases of any kind, whole or not at all, and read back unchanged."""

import itertools
import math
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import optuna
import pytest
from sqlalchemy import Engine, event, make_url, select, update

from hpsearch.errors import StorageError, StudyExistsError, StudyNotFoundError, UsageError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.engine import read_transaction, write_transaction
from hpsearch.storage.records import Update
from hpsearch.storage.store import Store, open_store
from hpsearch.storage.transfer import CopiedStudy, Selection, Transfer
from hpsearch.trials import TrialState
from tests.contract.golden_database import facts
from tests.contract.laboratory import (
    Lab,
    a_spec,
    evaluation,
    kill_others,
    note_of,
    stock_storage,
    write_notes,
)

Labs = Callable[..., Lab]
Address = Callable[[str], str]

SETTLED: Final = ("settled_complete", "settled_pruned", "settled_failed")


@pytest.fixture
def shared(new_database: Callable[[str], str], shared_urls: dict[str, str]) -> Address:
    """Provide a function that returns the URL of a dialect's database in which other tests have studies."""

    def url_of(dialect: str) -> str:
        if dialect not in shared_urls:
            shared_urls[dialect] = new_database(dialect)
        return shared_urls[dialect]

    return url_of


@pytest.fixture
def target(tmp_path: Path) -> str:
    """Provide the URL of an SQLite database that does not exist."""
    return f"sqlite:///{tmp_path / 'folder' / 'target.db'}"


def copied(source: str, target: str, *names: str, **selection: Any) -> list[CopiedStudy]:
    """Copy studies and return the notes about them."""
    told: list[CopiedStudy] = []
    chosen = Selection(names=names, **selection)
    assert Transfer(source=source, target=target, selection=chosen).run(notify=told.append) == told
    return told


def read(url: str, name: str) -> Any:
    """Return all readable facts of a study except its id."""
    with open_store(url, create=False) as store:
        study = facts(store)["studies"][name]
    del study["study"]["study_id"]
    return study


def in_whole_seconds(study: Any) -> Any:
    """Cut Optuna's times of trials to the second, as MySQL and MariaDB keep them."""
    for trial in (*study["trials"], study["progress"]["best"]):
        for key in ("started", "finished"):
            if trial[key] is not None:
                trial[key] = trial[key].partition(".")[0].removesuffix("+00:00") + "+00:00"
    return study


def settled(store: Store, lab: Lab) -> tuple[dict[str, Any], int]:
    """Return the counts of settled trials, and the number of the last of them."""
    ours, theirs = schema.studies, optuna_schema.trials
    with read_transaction(store._transactions.engine) as connection:
        row = connection.execute(select(ours).where(ours.c.study_key == lab.study.key)).mappings().one()
        last = select(theirs.c.number).where(theirs.c.trial_id == row["settled_trial_id"])
        return {name: row[name] for name in SETTLED}, connection.execute(last).scalar_one()


def fill(lab: Lab) -> None:
    """Give a study trials of every kind, more than are copied at once, and some that are settled."""
    lab.finish(3, value=math.inf, reports={0: math.nan, 1: -math.inf, 2: 1e-300})
    lab.finish(2, state=TrialState.PRUNED, value=None, series={"loss": [0.5, math.nan]})
    lab.finish(1, state=TrialState.FAILED, value=None, reports={})
    lab.finish(100)
    back, crashed, _ = claims = lab.claim(3)
    lab.assign([back, crashed])
    lab.store.trials.record(lab.study, [Update(claim=crashed, reports={0: 0.5}, epochs=1, steps=9)])
    for claim, why in zip(claims, ("stopped", "out of \N{SNOWMAN}", "stopped"), strict=True):
        lab.store.queue.release(
            lab.study, worker=lab.worker, numbers=[claim.number], why=why, crashed=claim is crashed
        )
    lab.stock().enqueue_trial({"learning_rate": 0.5}, user_attrs={"note": "\N{SNOWMAN}"})
    assert [claim.number for claim in lab.claim(1)] == [back.number]
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="stopped again", crashed=False)
    lab.store.studies.set_priority(lab.study, -3)
    lab.store.studies.set_budget(lab.study, 700)
    lab.store.evaluations.write(
        lab.study, [evaluation(0, seed=2**40), evaluation(101, part="test", loss=None)]
    )
    lab.store.evaluations.unseal(lab.study, number=101, command="opened \N{SNOWMAN}")
    ours, theirs = schema.studies, optuna_schema.trials
    with write_transaction(lab.store._transactions.engine, durable=False) as connection:
        of_study = select(theirs.c.trial_id).where(theirs.c.study_id == lab.study.study_id)
        fifth = connection.execute(of_study.where(theirs.c.number == 4)).scalar_one()
        counts = {"settled_complete": 3, "settled_pruned": 2, "settled_trial_id": fifth}
        connection.execute(update(ours).where(ours.c.study_key == lab.study.key).values(**counts))


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_copy_of_a_copy_of_a_copy_is_equal(new_lab: Labs, shared: Address, target: str) -> None:
    """From SQLite to PostgreSQL to MariaDB to SQLite a study keeps everything; times in MariaDB only to the second."""
    lab = new_lab(trials=200)
    fill(lab)
    name = lab.study.spec.name
    stops = [lab.url, shared("postgresql"), shared("mariadb"), target]
    for source, following in itertools.pairwise(stops):
        told = copied(source, following, name)
        seconds = following == shared("mariadb")
        assert told == [CopiedStudy(name=name, trials=110, returned=0, in_whole_seconds=seconds)]
    first, second, third, last = (read(url, name) for url in stops)
    assert len(first["attempts"]["107"]) == 1
    assert first["series"]["0"]
    assert (len(first["evaluations"]), first["unsealing"]["command"]) == (2, "opened \N{SNOWMAN}")
    assert second == first
    assert third == last == in_whole_seconds(first)
    with open_store(target) as store:
        counts = {"settled_complete": 3, "settled_pruned": 2, "settled_failed": 0}
        assert settled(store, lab) == settled(lab.store, lab) == (counts, 4)
        theirs = Lab(store=store, url=target, study=store.studies.get(name))
        for ours, their in zip(lab.stock().trials, theirs.stock().trials, strict=True):
            assert (ours.user_attrs, ours.system_attrs) == (their.user_attrs, their.system_attrs)
            assert (ours.distributions, repr(ours.intermediate_values)) == (
                their.distributions,
                repr(their.intermediate_values),
            )
        assert theirs.stock().user_attrs == lab.stock().user_attrs
        theirs.close()


def test_notes_stay_with_their_trials(new_lab: Labs, target: str) -> None:
    """A note and an old artifact are of the same trial in the copy, whatever its id; those of no trial are left out."""
    new_lab().finish(3)
    lab = new_lab(trials=200)
    lab.finish(150)
    study = lab.stock()
    notes = {None: "all", 0: "first", 3: "long " * 1000, 149: "last \N{SNOWMAN}"}
    write_notes(study, notes)
    trial_id = study.trials[149]._trial_id
    for key in (f"dashboard:artifacts:{trial_id}:a", "dashboard:99999999:note_ver", "dashboard:plot:7"):
        study._storage.set_study_system_attr(study._study_id, key, 1)
    copied(lab.url, target, study.study_name)
    with open_store(target) as store:
        there = Lab(store=store, url=target, study=store.studies.get(study.study_name))
        theirs = there.stock()
        found = {number: note_of(theirs, number) for number in (None, *range(150))}
        attributes = theirs._storage.get_study_system_attrs(theirs._study_id)
        artifact = f"dashboard:artifacts:{theirs.trials[149]._trial_id}:a"
        there.close()
    assert {number: body for number, body in found.items() if body} == notes
    assert "dashboard:99999999:note_ver" not in attributes
    assert (attributes[artifact], attributes["dashboard:plot:7"]) == (1, 1)


def test_a_copied_study_goes_on_to_its_exact_budget(new_lab: Labs, target: str) -> None:
    """Claims in the target count copied trials, take waiting ones, and go on counting; the source is unchanged."""
    lab = new_lab(trials=8)
    lab.finish(3)
    lab.claim(2)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="stopped", crashed=False)
    before = lab.store.trials.all(lab.study)
    assert copied(lab.url, target, lab.study.spec.name)[0].trials == 5
    with open_store(target) as store:
        there = Lab(store=store, url=target, study=store.studies.get(lab.study.spec.name))
        assert (there.study.key, there.study.spec) == (lab.study.key, lab.study.spec)
        assert [(claim.number, claim.attempt) for claim in there.claim(4)] == [(3, 2), (4, 2), (5, 1), (6, 1)]
        assert [claim.number for claim in there.claim(4)] == [7]
        assert there.claim(1) == []
    assert lab.store.trials.all(lab.study) == before


def test_running_trials_are_refused_or_handed_back(new_lab: Labs, target: str) -> None:
    """A study with running trials is copied only on request; they wait in the copy, their epochs count as stopped."""
    lab = new_lab(trials=9)
    lab.finish(1)
    claims = lab.claim(2)
    lab.assign(claims)
    lab.store.trials.record(
        lab.study, [Update(claim=claim, reports={0: 0.5, 1: 0.6}, epochs=2, steps=9) for claim in claims]
    )
    lab.stock().ask()
    name = lab.study.spec.name
    with pytest.raises(StorageError) as caught:
        copied(lab.url, target, name)
    shown = make_url(lab.url).render_as_string()
    assert str(caught.value) == (
        f'{shown}: no trial of a study that is copied may run (got 3 of "{name}"): '
        "stop its workers, or copy such trials as waiting ones with --include-running"
    )
    assert not Path(str(make_url(target).database)).exists()
    told = copied(lab.url, target, name, running=True)
    assert (told[0].trials, told[0].returned) == (4, 3)
    with open_store(target) as store:
        study = store.studies.get(name)
        trials = store.trials.all(study)
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] + [TrialState.WAITING] * 3
        assert [(trial.params, trial.curve, trial.worker) for trial in trials[1:3]] == [
            (lab.params(number), {}, None) for number in (1, 2)
        ]
        (attempt,) = store.trials.attempts(study, 1)
        assert (attempt.worker, attempt.why, attempt.crashed, attempt.epochs) == (
            lab.worker,
            "copied to another database",
            False,
            2,
        )
        assert store.studies.progress(study).ledger == {"stopped": 4, "complete": 2}
        there = Lab(store=store, url=target, study=study)
        assert there.end(claims) == {1, 2}
        assert [claim.number for claim in there.claim(9)] == list(range(1, 9))
    assert lab.end(claims) == frozenset()


def test_what_the_target_has_is_refused(new_lab: Labs, target: str) -> None:
    """A taken name, and a study that exists under another name, are reported, and nothing is written."""
    labs = [new_lab(), new_lab(), new_lab()]
    source = labs[0].url
    names = [lab.study.spec.name for lab in labs]
    copied(source, target, names[0], names[1])
    storage = stock_storage(target)
    optuna.copy_study(
        from_study_name=names[0], from_storage=storage, to_storage=storage, to_study_name="renamed"
    )
    optuna.delete_study(study_name=names[0], storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    with pytest.raises(StudyExistsError) as caught:
        copied(source, target, *names)
    assert str(caught.value) == (
        f'{target}: must not have the studies yet (got "{names[0]}" as "renamed", "{names[1]}"): '
        "delete them there, or choose others with --study"
    )
    with open_store(target) as store:
        assert [study.spec.name for study in store.studies.all()] == [names[1], "renamed"]
        store.studies.delete("renamed")
    assert [study.name for study in copied(source, target, names[0], names[2])] == [names[0], names[2]]


def test_studies_of_other_clients_are_copied_on_request(new_lab: Labs, target: str) -> None:
    """By name or with all, a study that Optuna made is the same in the target, two equal numbers included."""
    lab = new_lab()
    lab.stock()
    storage = lab.opened[0]
    name = a_spec().name
    study = optuna.create_study(study_name=name, storage=storage, directions=["minimize", "maximize"])
    study.set_user_attr("owner", "ann")
    for number in range(3):
        trial = study.ask()
        trial.suggest_float("x", 0, 1 + number)
        trial.set_user_attr("note", f"{number}")
        study.tell(trial, [0.5, math.inf])
    theirs = optuna_schema.trials
    with write_transaction(lab.store._transactions.engine, durable=False) as connection:
        ids = select(theirs.c.trial_id).where(theirs.c.study_id == study._study_id, theirs.c.number == 2)
        twin = connection.execute(ids).scalar_one()
        connection.execute(update(theirs).where(theirs.c.trial_id == twin).values(number=1))
    assert [(study.name, study.trials) for study in copied(lab.url, target, name)] == [(name, 3)]
    kept = []
    for storage in (stock_storage(lab.url), stock_storage(target)):
        study_id = storage.get_study_id_from_name(name)
        trials = storage.get_all_trials(study_id)
        kept.append((storage.get_study_directions(study_id), storage.get_study_user_attrs(study_id), trials))
        storage.remove_session()
        storage.engine.dispose()
    (*here, trials), (*there, copies) = kept
    assert here == there
    assert [described(trial) for trial in copies] == [described(trial) for trial in trials]
    assert [trial.number for trial in copies] == [0, 1, 1]
    with open_store(target) as store:
        assert (store.studies.all(), store.studies.foreign_names()) == ([], [name])


def described(trial: optuna.trial.FrozenTrial) -> tuple[Any, ...]:
    """Return all facts of a trial except its id and its times, which MariaDB truncates."""
    return (trial.number, trial.state, trial.values, trial.params, trial.distributions, trial.user_attrs)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_all_means_ours_unless_more_is_asked(fresh_url: str, target: str, tmp_path: Path) -> None:
    """Without names all studies of ours are copied, with --all those of other clients too, oldest first."""
    storage = stock_storage(fresh_url)
    for name in ("theirs", "also theirs"):
        optuna.create_study(study_name=name, storage=storage)
    shown = make_url(fresh_url).render_as_string()
    with pytest.raises(StudyNotFoundError) as caught:
        copied(fresh_url, target)
    assert str(caught.value) == (
        f"{shown}: must hold studies of hpsearch (got 2 of other Optuna clients): copy those with --all"
    )
    assert [study.name for study in copied(fresh_url, target, foreign=True)] == ["theirs", "also theirs"]
    with open_store(fresh_url) as store:
        for name in ("ours", "also ours"):
            store.studies.create(a_spec(name), fingerprint="0")
    second, third = (f"sqlite:///{tmp_path / name}" for name in ("second.db", "third.db"))
    assert [study.name for study in copied(fresh_url, second)] == ["ours", "also ours"]
    everything = [study.name for study in copied(fresh_url, third, foreign=True)]
    assert everything == ["theirs", "also theirs", "ours", "also ours"]
    storage.remove_session()
    storage.engine.dispose()


KILLED: Final = """
import os, signal, sys
from sqlalchemy import Engine, event
from hpsearch.storage.transfer import Selection, Transfer

def kill(connection, cursor, statement, *rest):
    if statement.startswith("UPDATE hpsearch_studies"):
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "before_cursor_execute", kill)
Transfer(source=sys.argv[1], target=sys.argv[2], selection=Selection(names=[sys.argv[3]])).run(notify=print)
"""


def test_a_killed_copy_leaves_nothing(new_lab: Labs, shared: Address, dialect: str) -> None:
    """A copy that is killed just ahead of its commit does not exist; the next one is whole."""
    lab = new_lab()
    lab.finish(5)
    name = lab.study.spec.name
    target = shared({"sqlite": "postgresql", "postgresql": "mariadb", "mariadb": "sqlite"}[dialect])
    open_store(target).close()
    command = [sys.executable, "-c", KILLED, lab.url, target, name]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    with open_store(target) as store, pytest.raises(StudyNotFoundError):
        store.studies.get(name)
    copied(lab.url, target, name)
    assert in_whole_seconds(read(target, name)) == in_whole_seconds(read(lab.url, name))


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_copy_survives_a_lost_connection_to_its_source(new_lab: Labs, target: str, dialect: str) -> None:
    """A server that ends the connection in the middle of a copy delays it: the study is copied again, once."""
    lab = new_lab()
    lab.finish(3)
    name = lab.study.spec.name
    losses: list[str] = []

    def lose(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not losses and statement.startswith("INSERT INTO trials") and connection.dialect.name == "sqlite":
            losses.append(statement)
            kill_others(lab, dialect)

    event.listen(Engine, "before_cursor_execute", lose)
    try:
        (told,) = copied(lab.url, target, name)
    finally:
        event.remove(Engine, "before_cursor_execute", lose)
    assert losses
    assert told.trials == 3
    assert read(target, name) == read(lab.url, name)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_copy_that_reads_back_otherwise_is_undone(new_lab: Labs, target: str) -> None:
    """A target that does not keep the written values is detected before the study is visible."""
    lab = new_lab()
    lab.finish(3)
    open_store(target).close()
    with closing(sqlite3.connect(str(make_url(target).database))) as connection:
        connection.execute(
            "CREATE TRIGGER forgetful AFTER INSERT ON trial_params WHEN new.param_value > 17 "
            "BEGIN UPDATE trial_params SET param_value = 17 WHERE param_id = new.param_id; END"
        )
    with pytest.raises(StorageError) as caught:
        copied(lab.url, target, lab.study.spec.name)
    assert str(caught.value) == (
        f'study "{lab.study.spec.name}": trial 2 differs after reading it back, so nothing was copied: '
        "check whether the target's character set and column types can store it"
    )
    with open_store(target) as store:
        assert (store.studies.all(), store.studies.foreign_names()) == ([], [])


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_what_the_target_cannot_hold_is_named(new_lab: Labs, shared: Address) -> None:
    """A value that is too long for the target names its study, and nothing is written."""
    lab = new_lab()
    lab.stock().set_user_attr("long", "x" * 70_000)
    name = lab.study.spec.name
    with pytest.raises(StorageError, match=rf'^study "{name}": .*Data too long for column .value_json.'):
        copied(lab.url, shared("mariadb"), name)
    with open_store(shared("mariadb")) as store, pytest.raises(StudyNotFoundError):
        store.studies.get(name)


def test_the_source_stays_as_it_is(new_lab: Labs, target: str) -> None:
    """No row of the source changes, not even expired leases."""
    lab = new_lab()
    lab.finish(2)
    lab.claim(2, lease_s=-1.0)
    before = contents(lab.url)
    copied(lab.url, target, lab.study.spec.name, running=True)
    assert contents(lab.url) == before


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_the_file_of_the_source_stays_as_it_is(new_lab: Labs, target: str, tmp_path: Path) -> None:
    """No byte of an SQLite file of ours changes if it is copied from."""
    lab = new_lab()
    lab.finish(2)
    copied(lab.url, target, lab.study.spec.name)
    path = Path(str(make_url(target).database))
    before = path.read_bytes()
    copied(target, f"sqlite:///{tmp_path / 'another.db'}")
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def contents(url: str) -> Mapping[str, list[str]]:
    """Return the rows of every table, sorted."""
    tables = [*optuna_schema.metadata.sorted_tables, *schema.metadata.sorted_tables]
    with open_store(url) as store, read_transaction(store._transactions.engine) as connection:
        return {
            table.name: sorted(str(tuple(row)) for row in connection.execute(select(table)))
            for table in tables
        }


def test_what_cannot_be_copied_is_said_first(url: str, target: str, tmp_path: Path) -> None:
    """One database twice, missing names, and missing files, create no target."""
    open_store(url).close()
    shown = make_url(url).render_as_string()
    with pytest.raises(UsageError) as twice:
        copied(url, url)
    assert str(twice.value) == (f"storage copy: source and target must be two databases (got {shown} twice)")
    with pytest.raises(StudyNotFoundError) as unknown:
        copied(url, target, "%%")
    assert str(unknown.value).startswith(f'study "%%": there is no such study in {shown}: ')
    missing = f"sqlite:///{tmp_path / 'missing.db'}"
    with pytest.raises(StorageError, match="there is no such file"):
        copied(missing, target)
    assert list(tmp_path.iterdir()) == []
