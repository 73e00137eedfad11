"""Fields of [model] that exclude each other."""

import pytest

from hpsearch.errors import StudyFileError
from hpsearch.study.reader import parse_study

HEAD = 'name = "first"\n[data]\nsource = "digits"\n'
SKIP_RULE = "needs a hidden layer that is as wide as the hidden layer before it, to which it can be added"
NORM_RULE = 'must be after_activation if model.batch_norm is false (got "before_normalization")'
NORM_REMEDY = "set model.batch_norm = true for every trial"


def problems_of(lines: str) -> list[str]:
    """Return the problems of a study with `lines`, line by line; [] if it is valid."""
    try:
        parse_study(f"{HEAD}{lines}", source="x.toml")
    except StudyFileError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("lines", "where", "remedy"),
    [
        ("[model]\nskip_connections = true", "model", "[64, 64]"),
        ("[model]\nskip_connections = true\nhidden = [32, 16, 32]", "model", "[32, 32]"),
        ("[model]\nskip_connections = true\nhidden = []", "model", "[64, 64]"),
        ("[search]\nmodel.skip_connections = { choices = [false, true] }", "search.model", "[64, 64]"),
        (
            "[model]\nskip_connections = true\n[search]\nmodel.hidden = { choices = [[8], [9, 8]] }",
            "model",
            "[8, 8]",
        ),
    ],
)
def test_a_skip_needs_two_neighbours_of_one_width(lines: str, where: str, remedy: str) -> None:
    """Skips that no network of the study can have are refused, with a network that can have them."""
    assert problems_of(lines) == [
        f"{where}.skip_connections: {SKIP_RULE} (got true): write model.hidden = {remedy}, or leave it out"
    ]


@pytest.mark.parametrize(
    "lines",
    [
        "[model]\nskip_connections = true\nhidden = [32, 16, 16]",
        "[model]\nskip_connections = true\n[search]\nmodel.hidden = { choices = [[8], [8, 8]] }",
        "[model]\nhidden = [8, 8]\n[search]\nmodel.skip_connections = { choices = [false, true] }",
        "[search]\nmodel.skip_connections = { choices = [false] }",
        '[model]\nbatch_norm = true\ndropout_position = "before_normalization"',
        (
            "[search]\nmodel.batch_norm = { choices = [true] }\n"
            'model.dropout_position = { choices = ["after_activation", "before_normalization"] }'
        ),
        '[model]\ndropout_layers = "last"',
    ],
)
def test_a_skip_of_one_trial_is_enough(lines: str) -> None:
    """A skip that one network of the search can have is valid, and a position that all can have."""
    assert problems_of(lines) == []


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        ('[model]\ndropout_position = "before_normalization"', "model"),
        (
            (
                '[model]\ndropout_position = "before_normalization"\n'
                "[search]\nmodel.batch_norm = { choices = [true, false] }"
            ),
            "model",
        ),
        (
            '[search]\nmodel.dropout_position = { choices = ["after_activation", "before_normalization"] }',
            "search.model",
        ),
    ],
)
def test_dropout_before_the_normalization_needs_one_in_every_trial(lines: str, where: str) -> None:
    """Dropout before the normalization is refused if a trial can have no normalization."""
    assert problems_of(lines) == [f"{where}.dropout_position: {NORM_RULE}: {NORM_REMEDY}"]


SKIP_REMEDY = "write model.hidden = [8, 8], or leave it out"


def test_exact_configurations_are_checked_one_by_one() -> None:
    """Omitted values are fixed, and only configurations with an impossible network are reported."""
    lines = (
        "[model]\nskip_connections = true\n"
        "[[configurations]]\nmodel.hidden = [8, 8]\n"
        "[[configurations]]\nmodel.hidden = [8, 9]\n"
        "[[configurations]]\nmodel.skip_connections = false\n"
        "[[configurations]]\nmodel.skip_connections = false\n"
        'model.dropout_position = "before_normalization"'
    )
    assert problems_of(lines) == [
        f"configurations[1].model.skip_connections: {SKIP_RULE} (got true): {SKIP_REMEDY}",
        f"configurations[3].model.dropout_position: {NORM_RULE}: {NORM_REMEDY}",
    ]


def test_contradictions_are_reported_with_other_problems() -> None:
    """Contradictions are reported together with wrong values."""
    lines = '[model]\nskip_connections = true\ndropout_position = "before_normalization"\ndropout = 2'
    assert [problem.partition(":")[0] for problem in problems_of(lines)] == [
        "model.skip_connections",
        "model.dropout_position",
        "model.dropout",
    ]
