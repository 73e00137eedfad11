"""The table [data.columns] of a study file."""

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study.json_form import spec_from_json, spec_problems, spec_to_json
from hpsearch.study.reader import parse_study, study_from_document
from hpsearch.study.spec import ColumnRule

HEAD = 'name = "x"\n[data]\nsource = "t.csv"\n'


def test_columns_are_words_or_tables() -> None:
    """A word is the kind; a key that fits one kind only implies it; the rules come back from the database."""
    text = """[data.columns]
age = "number"
"zip code" = { encoding = "target" }
city = { kind = "category", min_frequency = 5 }
price = { transform = "log" }
id = "drop"
"""
    spec = parse_study(HEAD + text, source="x.toml")
    assert spec.data.columns == (
        ColumnRule(name="age", kind="number"),
        ColumnRule(name="zip code", kind="category", encoding="target"),
        ColumnRule(name="city", kind="category", min_frequency=5.0),
        ColumnRule(name="price", kind="number", transform="log"),
        ColumnRule(name="id", kind="drop"),
    )
    assert spec_from_json(spec_to_json(spec)) == spec
    assert parse_study(f"{HEAD}columns = {{}}\n", source="x.toml").data.columns is None


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("3", "data.columns: must be a table from columns to their use, [data.columns] (got 3)"),
        ("{ age = 3 }", "data.columns.age: must be one of number, category, date, drop (got 3)"),
        (
            '{ age = "numbr" }',
            'data.columns.age: must be one of number, category, date, drop (got "numbr"): did you',
        ),
        ("{ age = {} }", "data.columns.age: must have a key (got {})"),
        ('{ age = { kin = "number" } }', "data.columns.age.kin: unknown key; did you mean kind?"),
        ("{ age = { min_frequency = 0 } }", "data.columns.age.min_frequency: must be a number above 0"),
        (
            '{ age = { kind = "number", encoding = "target" } }',
            'data.columns.age.encoding: is for columns of kind "category" (got "target"): leave it out',
        ),
        (
            '{ age = { transform = "log", min_frequency = 3 } }',
            'data.columns.age.min_frequency: is for columns of kind "category" (got 3): leave it out',
        ),
    ],
)
def test_wrong_columns_are_named(columns: str, problem: str) -> None:
    """Each problem has the column and the key in its path."""
    with pytest.raises(StudyFileError) as raised:
        parse_study(f"{HEAD}columns = {columns}\n", source="x.toml")
    assert str(raised.value).splitlines()[1].strip().startswith(problem)


def test_names_and_keys_of_a_program_must_be_text() -> None:
    """Dictionaries of a program may have keys of any type, also in a table where a word belongs."""
    document = {
        "name": "x",
        "data": {"source": "t.csv", "columns": {3: "category", "age": {1: "number"}}},
        "training": {"class_weight": {0: 1.0, 1: 2.0}},
    }
    with pytest.raises(StudyFileError) as caught:
        study_from_document(document, source="x.toml")
    assert [f"{problem.where}: {problem.message}" for problem in caught.value.problems] == [
        'data.columns: must have the names of columns, as text (got 3): write "3"',
        "data.columns.age.1: unknown key; known are kind, transform, encoding, min_frequency",
        "training.class_weight: must be one of none, balanced (got { 0 = 1.0, 1 = 2.0 })",
    ]


def test_stored_columns_obey_the_rules() -> None:
    """Text from another source is checked as a study file is."""
    spec = parse_study(f'{HEAD}columns = {{ age = "number" }}\n', source="x.toml")
    assert spec_problems(spec_to_json(spec).replace('"metric": "auto"', '"metric": "validation_loss"')) == []
    wrong = spec_to_json(spec).replace('"kind": "number"', '"kind": "secret"')
    assert any("data.columns.age" in str(problem.where) for problem in spec_problems(wrong))
