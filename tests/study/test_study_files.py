"""The study files that come with the package, and the page that explains them."""

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from hpsearch.diagnosis.verdicts import CATALOGUE
from hpsearch.errors import StudyFileError
from hpsearch.study.messages import toml_excerpt
from hpsearch.study.reader import parse_study, read_study
from hpsearch.study.schema import BUILTIN_SOURCES, COLUMNS, SECTIONS, STUDY
from hpsearch.study.search_space import DIMENSION_KEYS
from hpsearch.study.spec import (
    DEFAULT_FATAL,
    DEFAULT_SEARCH,
    DIAGNOSED_CAUSES,
    ColumnRule,
    Initializer,
    Range,
    StudySpec,
)
from hpsearch.verdicts import Cause

HEADINGS = {"study": "At the top", **{name: f"[{name}]" for name in SECTIONS}}
KINDS: dict[str, tuple[type[Any], tuple[str, ...]]] = {
    "study": (StudySpec, tuple(STUDY)),
    **{name: (section.kind, tuple(section.rules)) for name, section in SECTIONS.items()},
}


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    """Return the text of `studies/README.md`."""
    return (repository / "studies/README.md").read_text()


def rows_below(readme: str, heading: str) -> dict[str, tuple[str, str]]:
    """Return key -> (default, allowed values) of the tables below `heading`."""
    _, _, text = readme.partition(f"## {heading}\n")
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip(" `"): (row[1].strip("`"), row[2]) for row in cells}


