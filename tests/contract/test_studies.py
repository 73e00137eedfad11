"""Studies: created once, found by name, compared, deleted whole; and changes by other Optuna clients."""

import re
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import optuna
import pytest
from sqlalchemy import func, select

import hpsearch
from hpsearch.errors import StudyExistsError, StudyNotFoundError
from hpsearch.storage import open_storage, optuna_schema, schema
from hpsearch.storage.engine import read_transaction
from hpsearch.storage.store import Store, open_store
from hpsearch.storage.stored_studies import FOREIGN_REMEDY
from hpsearch.storage.transfer import Selection, Transfer
from hpsearch.study.json_form import spec_to_json
from hpsearch.study.metrics import Metric
from hpsearch.study.plan import with_rank
from hpsearch.study.spec import NO_DATA, Choices, ObjectiveSpec, Range, TrainingSpec
from hpsearch.trials import TrialState
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, stock_storage

Labs = Callable[..., Lab]


def rows(store: Store) -> dict[str, int]:
    """Return how many rows each table has."""
    tables = [*optuna_schema.metadata.sorted_tables, *schema.metadata.sorted_tables]
    with read_transaction(store._transactions.engine) as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        }


@pytest.mark.parametrize("way", ["create", "copy", "optuna"])
def test_a_new_study_takes_no_trial_of_a_deleted_one(tmp_path: Path, way: str) -> None:
    """SQLite gives an id again: what another client's deletion left under it is not the new study's."""
    url, other = f"sqlite:///{tmp_path}/new.db", f"sqlite:///{tmp_path}/other.db"
    open_store(url).close()
    with closing(sqlite3.connect(tmp_path / "new.db")) as raw, raw:
        raw.execute("INSERT INTO trials (trial_id, number, study_id, state) VALUES (1, 11, 1, 'RUNNING')")
        raw.execute("INSERT INTO trial_system_attributes (trial_id, key, value_json) VALUES (1, 'a', '1')")
    name = a_spec().name
    if way == "optuna":
        storage = open_storage(url)
        optuna.create_study(study_name=name, storage=storage)
        storage.remove_session()
    else:
        with open_store(url if way == "create" else other) as made:
            made.studies.create(a_spec(name=name), fingerprint=FINGERPRINT)
    if way == "copy":
        Transfer(source=other, target=url, selection=Selection(names=(name,))).run(notify=lambda _: None)
    with open_store(url, foreign=True) as store:
        assert store.trials.all(store.studies.get_any(name)) == []
        assert {rows(store)[name] for name in ("trials", "trial_system_attributes")} == {0}


def test_a_study_is_read_as_it_was_created(store: Store) -> None:
    """Specification, fingerprint and time come back, by name and in the list."""
    spec = a_spec(training=TrainingSpec(epochs=7, learning_rate=0.1 + 0.2))
    study = store.studies.create(spec, fingerprint=FINGERPRINT)
    assert (study.spec, study.fingerprint) == (with_rank(spec), FINGERPRINT)
    assert store.studies.get(spec.name) == study
    assert study in store.studies.all()
    assert spec.name not in store.studies.foreign_names()


def test_creating_the_same_study_again_returns_it(store: Store) -> None:
    """The same search over the same data is the same study, and its budget is unchanged."""
    spec = a_spec(trials=5)
    study = store.studies.create(spec, fingerprint=FINGERPRINT)
    assert store.studies.create(replace(spec, trials=9), fingerprint=FINGERPRINT) == study
    assert store.studies.get(spec.name).spec.trials == 5


def test_a_study_keeps_the_pruner_that_was_chosen_for_it(store: Store) -> None:
    """A study keeps its resolved pruner if its budget changes, or the default of a later version."""
    spec = a_spec(trials=5)
    study = store.studies.create(spec, fingerprint=FINGERPRINT)
    assert study.spec.pruning.rank == "median"
    older = replace(spec, trials=500, pruning=replace(spec.pruning, reduction_factor=4))
    assert store.studies.create(older, fingerprint=FINGERPRINT) == study
    epochs = TrainingSpec(epochs=100)
    large = store.studies.create(a_spec(trials=200, training=epochs), fingerprint=FINGERPRINT)
    assert (large.spec.pruning.rank, large.spec.pruning.warmup_epochs) == ("asha", 3)
    smaller = replace(large.spec, trials=5, pruning=spec.pruning)
    assert store.studies.create(smaller, fingerprint=FINGERPRINT) == large
    other = replace(spec, pruning=replace(spec.pruning, rank="asha", reduction_factor=4))
    with pytest.raises(StudyExistsError) as caught:
        store.studies.create(other, fingerprint=FINGERPRINT)
    assert str(caught.value) == (
        f'study "{spec.name}": exists with another specification: pruning.rank is "median" there (got "asha"); '
        "pruning.reduction_factor is 2 there (got 4): make them equal, choose another name, or delete that study"
    )


