"""The column that decides about a split."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.arrays import SplitColumn, read_arrays
from hpsearch.data.dataset import dataset_from
from hpsearch.data.prepare import prepare, prepare_dataset
from hpsearch.data.split_column import groups_of, times_of
from hpsearch.data.stored_arrays import store_arrays
from hpsearch.study.spec import DataSpec

Refused = Callable[[Callable[[], object]], str]

ROWS = [f"c{i // 3},{i},2024-01-{i + 1:02},{'ab'[i % 2]}" for i in range(12)]


def table(rows: list[str] = ROWS, *, path: str = "t.csv") -> DataSpec:
    """Write a table with a customer, an input, a day and a target, and return its data."""
    Path(path).write_text("customer,x,day,y\n" + "\n".join(rows) + "\n")
    return DataSpec(source=path, target="y", scale="none", drop=("day",), group="customer")


def test_the_column_of_a_table_is_no_input() -> None:
    """The column that splits is left out with a note, and whole groups are in one part."""
    data = prepare(table(), seed=3, precision="float64", environment={})
    assert (data.inputs, data.preprocessing.features) == (1, ("x",))
    assert data.notes[-1] == 'column "customer" decides about the split and is no input'
    training, validation = (
        {int(x) // 3 for x in part.inputs[:, 0]} for part in (data.training, data.validation)
    )
    assert not training & validation
    assert len(validation) == 1


def test_rows_that_the_reader_skips_have_no_value() -> None:
    """Empty rows of a spreadsheet do not shift the column."""
    plain = prepare(table(), seed=3, precision="float64", environment={})
    rows = table([*ROWS[:5], ",,,", *ROWS[5:]], path="skipped.csv")
    again = prepare(rows, seed=3, precision="float64", environment={})
    assert again.fingerprint == plain.fingerprint


def test_parquet_arrays_and_frames_split_alike() -> None:
    """The same rows are split alike from CSV, Parquet, a data frame, arrays, and their stored file."""
    pd = pytest.importorskip("pandas")
    spec = table()
    frame = pd.read_csv("t.csv").drop(columns="day")
    frame.to_parquet("t.parquet")
    found = [
        prepare(spec, seed=3, precision="float64", environment={}),
        prepare(
            DataSpec(source="t.parquet", target="y", scale="none", group="customer"),
            seed=3,
            precision="float64",
            environment={},
        ),
    ]
    of_frame = read_arrays(frame, target="y", split_column=SplitColumn(name="customer"))
    of_pair = read_arrays(
        (frame[["x"]], frame["y"]), split_column=SplitColumn(name="group", values=frame["customer"])
    )
    for raw in (of_frame, of_pair):
        stored = DataSpec(source=store_arrays(raw, Path("data")), scale="none", group="customer")
        found.append(
            prepare_dataset(dataset_from(raw, name="data", task="auto"), stored, seed=3, precision="float64")
        )
        found.append(prepare(stored, seed=3, precision="float64", environment={}))
    assert len({data.fingerprint for data in found}) == 1
    assert store_arrays(of_pair, Path("data")) == store_arrays(of_pair, Path("data"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*ROWS, ",12,2024-01-13,a", ",13,2024-01-14,b"],
            (
                't.csv: line 14, column "customer": every row must have a value by which it is split'
                ' (got ""; 2 such in all): fill it, or drop the row'
            ),
        ),
        (
            [row.replace(row.split(",")[0], "c0", 1) for row in ROWS],
            "data.group: there must be at least one group for each part",
        ),
    ],
)
def test_columns_that_cannot_split_are_refused(refused: Refused, rows: list[str], message: str) -> None:
    """Missing values and too few groups are errors with their place and remedy."""
    spec = table(rows)
    assert refused(lambda: prepare(spec, seed=3, precision="float64", environment={})).startswith(message)


def test_a_column_that_is_missing_is_named_by_its_key(refused: Refused) -> None:
    """The message is not about data.drop, which the study does not have."""
    spec = replace(table(ROWS), group="custmer")
    assert refused(lambda: prepare(spec, seed=3, precision="float64", environment={})) == (
        't.csv: data.group and data.time must name one column (got "custmer", of which there are 0):'
        ' did you mean "customer"?'
    )


def test_other_sources_have_no_columns(refused: Refused) -> None:
    """A name that no column has, arrays without names, and folders of images are refused."""
    table()
    unknown = DataSpec(source="t.csv", target="y", drop=("day",), group="custom")
    assert 'got "custom", of which there are 0): did you mean "customer"?' in refused(
        lambda: prepare(unknown, seed=3, precision="float64", environment={})
    )
    x, y = np.ones((4, 2)), np.arange(4)
    assert "only columns of data frames have names" in refused(
        lambda: read_arrays((x, y), split_column=SplitColumn(name="customer"))
    )
    np.savez("d.npz", x=x, y=y)
    archive = DataSpec(source="d.npz", group="customer")
    assert 'must hold the array "customer"' in refused(
        lambda: prepare(archive, seed=3, precision="float64", environment={})
    )


def test_times_are_numbers_or_iso_dates(refused: Refused) -> None:
    """Numbers, dates, and times with a zone are ordered by time; other text and mixtures are refused."""
    for texts in (["10", "9", "1e2"], ["2024-02-01", "2024-01-31 23:59", "2024-02-01T00:00:01"]):
        times = times_of(np.array(texts), "day", where="t.csv")
        assert list(np.argsort(times)) == [1, 0, 2]
    days = ["31.01.2024", "01.12.2023 10:00", "02.02.2024"]
    for texts in (days, [day.replace(".", "/") for day in days]):
        assert list(np.argsort(times_of(np.array(texts), "day", where="t.csv"))) == [1, 0, 2]
    assert "data.time must be numbers, or dates" in refused(
        lambda: times_of(np.array(["1/2/2024", "3/4/2024"]), "day", where="t.csv")
    )
    zoned = times_of(np.array(["2024-01-01T12:00+02:00", "2024-01-01T11:00+00:00"]), "day", where="t.csv")
    assert zoned[0] < zoned[1]
    assert 'row 2, column "day": data.time must be numbers, or dates' in refused(
        lambda: times_of(np.array(["2024-01-01", "spring"]), "day", where="t.csv")
    )
    assert "all times must have a zone, or none" in refused(
        lambda: times_of(np.array(["2024-01-01T12:00", "2024-01-01T11:00+00:00"]), "day", where="t.csv")
    )


def test_groups_are_numbered_by_their_values() -> None:
    """Numbers and text name groups alike."""
    assert (
        groups_of(np.array(["b", "a", "b"])).tolist() == [1, 0, 1] == groups_of(np.array([7, 3, 7])).tolist()
    )
