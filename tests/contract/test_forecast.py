"""The forecast: the cost of the open budgets, from the contents and the speed of the database."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from hpsearch.storage import schema
from hpsearch.storage.engine import read_transaction
from hpsearch.storage.health import MEASURED_FROM, Forecast, WriteRate, check, forecast
from hpsearch.storage.records import WorkerIdentity
from hpsearch.storage.store import open_store
from tests.contract.laboratory import FINGERPRINT, Lab, a_spec

Labs = Callable[..., Lab]


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_open_budgets_are_added_up(fresh_url: str) -> None:
    """Unclaimed trials count, of studies that take trials: not paused, not done, not failing."""
    with open_store(fresh_url) as store:
        labs = [
            Lab(
                store=store,
                url=fresh_url,
                study=store.studies.create(a_spec(trials=trials), fingerprint=FINGERPRINT),
            )
            for trials in (40, 20, 3, 900)
        ]
        labs[0].finish(4)
        labs[0].claim(6)
        labs[2].finish(3)
        store.studies.pause(labs[3].study, by="ann")
        store.workers.register(WorkerIdentity(name="ann", host="here", process_id=1, version="0.1.0"))
        with read_transaction(store._transactions.engine) as connection:
            rate = WriteRate(durable_per_s=100.0, light_per_s=1000.0)
            left = forecast(connection, trials=13, round_trip_s=0.0005, write_rate=rate)
            assert left == Forecast(
                open_studies=2,
                trials=50,
                seconds_per_trial=1 / 100 + 2 / 1000 + 10 * 0.0005,
                seconds=50 * (1 / 100 + 2 / 1000 + 10 * 0.0005),
                bytes_per_trial=2600,
                bytes_are_measured=False,
                size_bytes=50 * 2600,
            )
            unknown = forecast(connection, trials=13, round_trip_s=0.0005, write_rate=None)
            assert (unknown.seconds, unknown.seconds_per_trial, unknown.size_bytes) == (None, None, 130_000)
    assert check(fresh_url).workers_alive == 1


def test_the_size_of_a_trial_is_measured_where_there_are_many(new_lab: Labs, dialect: str) -> None:
    """From a thousand trials on their tables are measured; MariaDB's statistics are believed when they are fresh."""
    lab = new_lab(trials=MEASURED_FROM)
    lab.finish(MEASURED_FROM)
    found = check(lab.url).outlook
    assert found is not None
    assert found.bytes_are_measured or dialect == "mariadb"
    assert 300 < found.bytes_per_trial < 20_000


def test_a_check_leaves_no_row_behind(new_lab: Labs) -> None:
    """The rows that measured the rate of commits are removed, with those of a killed check."""
    lab = new_lab()
    series = schema.series
    with lab.store._transactions.engine.begin() as connection:
        left_over = {"study_key": "hpsearch storage check", "number": 7, "format": 0, "payload": b"x"}
        connection.execute(series.insert().values(**left_over))
    check(lab.url)
    with read_transaction(lab.store._transactions.engine) as connection:
        rows = select(func.count()).where(series.c.study_key == "hpsearch storage check")
        assert connection.execute(rows).scalar_one() == 0