def test_how_a_table_is_read_does_not_matter_if_the_data_is_the_same(store: Store) -> None:
    """A study of an older version, which holds other words for the reading of tables, is the study of the same file."""
    spec = a_spec()
    older = replace(spec, data=replace(spec.data, header="text", drop=()))
    study = store.studies.create(older, fingerprint=FINGERPRINT)
    assert store.studies.create(spec, fingerprint=FINGERPRINT) == study
    with pytest.raises(StudyExistsError, match=r'data\.header is "text" there'):
        store.studies.create(spec, fingerprint="feedbeef")


def test_a_name_that_is_taken_by_another_search_is_refused(store: Store) -> None:
    """The error names every key that differs, with both values."""
    spec = a_spec("taken", seed=1)
    store.studies.create(spec, fingerprint=FINGERPRINT)
    first, *middle, _ = spec.search
    assert isinstance(first, Range)
    other = replace(
        spec,
        trials=99,
        seed=2,
        training=TrainingSpec(epochs=3),
        search=(replace(first, low=1e-5), *middle, Choices(name="model.batch_norm", choices=(True, False))),
    )
    with pytest.raises(StudyExistsError) as caught:
        store.studies.create(other, fingerprint="feedbeef")
    assert str(caught.value) == (
        'study "taken": exists with another specification: seed is 1 there (got 2); '
        "training.epochs is 20 there (got 3); search.learning_rate.low is 1e-06 there (got 1e-05); "
        'search is ["learning_rate", "model.dropout", "training.batch_size", "model.activation"] there '
        '(got ["learning_rate", "model.dropout", "training.batch_size", "model.batch_norm"]); '
        "the data's fingerprint is 0123456789abcdef there (got feedbeef): "
        "make them equal, choose another name, or delete that study"
    )


def test_the_order_of_searched_parameters_is_part_of_a_search(store: Store) -> None:
    """Samplers draw in the order of the study file, so another order is another search, and the error states that."""
    spec = a_spec("ordered")
    store.studies.create(spec, fingerprint=FINGERPRINT)
    with pytest.raises(StudyExistsError, match=r'search is \["learning_rate", .*\] there \(got \["model'):
        store.studies.create(replace(spec, search=spec.search[::-1]), fingerprint=FINGERPRINT)


def test_of_many_at_once_exactly_one_creates(url: str) -> None:
    """Threads with stores of their own that create one study get the same one, which is there once."""
    spec = a_spec()

    def create(_: int) -> str:
        with open_store(url) as store:
            return store.studies.create(spec, fingerprint=FINGERPRINT).key

    with ThreadPoolExecutor(max_workers=8) as pool:
        keys = set(pool.map(create, range(8)))
    assert len(keys) == 1
    with open_store(url) as store:
        assert [study.key for study in store.studies.all() if study.spec.name == spec.name] == list(keys)


def test_of_two_different_studies_at_once_one_is_refused(url: str) -> None:
    """Two searches that race for one name: one gets it, the other gets an error with the differences."""
    name = a_spec().name

    def create(seed: int) -> str:
        with open_store(url) as store:
            try:
                store.studies.create(a_spec(name, seed=seed), fingerprint=FINGERPRINT)
            except StudyExistsError as error:
                return str(error)
            return "created"

    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = list(pool.map(create, range(6)))
    winner = answers.index("created")
    refusals = [
        f'study "{name}": exists with another specification: seed is {winner} there (got {seed}): '
        "make them equal, choose another name, or delete that study"
        for seed in range(6)
        if seed != winner
    ]
    assert [answer for answer in answers if answer != "created"] == refusals


