"""Exact configurations: their list in a study file, the choice of one, and the study that they make."""

from dataclasses import replace
from pathlib import Path

import pytest

from hpsearch.errors import StudyFileError, UsageError
from hpsearch.study.configurations import (
    configuration_of,
    exact_configurations,
    exact_params,
    fixed_spec,
    params_of_trial,
    spanned_dimensions,
)
from hpsearch.study.json_form import spec_from_json, spec_to_json
from hpsearch.study.plan import known_rank
from hpsearch.study.reader import parse_study, read_study
from hpsearch.study.spec import Choices, ExactConfiguration, Initializer, Range

TEXT = """
name = "exact"
seeds = 2
data.source = "digits"
training.learning_rate = 0.01
model.hidden = [64, 32]
[[configurations]]
name = "wide"
model.hidden = [128]
"training.batch_size" = 20
[[configurations]]
learning_rate = 5.0
model.initializer = { normal = 0.01 }
[[configurations]]
name = "as it is"
"""
SPEC = parse_study(TEXT, source="test")


def test_a_trial_has_every_name_that_any_configuration_sets() -> None:
    """A name that a configuration omits has the study's fixed value, so all trials have the same parameters."""
    assert [exact_params(SPEC, exact) for exact in SPEC.configurations] == [
        {
            "model.hidden": "[128]",
            "training.batch_size": 20,
            "learning_rate": 0.01,
            "model.initializer": "he",
        },
        {
            "model.hidden": "[64, 32]",
            "training.batch_size": 100,
            "learning_rate": 5.0,
            "model.initializer": '{"normal": 0.01}',
        },
        {
            "model.hidden": "[64, 32]",
            "training.batch_size": 100,
            "learning_rate": 0.01,
            "model.initializer": "he",
        },
    ]


def test_configurations_rotate() -> None:
    """Trial n trains configuration n modulo their number, so a part of the budget trains all equally often."""
    names = [configuration_of(SPEC, params_of_trial(SPEC, number)) for number in range(7)]
    assert names == [SPEC.configurations[number % 3] for number in range(7)]


def test_a_configuration_sets_model_and_training() -> None:
    """Each configuration gives a model and a training of its own."""
    wide, second, plain = exact_configurations(SPEC)
    assert (wide.model.hidden, wide.training.batch_size, wide.training.learning_rate) == ((128,), 20, 0.01)
    assert (second.model.initializer, second.training.learning_rate) == (
        Initializer(name="normal", scale=0.01),
        5.0,
    )
    assert (plain.model, plain.training) == (SPEC.model, SPEC.training)


def test_other_parameters_belong_to_no_configuration() -> None:
    """Parameters of another client, and a trial without parameters, belong to no configuration."""
    params = params_of_trial(SPEC, 0) | {"learning_rate": 0.5}
    assert configuration_of(SPEC, params) is None
    assert configuration_of(SPEC, {}) is None


def test_numbers_span_a_range_and_other_values_are_choices() -> None:
    """A range is logarithmic if it covers a decade or more, and has whole numbers if its field does."""
    assert spanned_dimensions(SPEC) == (
        Choices(name="model.hidden", choices=("[128]", "[64, 32]")),
        Range(name="training.batch_size", low=20.0, high=100.0, integer=True),
        Range(name="learning_rate", low=0.01, high=5.0, log=True),
        Choices(name="model.initializer", choices=("he", '{"normal": 0.01}')),
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3,), Choices(name="model.dropout", choices=(0.3,))),
        ((0.0, 0.5), Range(name="model.dropout", low=0.0, high=0.5)),
        ((0.5, 0.05), Range(name="model.dropout", low=0.05, high=0.5, log=True)),
    ],
)
def test_a_span_contains_its_values(values: tuple[float, ...], expected: Choices | Range) -> None:
    """One value is a single choice, 0 makes a range linear, and the order of values does not matter."""
    configurations = tuple(
        ExactConfiguration(name=str(value), params=(("model.dropout", value),)) for value in values
    )
    assert spanned_dimensions(replace(SPEC, configurations=configurations)) == (expected,)


def test_flags_are_choices() -> None:
    """True and false are choices, not numbers."""
    configurations = tuple(
        ExactConfiguration(name=str(value), params=(("model.batch_norm", value),)) for value in (True, False)
    )
    assert spanned_dimensions(replace(SPEC, configurations=configurations)) == (
        Choices(name="model.batch_norm", choices=(True, False)),
    )


