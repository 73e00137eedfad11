"""Studies that this version cannot read, newer tables, and studies of other clients: each stands alone."""

import json
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from sqlalchemy import func, insert, select, text, update

from hpsearch.errors import ForeignStudyError, StudyNotFoundError, StudyUnreadableError
from hpsearch.storage import optuna_schema, schema
from hpsearch.storage.engine import write_transaction
from hpsearch.storage.migration import revisions_of
from hpsearch.storage.store import Store, open_store
from hpsearch.storage.stored_studies import METRIC_NAMES
from hpsearch.study.json_form import spec_to_json
from hpsearch.verdicts import Cause
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec, stock_storage

Labs = Callable[..., Lab]


def write(lab: Lab, **values: Any) -> None:
    """Write cells of the study's row, as damage or another version would."""
    table = schema.studies
    with write_transaction(lab.store._transactions.engine, durable=True) as connection:
        connection.execute(update(table).where(table.c.study_key == lab.study.key).values(**values))


@pytest.mark.parametrize(
    "spec", ["null", "", "[]", "{}", '{"data": 3}', "[" * 100_000, '{"oldest_reader": "0.1"}', "NaN"]
)
def test_one_unreadable_study_stops_no_other(new_lab: Labs, spec: str) -> None:
    """It is listed with the reason, skipped by workers, refused by name, and can be renamed, copied and deleted."""
    bad, good = new_lab(), new_lab()
    bad.finish(2)
    write(bad, spec=spec)
    name = bad.study.name
    listed = {one.name: one for one in good.store.studies.listing()}
    assert "cannot be read" in str(listed[name].unreadable)
    assert sum(listed[name].trials.values()) == 2
    assert listed[good.study.name].unreadable is None
    openings, unreadable = good.store.queue.openings_and_unreadable()
    assert name in [study.name for study in unreadable]
    assert good.study.key in [opening.study.key for opening in openings]
    with pytest.raises(StudyUnreadableError, match="hpsearch study delete"):
        good.store.studies.get(name)
    good.store.studies.rename(name, f"{name}-2")
    assert good.store.studies.copy(f"{name}-2", f"{name}-3") == 2
    for one in (f"{name}-2", f"{name}-3"):
        good.store.studies.delete(one)
        with pytest.raises(StudyNotFoundError):
            good.store.studies.count_trials(one)


def test_an_older_version_reads_what_the_newer_one_allows(new_lab: Labs) -> None:
    """Unknown keys are left aside where `oldest_reader` names this version or an older one, and refused otherwise."""
    lab = new_lab()
    raw = json.loads(spec_to_json(lab.study.spec))
    raw["training"]["moons"] = 1
    write(lab, spec=json.dumps(raw), hpsearch_version="0.3.0")
    with pytest.raises(StudyUnreadableError, match=r"0\.3\.0.*unknown keys \['moons'\]"):
        lab.store.studies.get(lab.study.name)
    write(lab, spec=json.dumps(raw | {"oldest_reader": "0.1", "stars": []}))
    assert lab.store.studies.get(lab.study.name).spec == lab.study.spec
    write(lab, spec=json.dumps(raw | {"oldest_reader": "0.3"}))
    with pytest.raises(StudyUnreadableError):
        lab.store.studies.get(lab.study.name)