def test_an_unknown_name_gets_the_nearest_ones(store: Store) -> None:
    """A name that is not there is refused with those that are like it, or with where to look."""
    store.studies.create(a_spec("digits-small"), fingerprint=FINGERPRINT)
    with pytest.raises(StudyNotFoundError) as caught:
        store.studies.get("digit-small")
    assert str(caught.value) == 'study "digit-small": there is no such study: did you mean digits-small?'
    with pytest.raises(StudyNotFoundError) as caught:
        store.studies.get("%%%")
    assert str(caught.value) == (
        'study "%%%": there is no such study: `hpsearch study list` lists the studies'
    )


def test_names_that_differ_in_case_are_different(store: Store, dialect: str) -> None:
    """A study is found under exactly its name; MariaDB's own idea of equal names is refused, not mixed up."""
    store.studies.create(a_spec("Case-Study"), fingerprint=FINGERPRINT)
    with pytest.raises(StudyNotFoundError, match="did you mean Case-Study"):
        store.studies.get("case-study")
    if dialect == "mariadb":
        with pytest.raises(StudyExistsError) as caught:
            store.studies.create(a_spec("case-study"), fingerprint=FINGERPRINT)
        assert str(caught.value) == (
            'study "case-study": the name must be free (this database takes it for "Case-Study"): '
            "choose another name"
        )
    else:
        store.studies.create(a_spec("case-study"), fingerprint=FINGERPRINT)


def test_a_study_of_another_client_is_not_ours(new_lab: Labs) -> None:
    """What a stock client created is listed as foreign, cannot be trained, and keeps its name."""
    lab = new_lab()
    lab.stock()
    optuna.create_study(study_name=(name := a_spec().name), storage=lab.opened[0])
    assert name in lab.store.studies.foreign_names()
    with pytest.raises(StudyNotFoundError) as missing:
        lab.store.studies.get(name)
    assert str(missing.value) == (
        f'study "{name}": must have been made by hpsearch (it was made by another Optuna client): '
        f"{FOREIGN_REMEDY}"
    )
    with pytest.raises(StudyExistsError) as taken:
        lab.store.studies.create(a_spec(name), fingerprint=FINGERPRINT)
    assert str(taken.value) == (
        f'study "{name}": the name must be free (another Optuna client made a study of that name): '
        "choose another name"
    )


def test_a_study_of_another_client_can_become_ours(new_lab: Labs) -> None:
    """Its trials, enqueued ones too, and its name stay; a second call returns the same study."""
    lab = new_lab()
    lab.stock()
    name = "theirs"
    theirs = optuna.create_study(study_name=name, storage=lab.opened[0], direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    theirs.enqueue_trial({"x": 0.5})
    foreign = lab.store.studies.get_any(name)
    spec = replace(
        a_spec(name),
        data=NO_DATA,
        search=(),
        metric=cast(Metric, "value"),
        trials=3,
        objective=ObjectiveSpec(function="__main__:train", direction="maximize"),
    )
    made = lab.store.studies.adopt(foreign, spec)
    assert lab.store.studies.adopt(foreign, spec) == made == lab.store.studies.get(name)
    assert (made.maximize, made.study_id) == (True, foreign.study_id)
    progress = lab.store.studies.progress(made)
    assert (progress.finished, progress.waiting) == (2, 1)
    assert [one.number for one in lab.store.trials.all(made)] == [0, 1, 2]
    (claim,) = lab.store.queue.claim(made, worker="w", count=3, lease_s=60)
    assert (claim.number, claim.params, claim.fixed) == (2, {}, {"x": 0.5})
    lab.store.studies.delete(name)
    with pytest.raises(StudyNotFoundError):
        lab.store.studies.adopt(foreign, spec)


def test_deleting_a_study_leaves_nothing_of_it(new_lab: Labs) -> None:
    """After a deletion every table has the rows that it had before the study."""
    before = rows(new_lab().store)
    lab = new_lab()
    lab.finish(3)
    lab.assign(lab.claim(2))
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="x", crashed=True)
    lab.stock().ask().set_user_attr("key", 1)
    lab.store.studies.delete(lab.study.name)
    assert rows(lab.store) == before
    with pytest.raises(StudyNotFoundError):
        lab.store.studies.delete(lab.study.name)


