"""Studies of a training function: reading, storing and writing them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.errors import HpsearchError, StudyFileError
from hpsearch.study.json_form import checked_spec, spec_problems, spec_to_json
from hpsearch.study.reader import parse_study, read_study
from hpsearch.study.spec import BudgetSpec, Choices, DataSpec, Limits, Range, StudySpec, configure
from hpsearch.study.writer import specification_text

FILE = """
name = "mine"
trials = 20
metric = "accuracy"
[objective]
function = "package.train:Model.fit"
python_path = ["src"]
direction = "maximize"
[limits]
trial_seconds = 30
[search]
learning_rate = { low = 1e-5, high = 1, log = true }
width = { low = 8, high = 64, step = 8 }
"my name" = { choices = ["a", 3, true] }
[pruning]
rank = "asha"
"""


def problems_of(text: str) -> list[str]:
    """Return the problems of a study file."""
    with pytest.raises(StudyFileError) as found:
        parse_study(text, source="mine.toml")
    return [str(problem) for problem in found.value.problems]


def test_a_study_may_train_a_function() -> None:
    """Its parameters have any names, whole numbers if all numbers of their range are whole."""
    spec = parse_study(FILE, source="mine.toml")
    assert spec.objective is not None
    assert (spec.objective.function, spec.objective.python_path) == ("package.train:Model.fit", ("src",))
    assert spec.limits == Limits(trial_seconds=30.0)
    assert (spec.metric, spec.maximize) == ("accuracy", True)
    assert spec.search == (
        Range(name="learning_rate", low=1e-5, high=1.0, log=True),
        Range(name="width", low=8.0, high=64.0, step=8.0, integer=True),
        Choices(name="my name", choices=("a", 3, True)),
    )


def test_a_minimal_study_minimizes_a_value(tmp_path: Path) -> None:
    """It searches nothing but what its function suggests, and its module is next to the file."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[objective]\nfunction = "train:train"\n')
    spec = read_study(file)
    assert spec.objective is not None
    assert (spec.metric, spec.maximize, spec.search) == ("value", False, ())
    assert spec.objective.python_path == (str(tmp_path),)


def test_a_stored_study_is_read_back() -> None:
    """As JSON and as a study file it is the same study, without the tables of a network."""
    spec = parse_study(FILE, source="mine.toml")
    text = spec_to_json(spec)
    assert checked_spec(text) == spec
    assert spec_problems(text) == []
    assert '"model"' not in text
    assert parse_study(specification_text(spec), source="again.toml") == spec


def test_none_is_a_choice_of_a_function_only() -> None:
    """It is stored and read back, and TOML, which has no null, shows it as a text with a comment."""
    spec = parse_study(FILE, source="mine.toml")
    depth = Choices([None, 5], name="depth")
    spec = replace(spec, search=(depth, Range(0.0, 1.0, name="leaf", when={"depth": None})))
    assert checked_spec(spec_to_json(spec)) == spec
    assert spec_problems(spec_to_json(spec)) == []
    text = specification_text(spec)
    assert '# TOML has no null: "None" below' in text
    assert parse_study(text, source="again.toml").search[0] == Choices(["None", 5], name="depth")
    network = StudySpec(name="a", data=DataSpec(source="iris"), metric="validation_loss")
    wrong = replace(network, search=(Choices([None, 5], name="training.batch_size"),))
    with pytest.raises(ValueError, match="must have choices, each a number, a text or a flag"):
        checked_spec(spec_to_json(wrong))
    (problem, *_) = spec_problems(spec_to_json(wrong))
    assert "must be a whole number" in str(problem)


def test_the_stored_form_of_other_studies_has_no_new_key() -> None:
    """A study without an objective is stored as before, so that older versions can read it."""
    spec = StudySpec(name="a", data=DataSpec(source="iris"))
    assert "objective" not in spec_to_json(spec)
    assert checked_spec(spec_to_json(spec)) == spec


def test_all_problems_are_reported_at_once() -> None:
    """Tables of a network, unknown keys and wrong values each have their place and a remedy."""
    text = """
    seeds = 3
    [objective]
    funktion = "train:train"
    direction = "up"
    [data]
    source = "iris"
    [limits]
    trial_second = 1
    trial_memory_mb = 0.5
    [search]
    width = { low = 2, high = 1 }
    [pruning]
    rank = "hyperband"
    [sampler]
    name = "none"
    """
    assert [line.partition(":")[0] for line in problems_of(text)] == [
        "name",
        "seeds",
        "objective.function",
        "objective.funktion",
        "objective.direction",
        "data",
        "limits.trial_second",
        "limits.trial_memory_mb",
        "search.width.low",
        "pruning.rank",
        "sampler.name",
    ]