def test_a_newer_revision_that_only_adds_is_worked_with(fresh_url: str) -> None:
    """Claims, results and new studies continue with a newer version's column and table; a break is refused."""
    with open_store(fresh_url) as store:
        study = store.studies.create(a_spec(trials=4), fingerprint=FINGERPRINT)
        newer = f"{int(schema.REVISION) + 1:04}"
        with write_transaction(store._transactions.engine, durable=True) as connection:
            connection.execute(
                text("ALTER TABLE hpsearch_studies ADD COLUMN mood VARCHAR(20) DEFAULT 'good' NOT NULL")
            )
            connection.execute(text("CREATE TABLE hpsearch_moods (study_key VARCHAR(36), mood VARCHAR(20))"))
            connection.execute(text(f"UPDATE hpsearch_alembic_version SET version_num = '{newer}'"))
        assert revisions_of(store._transactions.engine).only_adds
        Lab(store=store, url=fresh_url, study=study).finish(2)
    with open_store(fresh_url, create=False) as store:
        Lab(store=store, url=fresh_url, study=study).finish(2)
        assert store.studies.progress(study).is_done
        store.studies.create(a_spec(), fingerprint=FINGERPRINT)
        with write_transaction(store._transactions.engine, durable=True) as connection:
            connection.execute(text("ALTER TABLE hpsearch_studies ADD COLUMN must VARCHAR(20)"))
            connection.execute(text("UPDATE hpsearch_alembic_version SET version_num = '0100'"))
        assert not revisions_of(store._transactions.engine).is_current


def test_a_verdict_of_a_newer_version_is_inconclusive(new_lab: Labs) -> None:
    """An unknown cause, and a finding that is none, cost no listing and no trial."""
    lab = new_lab()
    lab.finish(2)
    findings = [
        {
            "cause": "moonstruck",
            "confidence": 1,
            "first_step": 0,
            "evidence": {},
            "remedy": "x",
            "suggested": {},
        }
    ]
    with write_transaction(lab.store._transactions.engine, durable=True) as connection:
        for number, finding in enumerate([json.dumps(findings[0]), "[3"]):
            at = (schema.trials.c.study_key == lab.study.key) & (schema.trials.c.number == number)
            connection.execute(update(schema.trials).where(at).values(verdict="moonstruck", finding=finding))
    first, second = lab.store.trials.all(lab.study)
    assert (first.verdict, second.verdict) == (Cause.INCONCLUSIVE, Cause.INCONCLUSIVE)
    assert first.finding is not None
    assert "moonstruck" in first.finding.remedy
    assert lab.store.studies.progress(lab.study).complete == 2
    assert lab.study.name in [one.name for one in lab.store.studies.listing() if one.progress is not None]


@pytest.mark.parametrize(
    "fixed", [[1, 2], "text", 3, None, {"learning_rate": [1]}, {"learning_rate": {}, "x": [None]}]
)
def test_a_request_that_no_trial_can_have_is_sampled(new_lab: Labs, fixed: Any) -> None:
    """Bad `fixed_params` of another client's trial are left aside with the reason, and end no claim."""
    lab = new_lab()
    stock = lab.stock()
    stock.enqueue_trial({"learning_rate": 0.5})
    stock._storage.set_trial_system_attr(stock.trials[0]._trial_id, "fixed_params", fixed)
    first, second = lab.claim(2)
    assert (first.fixed, second.ignored) == ({}, None)
    assert "sampled" in str(first.ignored)


def test_a_request_for_null_is_kept_beside_one_that_no_trial_can_have(new_lab: Labs) -> None:
    """Null is a value like a number: it may be one of the choices of a parameter."""
    lab = new_lab()
    stock = lab.stock()
    stock.enqueue_trial({"learning_rate": 0.5})
    fixed: dict[str, Any] = {"learning_rate": {}, "x": None}
    stock._storage.set_trial_system_attr(stock.trials[0]._trial_id, "fixed_params", fixed)
    (first,) = lab.claim(1)
    assert first.fixed == {"x": None}
    assert "got learning_rate = {}" in str(first.ignored)


@pytest.fixture
def theirs(fresh_url: str) -> str:
    """Provide a database that holds only Optuna's studies: of one objective, and of two."""
    storage = stock_storage(fresh_url)
    one = optuna.create_study(study_name="one", storage=storage, direction="maximize")
    for value in (1.0, 3.0, -2.0):
        trial = one.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        trial.report(value, 0)
        one.tell(trial, value)
    two = optuna.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"])
    two.tell(two.ask(), [1.0, 2.0])
    storage.remove_session()
    storage.engine.dispose()
    return fresh_url


def facts(store: Store) -> list[tuple[str, Any]]:
    """Return each listed study with its best value."""
    return [
        (one.name, one.progress and one.progress.best and one.progress.best.value)
        for one in store.studies.listing()
    ]


