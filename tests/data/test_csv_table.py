"""Text tables."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpsearch.data.csv_table import read_csv
from hpsearch.data.table import TableReading

Refused = Callable[[Callable[[], object]], str]
WriteText = Callable[[str], Path]
NUMBERS = TableReading(types="numbers")


@pytest.mark.parametrize(
    "text",
    [
        "a,b,kind\n1,2.5,x\n3,4,y\n",
        "a;b;kind\n1;2.5;x\n3;4;y\n",
        "a\tb\tkind\r\n1\t2.5\tx\r\n3\t4\ty\r\n",
        '"a", "b", "kind"\n\n 1, 2.5, "x"\n  \n3,4,y',
        '"a;b";b;kind\n1;2.5;x\n3;4;y\n',
    ],
)
def test_delimiters_quotes_and_blank_lines(text: str, write_csv: WriteText) -> None:
    """Comma, semicolon and tab are found; quotes, blanks and line ends do not matter."""
    raw = read_csv(write_csv(text), target=None)
    assert raw.inputs.tolist() == [[1.0, 2.5], [3.0, 4.0]]
    assert raw.targets.tolist() == ["x", "y"]
    assert raw.features[1:] == ("b",)
    assert not raw.is_image


def test_a_byte_order_mark_is_no_name(write_csv: WriteText) -> None:
    """A byte order mark is not part of the first name."""
    assert read_csv(write_csv("\ufeffa,kind\n1,x\n"), target=None).features == ("a",)


def test_of_equal_delimiters_the_comma_is_text(write_csv: WriteText) -> None:
    """If comma and semicolon, or tab, cut the first row alike, the comma stands inside a cell."""
    for delimiter in ";\t":
        raw = read_csv(write_csv(f"width, cm{delimiter}kind\n1{delimiter}x\n"), target=None)
        assert raw.features == ("width, cm",)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,2,0\n3,4,1\n", 2),
        ("1,2,cat\n3,4,dog\n", 2),
        ("0,1,label\n1,2,0\n3,4,1\n", 2),
        ("a,b,label\n1,2,cat\n", 1),
        (",a,b\n1,2,0\n", 1),
        ("1,2,cat\n", 1),
    ],
)
def test_a_header_is_told_from_a_row(text: str, rows: int, write_csv: WriteText) -> None:
    """The first row is a header when an input is text, or only its target is and the next one's is not."""
    raw = read_csv(write_csv(text), target=None)
    assert len(raw.inputs) == rows
    assert bool(raw.features) == (rows < text.count("\n"))


def test_the_target_can_be_named(write_csv: WriteText) -> None:
    """A named column is the target, wherever it stands, and the others keep their order."""
    raw = read_csv(write_csv("a,kind,b\n1,x,2\n3,y,4\n"), target="kind")
    assert raw.inputs.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert raw.targets.tolist() == ["x", "y"]
    assert raw.features == ("a", "b")


def test_targets_that_are_all_numbers_are_numbers(write_csv: WriteText) -> None:
    """One target that is no number makes all of them text."""
    assert read_csv(write_csv("1,2\n3,4\n"), target=None).targets.dtype == np.float64
    assert read_csv(write_csv("1,2\n3,four\n"), target=None).targets.tolist() == ["2", "four"]


def test_numbers_are_read_to_the_last_bit(write_csv: WriteText) -> None:
    """A float64 that Python prints is read as the same float64."""
    numbers = np.random.Generator(np.random.PCG64(3)).normal(size=(20, 3))
    text = "\n".join(",".join(map(repr, row)) for row in numbers.tolist())
    raw = read_csv(write_csv(text), target=None)
    np.testing.assert_array_equal(np.c_[raw.inputs, raw.targets], numbers)


def test_a_wide_table_is_read(write_csv: WriteText) -> None:
    """A row may be longer than a single cell may be."""
    row = ",".join(["0.12345678"] * 20_000)
    assert read_csv(write_csv(f"{row}\n{row}\n"), target=None).inputs.shape == (2, 19_999)


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_table_is_refused(text: str, write_csv: WriteText, refused: Refused) -> None:
    """A file without a row is no table."""
    path = write_csv(text)
    assert refused(lambda: read_csv(path, target=None)) == (
        f"{path}: a table must hold at least one row (got an empty file): give it data"
    )


def test_a_header_alone_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """A header has no examples."""
    path = write_csv("a,b,c\n")
    assert refused(lambda: read_csv(path, target=None)) == (
        f"{path}: a table must hold at least one row (got a header alone): give it data"
    )


def test_one_column_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """A table has at least an input and a target."""
    path = write_csv("one word\nmany words\n")
    assert refused(lambda: read_csv(path, target=None)) == (
        f"{path}: a table must have an input and a target (got 1 column): add columns, or check the delimiter"
    )


def test_a_ragged_row_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """A row with another number of cells is named by its line."""
    path = write_csv("a,b,c\n1,2,3\n\n1,2\n2,3,4\n")
    assert refused(lambda: read_csv(path, target=None)) == (
        f"{path}: line 4: every row must have 3 cells, as the first has (got 2): correct the row"
    )