@pytest.mark.parametrize("name", ["train", "train.py:train", "a b:c", ":x", "train:", 3])
def test_a_function_is_named_by_module_and_name(name: object) -> None:
    """Anything else is refused with an example."""
    shown = f'"{name}"' if isinstance(name, str) else name
    (problem,) = problems_of(f'name = "a"\n[objective]\nfunction = {shown}\n')
    assert problem.startswith(
        'objective.function: must be a function by name, "package.module:function" (got '
    )


def test_only_studies_of_a_function_let_diagnosis_act() -> None:
    """Anywhere else "act" is refused, as is any other word; it survives storage, files and damage checks."""
    spec = parse_study(FILE + 'diagnosis = "act"\n', source="mine.toml")
    assert spec.pruning.diagnosis == "act"
    assert checked_spec(spec_to_json(spec)) == spec
    assert spec_problems(spec_to_json(spec)) == []
    assert 'diagnosis = "act"' in specification_text(spec)
    (problem,) = problems_of('name = "a"\ndata.source = "iris"\npruning.diagnosis = "act"\n')
    assert problem.startswith('pruning.diagnosis: must be true or false without [objective] (got "act"): ')
    assert problems_of(FILE + 'diagnosis = "stop"\n') == [
        'pruning.diagnosis: must be true, false or "act" (got "stop")'
    ]


NETWORK = 'name = "a"\ndata.source = "iris"\ntraining.keep = "best"\n'


def test_limits_of_processes_need_a_function() -> None:
    """The built-in network has neither of them."""
    assert problems_of(f"{NETWORK}[limits]\ntrial_seconds = 3\n") == [
        "limits.trial_seconds: is only valid with [objective]: the built-in network has no such limit: leave it out"
    ]


def test_a_trial_of_the_network_that_ends_early_keeps_its_best_epoch() -> None:
    """Its value is that of the best epoch, so `keep` must not be the last one."""
    limits = "[limits]\ntrial_epochs_without_improvement = 3\n"
    spec = parse_study(NETWORK + limits, source="mine.toml")
    assert spec.limits == Limits(trial_epochs_without_improvement=3)
    (problem,) = problems_of(NETWORK.replace("best", "last") + limits)
    assert problem.startswith(
        'limits.trial_epochs_without_improvement: must come with training.keep = "best"'
    )


@pytest.mark.parametrize("file", [FILE, NETWORK], ids=["function", "network"])
def test_limits_of_a_study_are_stored_and_written(file: str) -> None:
    """`[budget]` survives the database and the file; a study without limits is stored as before there were any."""
    text = f"{file}[budget]\nhours = 2.5\nepochs = 1000\nuntil = 0.98\npatience = 50\n"
    spec = parse_study(text, source="mine.toml")
    assert spec.budget == BudgetSpec(hours=2.5, epochs=1000, until=0.98, patience=50)
    assert checked_spec(spec_to_json(spec)) == spec
    assert spec_problems(spec_to_json(replace(spec, metric="validation_loss"))) == []
    assert parse_study(specification_text(spec), source="mine.toml").budget == spec.budget
    plain = json.loads(spec_to_json(parse_study(file, source="mine.toml")))
    assert "budget" not in plain
    assert "limits" not in plain


def test_limits_of_a_study_are_checked_at_once() -> None:
    """Each wrong limit has its key, its rule and its value; trials are at the top."""
    wrong = "[budget]\nhours = 0\nepochs = 1.5\nuntil = nan\npatience = 0\ntrials = 3\nhour = 1\n"
    assert [problem.partition(" (got")[0] for problem in problems_of(NETWORK + wrong)] == [
        "budget.hours: must be a number above 0 and at most 1e+06",
        "budget.epochs: must be a whole number from 1 to 1000000000000000",
        "budget.until: must be a number from -1e+300 to 1e+300",
        "budget.patience: must be a whole number from 1 to 10000000",
        'budget.trials: unknown key; did you mean "trials" at the top of the file, before the first table?',
        'budget.hour: unknown key; did you mean "hours"?',
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"direction": "maximize"', '"direction": "up"'),
        ('"trial_seconds": 30.0', '"trial_seconds": -1'),
        ('"metric": "accuracy"', '"metric": ""'),
        ('"function": "package.train:Model.fit"', '"function": 3'),
    ],
)
def test_a_damaged_objective_is_noticed(before: str, after: str) -> None:
    """Values that no program of ours writes make the study unreadable, with the reason."""
    text = spec_to_json(parse_study(FILE, source="mine.toml"))
    assert before in text
    with pytest.raises(ValueError, match="must"):
        checked_spec(text.replace(before, after))


def test_uses_of_the_network_are_refused() -> None:
    """The error names the function, and what cannot be done."""
    spec = parse_study(FILE, source="mine.toml")
    with pytest.raises(HpsearchError, match="must train the built-in network for this") as found:
        configure(spec, {})
    assert "package.train:Model.fit" in str(found.value)