def test_a_deletion_by_another_client_is_honoured(new_lab: Labs) -> None:
    """A stock client can delete our study; our rows of it go when another process opens the database next."""
    before = rows(new_lab().store)
    lab = new_lab()
    lab.finish(2)
    lab.stock()
    optuna.delete_study(study_name=lab.study.spec.name, storage=lab.opened[0])
    assert lab.study not in lab.store.studies.all()
    successor = lab.store.studies.create(a_spec(lab.study.spec.name), fingerprint=FINGERPRINT)
    assert lab.store.trials.all(successor) == []
    lab.store.studies.delete(successor.name)
    with open_store(lab.url) as again:
        assert rows(again) == before


def test_a_study_that_another_client_renamed_is_followed(new_lab: Labs) -> None:
    """Dashboards rename by copying and deleting: the study continues under its new name, with all that was ours."""
    lab = new_lab(trials=6)
    lab.finish(3)
    running = lab.claim(1)
    lab.stock()
    old, new = lab.study.spec.name, a_spec().name
    optuna.copy_study(
        from_study_name=old, from_storage=lab.opened[0], to_storage=lab.opened[0], to_study_name=new
    )
    assert new in lab.store.studies.foreign_names()
    optuna.delete_study(study_name=old, storage=lab.opened[0])
    with open_store(lab.url) as store:
        renamed = store.studies.get(new)
        assert (renamed.key, renamed.spec) == (lab.study.key, replace(lab.study.spec, name=new))
        assert [trial.epochs for trial in store.trials.all(renamed)] == [2, 2, 2, 0]
        assert lab.end(running) == {3}
        claims = [
            claim
            for worker in ("another", "third")
            for claim in store.queue.claim(renamed, worker=worker, count=9, lease_s=600.0)
        ]
        assert [(claim.number, claim.attempt) for claim in claims] == [(3, 2), (4, 1), (5, 1)]
        assert store.studies.progress(renamed).ledger == {"complete": 6}


def test_a_copy_beside_its_original_is_not_ours(new_lab: Labs) -> None:
    """A stock client's copy takes nothing from the study that it was made from."""
    lab = new_lab()
    lab.finish(2)
    lab.stock()
    copy = a_spec().name
    optuna.copy_study(
        from_study_name=lab.study.spec.name,
        from_storage=lab.opened[0],
        to_storage=lab.opened[0],
        to_study_name=copy,
    )
    with open_store(lab.url) as store:
        assert store.studies.get(lab.study.spec.name) == lab.study
        assert copy in store.studies.foreign_names()
        optuna.delete_study(study_name=copy, storage=lab.opened[0])
        assert {trial.state for trial in store.trials.all(lab.study)} == {TrialState.COMPLETE}


def test_a_study_of_a_newer_hpsearch_is_refused(new_lab: Labs) -> None:
    """A specification with keys unknown to this version is not read in part."""
    lab = new_lab()
    table = schema.studies
    with lab.store._transactions.engine.begin() as connection:
        connection.execute(
            table.update()
            .where(table.c.study_key == lab.study.key)
            .values(
                spec=spec_to_json(lab.study.spec).replace('"epochs"', '"moons": 1, "epochs"'),
                hpsearch_version="9.0.0",
            )
        )
    message = (
        f'study "{lab.study.spec.name}": was made by hpsearch 9.0.0, which this one, {hpsearch.__version__}, '
        "cannot read (TrainingSpec: unknown keys ['moons']): use that version or a newer one"
    )
    with pytest.raises(Exception, match=f"^{re.escape(message)}$"):
        lab.store.studies.get(lab.study.spec.name)
    lab.store.studies.delete(lab.study.name)


def test_stock_tools_are_silent_about_us(fresh_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Opening a database prints nothing: neither Optuna nor Alembic reaches the user's terminal."""
    with open_store(fresh_url) as store:
        store.studies.create(a_spec(), fingerprint=FINGERPRINT)
    storage = stock_storage(fresh_url)
    storage.remove_session()
    storage.engine.dispose()
    sys.stderr.flush()
    assert capfd.readouterr() == ("", "")