def test_one_configuration_is_chosen_by_name_or_place() -> None:
    """The chosen configuration's values become the study's own, except for settings."""
    assert fixed_spec(SPEC, "wide", ()) == fixed_spec(SPEC, "0", ())
    assert fixed_spec(SPEC, "wide", ()).model.hidden == (128,)
    assert fixed_spec(SPEC, "1", ()).training.learning_rate == 5.0
    assert fixed_spec(SPEC, "1", ("training.learning_rate",)).training.learning_rate == 0.01


@pytest.mark.parametrize("chosen", [None, "3", "narrow", ""])
def test_an_unknown_configuration_lists_the_known_ones(chosen: str | None) -> None:
    """The error lists every configuration with its place."""
    with pytest.raises(UsageError, match=r"0  wide\n  1  learning_rate 5\.0, .*\n  2  as it is"):
        fixed_spec(SPEC, chosen, ())


def test_a_study_that_searches_has_no_configuration_to_choose() -> None:
    """A study that searches has only its fixed configuration, so a choice is an error."""
    searching = replace(SPEC, configurations=())
    assert fixed_spec(searching, None, ()) == searching
    with pytest.raises(UsageError, match="leave it out"):
        fixed_spec(searching, "wide", ())


def test_configurations_round_trip_through_json() -> None:
    """JSON is read back as an equal record, and the record of an older version has no configurations."""
    assert spec_from_json(spec_to_json(SPEC)) == SPEC
    assert hash(spec_from_json(spec_to_json(SPEC))) == hash(SPEC)


HEAD = 'name = "x"\ndata.source = "digits"\n'
TWO = "[[configurations]]\nlearning_rate = 0.1\n[[configurations]]\nlearning_rate = 0.2\n"


def problems(text: str) -> list[str]:
    """Return the lines of the error message for a text."""
    with pytest.raises(StudyFileError) as caught:
        parse_study(text, source="x.toml")
    return str(caught.value).splitlines()[1:]


def test_the_budget_is_configurations_times_seeds() -> None:
    """`seeds` sets the budget to the product; without it, `trials` counts, or else each configuration trains once."""
    assert parse_study(HEAD + TWO, source="x").trials == 2
    assert parse_study("seeds = 5\n" + HEAD + TWO, source="x").trials == 10
    assert parse_study("seeds = 5\ntrials = 10\n" + HEAD + TWO, source="x").trials == 10
    assert parse_study("trials = 7\n" + HEAD + TWO, source="x").trials == 7


def test_the_trials_option_overrides_seeds(tmp_path: Path) -> None:
    """`--trials` has priority over `seeds`, to try a study or to continue it."""
    file = tmp_path / "x.toml"
    file.write_text("seeds = 5\n" + HEAD + TWO)
    assert read_study(file, trials=3).trials == 3


def test_configurations_have_no_sampler_and_no_rank_by_default() -> None:
    """Sampler and rank are none by default; a rank in the file is kept, and diagnosis stays on."""
    spec = parse_study(HEAD + TWO, source="x")
    assert (spec.sampler.name, known_rank(spec), spec.pruning.diagnosis) == ("none", "none", True)
    assert parse_study(HEAD + '[pruning]\nrank = "median"\n' + TWO, source="x").pruning.rank == "median"


def test_a_configuration_without_a_name_is_named_after_its_values() -> None:
    """The name lists the values under their short names; a configuration without values has a fixed name."""
    text = (
        HEAD
        + '[[configurations]]\n"training.learning_rate" = 0.5\nmodel.hidden = [8]\n[[configurations]]\n'
        + '[[configurations]]\nname = "mine"\nmodel.initializer = { normal = 1 }\n'
    )
    names = [exact.name for exact in parse_study(text, source="x").configurations]
    assert names == ["learning_rate 0.5, model.hidden [8]", "the fixed values", "mine"]