def test_studies_of_optuna_are_read_without_tables_of_ours(theirs: str) -> None:
    """They are listed and read; nothing is made in their database, and nothing of them is changed."""
    with open_store(theirs, foreign=True) as store:
        assert facts(store) == [("one", 3.0), ("two", None)]
        study = store.studies.get_any("one")
        assert (study.maximize, [dimension.name for dimension in study.spec.search]) == (True, ["x"])
        assert [trial.value for trial in store.trials.all(study)] == [1.0, 3.0, -2.0]
        assert store.trials.get(store.studies.get_any("two"), 0).values == (1.0, 2.0)
        assert store.workers.all() == []
        with pytest.raises(StudyNotFoundError, match="made by another Optuna client"):
            store.studies.get("one")
        assert revisions_of(store._transactions.engine).hpsearch is None
        store.studies.rename("one", "uno")
        assert store.studies.copy("uno", "due") == 3
        store.studies.delete("uno")
        assert facts(store) == [("two", None), ("due", 3.0)]
    with open_store(theirs) as store:
        store.studies.create(a_spec("ours"), fingerprint=FINGERPRINT)
        assert [name for name, _ in facts(store)] == ["two", "due", "ours"]
        with pytest.raises(ForeignStudyError):
            store.studies.pause(store.studies.get_any("due"), by="x")


def test_an_empty_database_lists_nothing_and_stays_empty(fresh_url: str) -> None:
    """Looking at a server's database without tables makes none."""
    if fresh_url.startswith("sqlite"):
        open(fresh_url.removeprefix("sqlite:///"), "w").close()  # noqa: PTH123
    with open_store(fresh_url, foreign=True) as store:
        assert store.studies.listing() == []
        assert revisions_of(store._transactions.engine).optuna is None


def test_a_listing_says_what_progress_says(new_lab: Labs) -> None:
    """The sums of all studies at once are those of each alone."""
    lab = new_lab()
    lab.finish(3)
    lab.finish(1, value=0.75)
    lab.claim(1)
    (listed,) = (one for one in lab.store.studies.listing() if one.name == lab.study.name)
    assert (listed.study, listed.progress) == (lab.study, lab.store.studies.progress(lab.study))


def test_damaged_names_of_objectives_stop_no_listing(theirs: str) -> None:
    """If a study of Optuna's has names of objectives that are not JSON, its value is listed under a name of ours."""
    with open_store(theirs, foreign=True) as store:
        study_id = store.studies.get_any("one").study_id
        table = optuna_schema.study_system_attributes
        with write_transaction(store._transactions.engine, durable=True) as connection:
            damaged = {"study_id": study_id, "key": METRIC_NAMES, "value_json": "{"}
            connection.execute(insert(table).values(**damaged))
        assert facts(store) == [("one", 3.0), ("two", None)]
        foreign = store.studies.get_any("one").foreign
        assert foreign is not None
        assert foreign.metrics == ("value",)


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        '{"name": "FloatDistribution"}',
        '{"name": "FloatDistribution", "attributes": {"low": "a", "high": 1}}',
        '{"name": "FloatDistribution", "attributes": {"low": 0}}',
        '{"name": 3, "attributes": {"low": 0, "high": 1}}',
        '{"name": "CategoricalDistribution", "attributes": {"choices": null}}',
    ],
)
def test_damaged_distributions_are_left_out_of_what_a_study_searched(theirs: str, damage: str) -> None:
    """A study of Optuna's is found, with the ranges of its other trials."""
    with open_store(theirs, foreign=True) as store:
        whole = store.studies.get_any("one").spec.search
        table = optuna_schema.trial_params
        with write_transaction(store._transactions.engine, durable=True) as connection:
            first = connection.execute(select(func.min(table.c.param_id))).scalar_one()
            connection.execute(
                update(table).where(table.c.param_id == first).values(distribution_json=damage)
            )
        assert store.studies.get_any("one").spec.search == whole