def blocks(readme: str, language: str) -> list[str]:
    """Return the fenced blocks of `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)


def default_of(kind: type[Any], key: str) -> str:
    """Return the default of a field as the page writes it; the empty text if there is none."""
    default = next(field.default for field in fields(kind) if field.name == key)
    if isinstance(default, Initializer):
        return toml_excerpt(default.name)
    if isinstance(default, tuple) and all(isinstance(item, Cause) for item in default):
        return f"[{', '.join(map(toml_excerpt, default))}]"
    return "" if default in (MISSING, None) else toml_excerpt(default)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_key_is_documented_with_its_default(readme: str, name: str) -> None:
    """The page has exactly the keys of each table, under its heading, with their defaults."""
    kind, keys = KINDS[name]
    rows = rows_below(readme, HEADINGS[name])
    documented = {key: default for key, (default, _) in rows.items() if key not in BUILTIN_SOURCES}
    assert documented == {key: default_of(kind, key) for key in keys}


def test_every_key_of_a_column_is_documented(readme: str) -> None:
    """The page has exactly the keys of [data.columns], with their defaults and words."""
    rows = rows_below(readme, "[data.columns]")
    assert {key: default for key, (default, _) in rows.items()} == {
        key: default_of(ColumnRule, key) for key in COLUMNS.rules
    }
    for key, rule in COLUMNS.rules.items():
        assert [word for word in getattr(rule, "words", []) if f"`{word}`" not in rows[key][1]] == [], key


@pytest.mark.parametrize("name", sorted(SECTIONS))
def test_every_word_is_documented(readme: str, name: str) -> None:
    """The page has every allowed word of a key; `output` refers to the activations."""
    rows = rows_below(readme, HEADINGS[name])
    for key, rule in SECTIONS[name].rules.items():
        words = [] if key == "output" else getattr(rule, "words", [])
        assert [word for word in words if f"`{word}`" not in rows[key][1]] == [], key


def test_every_cause_is_documented(readme: str) -> None:
    """The page has every cause that may be fatal or expected."""
    _, _, pruning = readme.partition("## [pruning]\n")
    listed, _, _ = pruning.partition("\nThe verdicts are ")[2].partition(".")
    assert tuple(re.findall(r"`(\w+)`", listed)) == DIAGNOSED_CAUSES


def test_every_verdict_is_explained(readme: str) -> None:
    """The page has each cause in catalogue order, with meaning and remedy, and marks those that stop a trial."""
    _, _, verdicts = readme.partition("## Verdicts\n")
    lines = [line for line in verdicts.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[0].strip("`") for row in rows] == [*DIAGNOSED_CAUSES, Cause.HEALTHY, Cause.INCONCLUSIVE]
    assert tuple(row[0].strip("`") for row in rows if row[1] == "yes") == DEFAULT_FATAL
    assert {row[0] for row in rows if not (row[2] and row[3])} == {"`healthy`"}


def test_causes_that_stop_nothing_are_documented(readme: str) -> None:
    """The page names the causes that show only before the first step, which are never fatal."""
    _, _, before = readme.partition("none is stopped for it. ")
    named = set(re.findall(r"`(\w+)`", before.partition(" show before")[0]))
    assert named == set(DIAGNOSED_CAUSES) - {cause for entry in CATALOGUE for cause in entry.causes}


def test_ranges_and_choices_are_documented(readme: str) -> None:
    """The page has every key of a searched dimension."""
    assert set(rows_below(readme, "[search]")) == set(DIMENSION_KEYS)


def test_every_built_in_source_is_documented(readme: str) -> None:
    """The page has every built-in source."""
    assert set(BUILTIN_SOURCES) <= set(rows_below(readme, "[data]"))


def test_the_examples_of_the_page_work(readme: str) -> None:
    """Every study file on the page is valid."""
    examples = blocks(readme, "toml")
    assert len(examples) >= 4
    for example in examples:
        assert parse_study(example, source="studies/README.md").name


def test_the_default_search_is_documented(readme: str) -> None:
    """The page shows the search of a study without [search]."""
    (example,) = [block for block in blocks(readme, "toml") if 'name = "default"' in block]
    assert "[search]" in example
    assert parse_study(example, source="x").search == DEFAULT_SEARCH


def test_the_errors_of_the_page_are_real(readme: str) -> None:
    """The messages on the page are those of the reader."""
    several, repeated = (block for block in blocks(readme, "text") if block.startswith("studies/mine.toml"))
    for text, expected in [
        (
            (
                'name = "x"\n[data]\nsource = "digit"\n[training]\noptimiser = "sgd"\n'
                "[search]\nlearning_rate = { low = 0.0, high = 1.0, log = true }"
            ),
            several,
        ),
        ("trials = 100\ntrials = 200", repeated),
    ]:
        with pytest.raises(StudyFileError) as caught:
            parse_study(text, source="studies/mine.toml")
        assert str(caught.value) == expected.rstrip("\n")


def test_every_study_file_can_be_read(repository: Path) -> None:
    """The study files of the repository have no problems, and their names are those of the files."""
    paths = sorted((repository / "studies").glob("*.toml"))
    assert {"digits.toml", "mnist.toml"} <= {path.name for path in paths}
    for path in paths:
        assert read_study(path).name == path.stem


def test_every_study_file_is_listed(repository: Path, readme: str) -> None:
    """The page lists exactly the study files, with their questions; each file begins with a comment."""
    paths = sorted((repository / "studies").glob("*.toml"))
    listed = re.findall(r"^\| \[(.+?)\]\(\1\) \| (?:.+) \|$", readme, flags=re.MULTILINE)
    assert sorted(listed) == [path.name for path in paths]
    for path in paths:
        head, _, _ = path.read_text().partition("\nname = ")
        assert head.startswith("# "), path.name


@pytest.mark.parametrize(("name", "trials", "epochs"), [("digits", 200, 20), ("mnist", 100, 10)])
def test_the_main_jobs_search_two_parameters(repository: Path, name: str, trials: int, epochs: int) -> None:
    """The main jobs search learning rate and weight decay, both log-uniform, of one layer of 64 units."""
    spec = read_study(repository / f"studies/{name}.toml")
    assert (spec.data.source, spec.trials, spec.training.epochs) == (name, trials, epochs)
    assert (spec.model.hidden, spec.model.activation, spec.data.validation_fraction) == ((64,), "relu", 0.2)
    assert [(d.name, isinstance(d, Range) and d.log) for d in spec.search] == [
        ("learning_rate", True),
        ("weight_decay", True),
    ]
