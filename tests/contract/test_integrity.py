"""The full look at a database: a healthy one breaks no law, on any server, and a broken row is named."""

import math
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from sqlalchemy import update

from hpsearch.storage import schema
from hpsearch.storage.address import parse_address
from hpsearch.storage.engine import write_transaction
from hpsearch.storage.health import check
from hpsearch.storage.integrity import explained
from hpsearch.storage.leases import CRASHES_MAX
from hpsearch.storage.records import StoredStudy
from hpsearch.storage.transfer import CopiedStudy, Selection, Transfer
from hpsearch.trials import TrialState
from tests.contract.laboratory import Lab, evaluation, stock_storage

Labs = Callable[..., Lab]


@pytest.fixture
def url(fresh_url: str) -> str:
    """Provide the URL of a database in which no other test has studies, because all of it is examined."""
    return fresh_url


def fill(lab: Lab) -> None:
    """Give a study trials of every kind and fate."""
    lab.finish(2, value=math.inf, reports={0: math.nan, 1: -math.inf})
    lab.finish(2, state=TrialState.PRUNED, value=None, series={"loss": [0.5, math.nan]})
    lab.finish(1, state=TrialState.FAILED, value=None, reports={})
    lab.finish(3)
    (waiting,) = lab.claim(1)
    lab.assign([waiting])
    for _ in range(CRASHES_MAX):
        lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="killed", crashed=True)
        lab.claim(1)
    lab.claim(2)
    lab.store.queue.release(lab.study, worker=lab.worker, numbers=None, why="stopped", crashed=False)
    lab.store.evaluations.write(lab.study, [evaluation(0), evaluation(1, part="test", loss=None)])
    lab.store.evaluations.unseal(lab.study, number=1, command="test")
    study = lab.stock()
    study.enqueue_trial({"learning_rate": 0.5})
    told = study.ask()
    study.tell(told, state=optuna.trial.TrialState.FAIL)
    study.ask()
    lab.claim(1)


def test_a_healthy_database_breaks_no_law(new_lab: Labs) -> None:
    """Complete, pruned, failed, lost, waiting and running trials, of ours and of others, are healthy."""
    lab = new_lab(trials=40)
    fill(lab)
    assert check(lab.url, full=True).faults == ()
    assert check(lab.url).faults is None
    assert explained(ValueError("x"), [parse_address(lab.url)], within_s=60.0) is None


def test_a_name_that_optuna_allows_is_no_fault(new_lab: Labs, tmp_path: Path) -> None:
    """Optuna's studies may have any name, are healthy, and are copied; the rule on names is for ours."""
    lab = new_lab()
    name = "a\nb \x1b[31m"
    lab.opened.append(stock_storage(lab.url))
    study = optuna.create_study(study_name=name, storage=lab.opened[-1])
    study.tell(study.ask(), 0.5)
    assert check(lab.url, full=True).faults == ()
    copies: list[CopiedStudy] = []
    target = f"sqlite:///{tmp_path / 'x.db'}"
    Transfer(source=lab.url, target=target, selection=Selection(names=(name,))).run(notify=copies.append)
    assert [(copied.name, copied.trials) for copied in copies] == [(name, 1)]


def test_a_broken_row_is_named_on_every_server(new_lab: Labs) -> None:
    """Each fault has its study, table, trial and column, the rule and the value; all are listed at once."""
    lab = new_lab(trials=40)
    lab.finish(3)
    ours, series = schema.trials, schema.series
    with write_transaction(lab.store._transactions.engine, durable=False) as connection:
        mine = ours.c.study_key == lab.study.key
        connection.execute(update(ours).where(mine, ours.c.number == 1).values(epochs=-5))
        bomb = series.c.study_key == lab.study.key
        connection.execute(update(series).where(bomb, series.c.number == 2).values(payload=b"bomb"))
    faults = check(lab.url, full=True).faults or ()
    name = lab.study.spec.name
    assert len(faults) == 3
    assert faults[0] == (
        f'study "{name}": table hpsearch_trials, trial 1, column epochs: must be from 0 to 2.14748e+09 (got -5)'
    )
    assert faults[2].startswith(
        f'study "{name}": table hpsearch_series, trial 2, column payload: series: must be zlib'
    )
    told = explained(ValueError("x"), [parse_address(lab.url)], within_s=60.0)
    assert told is not None
    assert faults[0] in str(told)
    assert "(ValueError: x)" in str(told)


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_only_damage_that_an_error_met_explains_it(new_lab: Labs) -> None:
    """A failure while a study without problems is processed is a bug, whatever other studies contain."""
    good, bad = new_lab(), new_lab()
    with write_transaction(bad.store._transactions.engine, durable=False) as connection:
        mine = schema.studies.c.study_key == bad.study.key
        connection.execute(update(schema.studies).where(mine).values(settled_failed=9))

    def fail(study: StoredStudy) -> Exception:
        try:
            study.name.index("what is not there")
        except ValueError as error:
            return error
        raise AssertionError

    addresses = [parse_address(bad.url)]
    assert explained(fail(good.study), addresses, within_s=60.0) is None
    assert f'study "{bad.study.name}"' in str(explained(fail(bad.study), addresses, within_s=60.0))


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_what_a_deleted_study_left_is_no_fault(new_lab: Labs) -> None:
    """Rows of ours whose study another client deleted wait for the next command that writes, and need no remedy."""
    lab = new_lab()
    lab.finish(2)
    optuna.delete_study(study_name=lab.study.name, storage=lab.stock()._storage)
    assert check(lab.url, full=True).faults == ()
    assert lab.store.studies.sweep_orphans()


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_database_that_does_not_answer_is_no_damage(new_lab: Labs) -> None:
    """The search for the reason of a failure skips it, and finds a damaged study after it."""
    lab = new_lab()
    away, here = parse_address("mysql://ann@127.0.0.1:9/d"), parse_address(lab.url)
    assert explained(ValueError("x"), [away, here], within_s=60.0) is None
    with write_transaction(lab.store._transactions.engine, durable=False) as connection:
        connection.execute(update(schema.studies).values(settled_failed=9))
    told = explained(ValueError("x"), [away, here], within_s=60.0)
    assert str(told).startswith(f"{here.shown}: the database is damaged")


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_what_is_not_reached_in_time_is_left_out(new_lab: Labs) -> None:
    """A command that looks for the reason of its failure does not look forever."""
    lab = new_lab()
    lab.finish(1)
    with write_transaction(lab.store._transactions.engine, durable=False) as connection:
        connection.execute(update(schema.studies).values(settled_failed=9))
    assert explained(ValueError("x"), [parse_address(lab.url)], within_s=-1.0) is None
    assert explained(ValueError("x"), [parse_address(lab.url)], within_s=60.0) is not None