def test_every_problem_of_configurations_is_reported_at_once() -> None:
    """Wrong values, unknown keys and wrong names of all configurations are reported together."""
    text = (
        "seeds = 0\n"
        + HEAD
        + '[sampler]\nname = "tpe"\n[search]\nlearning_rate = { low = 0.1, high = 1.0 }\n'
        + '[[configurations]]\nlearning_rate = -1\nmodel.activaton = "relu"\n'
        + '[[configurations]]\nname = ""\n"training.learning_rate" = 1\nlearning_rate = 1\n'
        + '[[configurations]]\nfrobnicate = 3\ntraining.precision = "float64"\ndata.source = "wine"\nseed = 1\n'
    )
    known = (
        "name, model.hidden, model.activation, model.initializer, model.batch_norm, model.batch_norm_affine, "
        "model.batch_norm_epsilon, model.dropout, model.dropout_position, model.dropout_layers, model.dropout_scaling, "
        "model.skip_connections, model.output, "
        "training.epochs, training.batch_size, training.optimizer, training.reduction, "
        "learning_rate, weight_decay, momentum, training.class_weight, training.order, model.loss"
    )
    line = "must be 1 to 200 characters of text, no control characters, no spaces around it"
    why = "it sets how exactly to compute, not what to train: make one study for each"
    search = "{ learning_rate = { low = 0.1, high = 1.0 } }"
    never = "cannot differ within a study"
    assert problems(text) == [
        "  seeds: must be a whole number from 1 to 10000000 (got 0)",
        '  sampler.name: must be none with [[configurations]], which are not sampled (got "tpe"): leave it out',
        f"  search: must not be set together with [[configurations]] (got {search}): keep one of them",
        "  configurations[0].learning_rate: must be a number above 0 and at most 1e+12 (got -1)",
        '  configurations[0].model.activaton: unknown key; did you mean "model.activation"?',
        f'  configurations[1].name: {line} (got "")',
        "  configurations[1].learning_rate: must be given once (got training.learning_rate too): keep one",
        f"  configurations[2].frobnicate: unknown key; known are {known}",
        f'  configurations[2].training.precision: {never} (got "float64"): {why}',
        f'  configurations[2].data.source: {never} (got "wine"): make one study for each',
        f"  configurations[2].seed: {never} (got 1): make one study for each",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + "configurations = []", "configurations: must be a list of 1 to 10000 tables"),
        (HEAD + "configurations = 3", "configurations: must be a list of 1 to 10000 tables"),
        (HEAD + "configurations = [1]", "configurations[0]: must be a table, [[configurations]] (got 1)"),
        (HEAD + "seeds = 3", "seeds: is only valid with [[configurations]] (got 3): leave it out"),
        (HEAD + "seed = 1\n[training]\nseeds = 3", 'did you mean "seeds" at the top of the file'),
        (
            HEAD + '[sampler]\nname = "none"',
            'sampler.name: is only valid with [[configurations]] (got "none")',
        ),
        (
            "trials = 9\nseeds = 2\n" + HEAD + TWO,
            "trials: must be 4, the 2 configurations times 2 seeds (got 9): leave it out",
        ),
        (
            "seeds = 9999999\n" + HEAD + TWO,
            "seeds: must make at most 10000000 trials with 2 configurations (got 9999999): lower it",
        ),
        (
            HEAD + '[[configurations]]\nname = "a"\n[[configurations]]\nname = "a"\nlearning_rate = 1\n',
            'configurations[1].name: must not be repeated (got "a")',
        ),
        (
            HEAD + '[[configurations]]\nname = "a"\n[[configurations]]\nname = "b"\nlearning_rate = 0.1\n',
            'configurations[1]: must differ from "a", which trains the same (got "b"): remove one of them',
        ),
        (
            HEAD + '[[configurations]]\nmodel.loss = "mse"\n[[configurations]]\n',
            "configurations[1].model.loss: must be set if another configuration sets it",
        ),
        (
            'metric = "validation_loss"\n'
            + HEAD
            + 'model.loss = "cross_entropy"\n[[configurations]]\nmodel.loss = "mse"\n[[configurations]]\n',
            "metric: must not be the loss if losses differ",
        ),
    ],
)
def test_contradictory_configurations_are_refused(text: str, problem: str) -> None:
    """Each contradiction is one problem, with its remedy."""
    (found,) = problems(text)
    assert problem in found


def test_losses_may_differ_if_accuracy_compares_them() -> None:
    """Configurations may differ in their loss if each names one and accuracy is the metric."""
    text = HEAD + '[[configurations]]\nmodel.loss = "mse"\n[[configurations]]\nmodel.loss = "cross_entropy"\n'
    spec = parse_study(text, source="x")
    assert [dict(exact.params) for exact in spec.configurations] == [
        {"model.loss": "mse"},
        {"model.loss": "cross_entropy"},
    ]
