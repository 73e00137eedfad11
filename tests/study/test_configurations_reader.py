"""The list [[configurations]] of a study file, and `seeds`."""

from pathlib import Path

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study.reader import parse_study, read_study

HEAD = 'name = "x"\ndata.source = "digits"\n'
TWO = "[[configurations]]\nlearning_rate = 0.1\n[[configurations]]\nlearning_rate = 0.2\n"


def problems(text: str) -> list[str]:
    """Return the lines of what is wrong with the text."""
    with pytest.raises(StudyFileError) as caught:
        parse_study(text, source="x.toml")
    return str(caught.value).splitlines()[1:]


def test_the_budget_is_configurations_times_seeds() -> None:
    """Without trials the budget is the product; without seeds each is trained once, or as often as trials say."""
    assert parse_study(HEAD + TWO, source="x").trials == 2
    assert parse_study("seeds = 5\n" + HEAD + TWO, source="x").trials == 10
    assert parse_study("seeds = 5\ntrials = 10\n" + HEAD + TWO, source="x").trials == 10
    assert parse_study("trials = 7\n" + HEAD + TWO, source="x").trials == 7


def test_the_command_line_may_ask_for_any_budget(tmp_path: Path) -> None:
    """`--trials` wins over seeds, to try a study or to continue with it."""
    file = tmp_path / "x.toml"
    file.write_text("seeds = 5\n" + HEAD + TWO)
    assert read_study(file, trials=3).trials == 3


def test_nothing_is_sampled_and_nothing_outranked_unless_asked() -> None:
    """The sampler is none, and so is the rank; one that the file asks for stays, and diagnosis is as ever."""
    spec = parse_study(HEAD + TWO, source="x")
    assert (spec.sampler.name, spec.pruning.rank, spec.pruning.diagnosis) == ("none", "none", True)
    assert parse_study(HEAD + '[pruning]\nrank = "median"\n' + TWO, source="x").pruning.rank == "median"


def test_a_configuration_without_a_name_is_named_by_what_it_sets() -> None:
    """Names are those that trials carry; one that sets nothing has the fixed values."""
    text = (
        HEAD
        + '[[configurations]]\n"training.learning_rate" = 0.5\nmodel.hidden = [8]\n[[configurations]]\n'
        + '[[configurations]]\nname = "mine"\nmodel.initializer = { normal = 1 }\n'
    )
    names = [exact.name for exact in parse_study(text, source="x").configurations]
    assert names == ["learning_rate 0.5, model.hidden [8]", "the fixed values", "mine"]


def test_every_problem_is_said_at_once_with_its_key() -> None:
    """Wrong values, unknown keys and wrong names of all configurations are told together."""
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
        "learning_rate, weight_decay, momentum, model.loss"
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
        (HEAD + "seeds = 3", "seeds: goes with [[configurations]] only (got 3): leave it out"),
        (HEAD + "seed = 1\n[training]\nseeds = 3", 'did you mean "seeds" at the top of the file'),
        (HEAD + '[sampler]\nname = "none"', 'sampler.name: goes with [[configurations]] only (got "none")'),
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
            'configurations[1].name: must not be there twice (got "a")',
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
            "metric: must be validation_accuracy if losses differ",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(text: str, problem: str) -> None:
    """Each is one problem, with the remedy."""
    (found,) = problems(text)
    assert problem in found


def test_losses_may_differ_where_accuracy_compares_them() -> None:
    """A study of losses names each, and has accuracy as its metric."""
    text = HEAD + '[[configurations]]\nmodel.loss = "mse"\n[[configurations]]\nmodel.loss = "cross_entropy"\n'
    spec = parse_study(text, source="x")
    assert [dict(exact.params) for exact in spec.configurations] == [
        {"model.loss": "mse"},
        {"model.loss": "cross_entropy"},
    ]
