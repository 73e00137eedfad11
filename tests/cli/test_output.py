"""Tables in a terminal: no line is wider than it, and no word is split."""

import io
import re
import sys

import pytest

from hpsearch.api.terminal_text import cell_len
from hpsearch.cli.output import write_csv, write_line, write_message, write_table
from tests.cli.terminal import Terminal

HEADS = ("trial", "val acc", "learning_rate", "weight_decay", "fate", "verdict", "epochs")
ROWS = [
    ("3", "0.939", "0.89", "0.00029", "complete", "healthy", "8"),
    ("14", "0.1", "1.2e+02", "2.5e-08", "dying", "dead_relu_partial from step 132", "1,234"),
]
RIGHT = frozenset({"trial", "val acc", "epochs"})


def written(monkeypatch: pytest.MonkeyPatch, columns: int, heads: tuple[str, ...], rows: object) -> list[str]:
    """Return the lines of a table in a terminal of so many columns, without colours."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    write_table(heads, rows, right=RIGHT)  # type: ignore[arg-type]
    monkeypatch.undo()
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 200])
def test_a_table_fits_and_splits_no_word(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """At any width no line is longer than the terminal, and every word of every cell is whole."""
    lines = written(monkeypatch, columns, HEADS, ROWS)
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    for word in (word for row in (HEADS, *ROWS) for cell in row for word in cell.split()):
        assert word in words, (word, lines)


def test_a_wide_table_is_a_table_and_a_narrow_one_is_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given room, each row is a line; given less, its cells are wrapped; given too little, each cell is a line."""
    assert len(written(monkeypatch, 120, HEADS, ROWS)) == 3
    wrapped = written(monkeypatch, 80, HEADS, ROWS)
    assert len(wrapped) > 3
    assert wrapped[0].startswith("trial")
    blocks = written(monkeypatch, 40, HEADS, ROWS)
    assert blocks[0].split() == ["trial", "3"]
    assert blocks[len(HEADS)] == ""
    assert blocks[len(HEADS) + 1].split() == ["trial", "14"]


def test_a_word_that_is_wider_than_the_terminal_is_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a word that no line can hold is split, without loss; wide characters count twice."""
    long = "x" * 100
    lines = written(monkeypatch, 40, ("name", "wide"), [(long, "漢字" * 4)])
    assert "".join(lines).count("x") == 100
    assert max(map(len, lines)) <= 40
    for columns in (40, 41, 42):
        table = written(monkeypatch, columns, ("a", "b"), [("漢字" * 9, "x"), ("", "y")])
        assert "漢字" * 9 in table[1]


def test_an_empty_table_has_its_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table without rows shows its heads, at any width."""
    assert written(monkeypatch, 120, HEADS, [])[0].split()[0] == "trial"
    assert written(monkeypatch, 40, HEADS, []) != []


HOSTILE = "a\x1b[31mRED\x1b]0;own\x07\u202e\x9b2J"


def test_a_parameter_that_is_none_is_not_empty_in_csv(capsys: pytest.CaptureFixture[str]) -> None:
    """Other nulls, numbers that are not finite and parameters that a trial lacks are."""
    params = [{"depth": None, "rate": None, "rate_reason": "nan"}, {"rate": 1.0}]
    write_csv([{"value": None, "params": each} for each in params])
    assert capsys.readouterr().out.splitlines() == [
        "value,params.depth,params.rate,params.rate_reason",
        ",None,,nan",
        ",,1.0,",
    ]


def test_nothing_that_is_shown_commands_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters of names and values are shown in tables, answers and messages, and end no row."""
    write_table(("name", HOSTILE), [(f"{HOSTILE}\nforged", "1")])
    write_line(f"{HOSTILE}\nnext")
    write_message(HOSTILE)
    written = capsys.readouterr()
    lines = (written.out + written.err).splitlines()
    assert len(lines) == 5
    assert [line for line in lines if not line.isprintable()] == []
    assert lines[2].startswith("a\\x1b[31mRED\\x1b]0;own\\x07\\u202e\\x9b2J")
    assert "\\nforged" in lines[1]


SENTENCE = (
    'Study "flowers": its row cannot be read (漢字): restore it from a backup, or remove it with '
    "`hpsearch study delete flowers --yes`."
)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_sentences_are_folded_between_words_in_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No word is split, a command to copy stays whole, and a pipe gets every line unchanged."""
    write = {"stdout": write_line, "stderr": write_message}[name]
    texts = []
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setenv("COLUMNS", "40")
        write(SENTENCE)
        write("  indented " * 9)
        write("Go on with: hpsearch study resume a-very-long-name-of-a-study")
        monkeypatch.undo()
        texts.append(stream.getvalue())
    narrow, piped = texts
    assert piped.splitlines()[0] == SENTENCE
    assert len(piped.splitlines()) == 3
    lines = narrow.splitlines()
    assert " ".join(narrow.split()) == " ".join(piped.split())
    assert max(map(cell_len, lines[:-1])) <= 40
    assert "`hpsearch study delete flowers --yes`." in lines
    indented = [line for line in lines if "indented" in line]
    assert [line[:10] for line in indented] == ["  indented"] * 3
    assert lines[-2:] == ["Go on with:", "hpsearch study resume a-very-long-name-of-a-study"]