@pytest.mark.parametrize("cell", ["", "NA", "?", "null"])
def test_a_missing_number_is_refused(cell: str, write_csv: WriteText, refused: Refused) -> None:
    """A missing input is named by line and column."""
    path = write_csv(f"a,b,c\n1,2,3\n2,{cell},4\n")
    assert refused(lambda: read_csv(path, target=None, reading=NUMBERS)) == (
        f'{path}: line 3, column "b": a number is missing (got "{cell}"): fill it, or drop the row'
    )


def test_a_missing_number_in_the_first_row_is_no_header(write_csv: WriteText, refused: Refused) -> None:
    """A missing value does not turn a row of numbers into a header."""
    path = write_csv("1,,3\n2,2,4\n")
    assert refused(lambda: read_csv(path, target=None, reading=NUMBERS)) == (
        f'{path}: line 1, column 2: a number is missing (got ""): fill it, or drop the row'
    )


def test_a_missing_target_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """A missing target is named by line and column, and never becomes a class."""
    path = write_csv("kind,a\nx,1\nNaN,2\n")
    assert refused(lambda: read_csv(path, target="kind")) == (
        f'{path}: line 3, column "kind": a target is missing (got "NaN"): fill it, or drop the row'
    )


def test_text_among_the_inputs_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """An error names the line and column of the first input that is text, also to the right of the target."""
    path = write_csv("kind,a,b\nx,1,2\ny,3,red\n")
    assert refused(lambda: read_csv(path, target="kind", reading=NUMBERS)) == (
        f'{path}: line 3, column "b": inputs must be numbers (got "red"):'
        ' encode the column as numbers, or leave it out with data.drop = ["b"]'
    )


@pytest.mark.parametrize("number", ["1e400", "9" * 400])
def test_a_number_beyond_float64_is_refused(number: str, write_csv: WriteText, refused: Refused) -> None:
    """It would be infinite."""
    rows = "".join(f"{i}.5,{'xy'[i % 2]}\n" for i in range(30))
    path = write_csv(f"a,kind\n{number},x\n{rows}")
    assert refused(lambda: read_csv(path, target="kind")) == (
        f'{path}: line 2, column "a": inputs must be numbers (got "{number}"):'
        " write a finite number, leave the cell empty if it is missing, or drop the row"
    )


def test_an_unknown_target_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """A target that no column has gets the nearest name, or all of them."""
    path = write_csv("height,width,species\n1,2,x\n")
    text = f'{path}: data.target must name one column (got "{{}}", of which there are 0): {{}}'
    assert refused(lambda: read_csv(path, target="spezies")) == text.format(
        "spezies", 'did you mean "species"?'
    )
    assert refused(lambda: read_csv(path, target="q")) == text.format("q", "known are height, species, width")


def test_a_target_of_two_columns_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """A name that two columns have does not choose one."""
    path = write_csv("a,a,b\n1,2,3\n")
    assert refused(lambda: read_csv(path, target="a")) == (
        f'{path}: data.target must name one column (got "a", of which there are 2):'
        " give each column its own name"
    )


def test_a_named_target_needs_a_header(write_csv: WriteText, refused: Refused) -> None:
    """Without a header no column has a name."""
    path = write_csv("1,2,3\n")
    assert refused(lambda: read_csv(path, target="kind")) == (
        f'{path}: data.target must name a column of the header (got "kind", and no header):'
        ' add a header, set data.header = "yes" if the first line is one,'
        " or put the target last and leave data.target out"
    )


def test_another_encoding_is_refused(tmp_path: Path, refused: Refused) -> None:
    """Text that is not UTF-8 is named with the byte that cannot be read."""
    path = tmp_path / "t.csv"
    path.write_bytes("größe,b\n1,2\n".encode("latin-1"))
    assert refused(lambda: read_csv(path, target=None)) == (
        f'{path}: line 1: must be text in UTF-8 (got the byte 0xf6, "größe,b" in Latin-1): save it as UTF-8'
    )


def test_an_open_quote_is_refused(write_csv: WriteText, refused: Refused) -> None:
    """An unclosed quote is an error, and the rest of the table is not one cell."""
    path = write_csv('a,b\n1,"2\n3,4\n')
    assert refused(lambda: read_csv(path, target=None)) == (
        f'{path}: line 3: must be CSV (got "unexpected end of data"): check its quotes'
    )


def test_a_line_without_end_is_refused(tmp_path: Path, refused: Refused) -> None:
    """A small gzipped file that unpacks to one huge line is not taken into memory."""
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"1," * 2**23 + b"1", compresslevel=1))
    assert refused(lambda: read_csv(path, target=None)) == (
        f"{path}: a line must be shorter than 16,777,216 characters (got more): check that it is a table"
    )


def test_a_gzip_that_breaks_off_is_refused(tmp_path: Path, refused: Refused) -> None:
    """The error for a truncated gzip file suggests another download."""
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"1,a\n2,b\n" * 1000)[:-12])
    assert refused(lambda: read_csv(path, target=None)).startswith(f"{path}: must be a whole gzip file (got ")
