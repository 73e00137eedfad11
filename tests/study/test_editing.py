"""Values changed in the text of a study file."""

import tomllib

import pytest

from hpsearch.study.editing import edited_text

TEXT = """# A question
name = "x"  # its name
seed = 1

[data]
source = "a # b.csv" # the table

[training]
# rates above 1 die
learning_rate = 30.0  # hot
optimizer = 'sgd'

# searched
[search]
learning_rate = { low = 1e-6, high = 10.0, log = true }
"""


def test_only_the_values_change() -> None:
    """A value is replaced in its line, a new key ends its table, a new table ends the file; all else is kept."""
    changes = {
        "training.learning_rate": 0.3,
        "training.epochs": 5,
        "training.optimizer": "adam",
        "data.source": 'c "d".csv',
        "model.hidden": [32, 32],
        "seed": 2,
        "trials": 9,
    }
    assert edited_text(TEXT, changes) == (
        TEXT.replace("30.0  #", "0.3  #")
        .replace("'sgd'\n", '"adam"\nepochs = 5\n')
        .replace('"a # b.csv" #', r'"c \"d\".csv" #')
        .replace("seed = 1\n", "seed = 2\ntrials = 9\n")
        + "\n[model]\nhidden = [32, 32]\n"
    )


def test_dotted_keys_are_found() -> None:
    """Keys written with a dot at the top are changed there, and others of their table are added there."""
    text = 'name = "x"\ntraining.epochs = 3 # few\n[data]\nsource = "iris"\n'
    edited = edited_text(text, {"training.epochs": 4, "training.learning_rate": 0.5})
    assert edited == text.replace("3 # few\n", "4 # few\ntraining.learning_rate = 0.5\n")


def test_a_study_from_nothing() -> None:
    """An empty text becomes a file of the changes."""
    assert edited_text("", {"name": "x", "data.source": "iris"}) == 'name = "x"\n\n[data]\nsource = "iris"\n'


@pytest.mark.parametrize(
    "text",
    [
        "training = { learning_rate = 1.0 }\n",
        "[training]\nlearning_rate = [\n1.0,\n]\n",
        '[training]\n"learning_rate" = 1.0\n',
        "[training]\nnote = '''\nlearning_rate = 1.0\n'''\nlearning_rate = 2.0\n",
    ],
)
def test_what_a_line_cannot_express_is_left_to_others(text: str) -> None:
    """None is returned if the edited text would not mean the changes: inline tables, several lines, odd keys."""
    tomllib.loads(text)
    assert edited_text(text, {"training.learning_rate": 0.1}) is None
