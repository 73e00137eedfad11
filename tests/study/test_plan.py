"""The plan that a dry run prints."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import StudyFileError
from hpsearch.study.plan import (
    Plan,
    Span,
    check_fits,
    epoch_span,
    parameter_count,
    plan,
    with_fitting_batches,
    with_rank,
)
from hpsearch.study.spec import (
    DEFAULT_SEARCH,
    Choices,
    DataSpec,
    Dimension,
    ExactConfiguration,
    ModelSpec,
    ObjectiveSpec,
    PruningSpec,
    Range,
    RankName,
    SamplerSpec,
    StudySpec,
    TrainingSpec,
)
from hpsearch.verdicts import Cause

FATAL = (
    "fatal verdicts (log_zero, diverged_lr, exploding, dead_relu_total, dead_relu_partial, born_dead, "
    "neg_plateau, lr_too_low)"
)
DIGITS = StudySpec(name="digits", trials=200, data=DataSpec(source="digits"))


def searching(*dimensions: Dimension) -> StudySpec:
    """Return a study that searches `dimensions`."""
    return replace(DIGITS, search=dimensions)


def planned(spec: StudySpec) -> Plan:
    """Return the plan on the training part of digits."""
    return plan(spec, training_examples=1438, inputs=64, outputs=10)


def test_the_plan_of_the_main_job() -> None:
    """A plan has the amount of work, and describes the search and the pruning in words."""
    assert planned(DIGITS) == Plan(
        name="digits",
        trials=200,
        inputs=64,
        outputs=10,
        epochs=Span(least=20, most=20),
        steps_per_epoch=Span(least=15, most=15),
        parameters=Span(least=4810, most=4810),
        search=("learning_rate: 1e-06 to 1, logarithmic", "weight_decay: 1e-08 to 0.1, logarithmic"),
        sampler="tpe, after 10 random trials",
        pruning=f"{FATAL}; asha with reduction factor 2",
    )


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_an_epoch_has_every_example(examples: int, size: int) -> None:
    """The steps of an epoch cover the training part; one step fewer would not."""
    if size > examples:
        return
    spec = replace(DIGITS, training=TrainingSpec(batch_size=size))
    steps = plan(spec, training_examples=examples, inputs=1, outputs=1).steps_per_epoch
    assert steps.is_fixed
    assert (steps.most - 1) * size < examples <= steps.most * size


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (ModelSpec(hidden=()), 650),
        (ModelSpec(hidden=(64,)), 4810),
        (ModelSpec(hidden=(3, 2), batch_norm=True), 64 * 3 + 3 + 3 * 2 + 2 + 2 * 10 + 10 + 2 * (3 + 2)),
        (ModelSpec(hidden=(3, 2), batch_norm=True, batch_norm_affine=False), 64 * 3 + 3 + 8 + 30),
    ],
)
def test_weights_biases_gamma_and_beta_are_counted(model: ModelSpec, count: int) -> None:
    """The count includes weights and biases, and gamma and beta of batch normalization."""
    assert parameter_count(model, inputs=64, outputs=10) == count


def test_searched_shapes_give_a_span() -> None:
    """If the shape is searched, a plan has the sizes of the smallest and the largest network."""
    told = planned(
        searching(
            Choices(name="model.hidden", choices=("[8]", "[]", "[64, 64]")),
            Choices(name="model.batch_norm", choices=(True, False)),
        )
    )
    assert not told.parameters.is_fixed
    assert str(told.parameters) == f"610 to {64 * 64 + 64 + 64 * 64 + 64 + 650 + 4 * 64}"


def test_searched_batches_and_epochs_give_spans() -> None:
    """The largest minibatch gives the fewest steps."""
    told = planned(
        searching(
            Range(name="training.batch_size", low=16.0, high=256.0, log=True, integer=True),
            Choices(name="training.epochs", choices=(20, 5, 10)),
        )
    )
    assert (str(told.steps_per_epoch), str(told.epochs)) == ("6 to 90", "5 to 20")


def test_the_epochs_of_a_trial_are_fixed_or_searched() -> None:
    """The span of epochs is that of the search, or the study's own number if it is not searched."""
    ranged = Range(name="training.epochs", low=2.0, high=30.0, integer=True)
    listed = Choices(name="training.epochs", choices=(5, 50, 10))
    assert epoch_span(DIGITS) == Span(least=20, most=20)
    assert epoch_span(searching(ranged)) == Span(least=2, most=30)
    assert epoch_span(searching(listed)) == Span(least=5, most=50)


@pytest.mark.parametrize(
    ("dimension", "text"),
    [
        (Range(name="momentum", low=0.0, high=0.9), "momentum: 0 to 0.9"),
        (
            Range(name="training.batch_size", low=100_000.0, high=9_000_000.0, step=100_000.0, integer=True),
            "training.batch_size: 100000 to 9000000, in steps of 100000",
        ),
        (
            Choices(name="model.initializer", choices=("he", '{"normal": 0.01}')),
            'model.initializer: one of he, {"normal": 0.01}',
        ),
        (Choices(name="model.batch_norm", choices=(True, False)), "model.batch_norm: one of true, false"),
    ],
)
def test_dimensions_in_words(dimension: Dimension, text: str) -> None:
    """Each searched dimension is one line; whole numbers stay whole."""
    spec = searching(dimension)
    assert plan(spec, training_examples=10**7, inputs=1, outputs=1).search == (text,)


@pytest.mark.parametrize(
    ("sampler", "text"),
    [
        (SamplerSpec(name="random"), "random"),
        (SamplerSpec(name="grid", points=7), "grid, 7 values of each range"),
        (SamplerSpec(name="gp", startup_trials=3), "gp, after 3 random trials"),
    ],
)
def test_samplers_in_words(sampler: SamplerSpec, text: str) -> None:
    """The text has only the settings that a sampler uses."""
    assert planned(replace(DIGITS, sampler=sampler)).sampler == text


@pytest.mark.parametrize(
    ("pruning", "text"),
    [
        (PruningSpec(diagnosis=False, rank="none"), "none"),
        (PruningSpec(rank="none"), FATAL),
        (
            PruningSpec(rank="median", startup_trials=1, warmup_epochs=0),
            f"{FATAL}; median after 1 trial and no epochs",
        ),
        (PruningSpec(diagnosis=False), "asha with reduction factor 2"),
        (
            PruningSpec(diagnosis=False, rank="asha", warmup_epochs=3),
            "asha with reduction factor 2 from 3 epochs on",
        ),
        (
            PruningSpec(rank="percentile", percentile=12.5),
            f"{FATAL}; best 12.5 percent after 5 trials and 1 epoch",
        ),
        (
            PruningSpec(rank="hyperband", reduction_factor=3),
            f"{FATAL}; hyperband with reduction factor 3",
        ),
        (
            PruningSpec(rank="none", fatal=(Cause.DIVERGED_LR, Cause.OVERFIT), audit=0.125),
            "fatal verdicts (diverged_lr, overfit), 12.5 percent of them audited",
        ),
        (
            PruningSpec(
                rank="none", fatal=(Cause.DIVERGED_LR, Cause.LR_TOO_LOW), expected=(Cause.LR_TOO_LOW,)
            ),
            "fatal verdicts (diverged_lr); expected, so never fatal: lr_too_low",
        ),
        (PruningSpec(rank="none", fatal=(), audit=0.5), "none"),
    ],
)
def test_pruning_in_words(pruning: PruningSpec, text: str) -> None:
    """The text has only the settings that a pruner uses."""
    assert planned(replace(DIGITS, pruning=pruning)).pruning == text


@pytest.mark.parametrize(
    ("changes", "rank", "warmup"),
    [
        ({"trials": 99}, "median", 1),
        ({"trials": 100}, "asha", 1),
        ({"trials": 100, "training": TrainingSpec(epochs=200)}, "asha", 6),
        (
            {"trials": 100, "search": (Range(name="training.epochs", low=10, high=64, integer=True),)},
            "asha",
            2,
        ),
        ({"trials": 100, "pruning": PruningSpec(warmup_epochs=4)}, "asha", 4),
        ({"trials": 100, "pruning": PruningSpec(startup_trials=20)}, "median", 1),
        ({"trials": 100, "objective": ObjectiveSpec(function="train:objective")}, "median", 1),
        ({"trials": 100, "configurations": (ExactConfiguration(name="x", params=()),)}, "none", 1),
        ({"trials": 5, "pruning": PruningSpec(rank="hyperband")}, "hyperband", 1),
    ],
)
def test_the_pruner_follows_from_the_study(changes: dict[str, Any], rank: RankName, warmup: int) -> None:
    """Large studies of the built-in network get asha with five halvings at most; an explicit pruner is kept."""
    resolved = with_rank(replace(DIGITS, **changes)).pruning
    assert (resolved.rank, resolved.warmup_epochs) == (rank, warmup)
    again = replace(DIGITS, **(changes | {"pruning": resolved}))
    assert with_rank(again) == again


def test_a_minibatch_larger_than_the_training_part_is_refused() -> None:
    """A minibatch has at most all training examples."""
    spec = replace(DIGITS, training=TrainingSpec(batch_size=5000))
    with pytest.raises(StudyFileError) as caught:
        planned(spec)
    assert str(caught.value) == (
        "digits: 1 problem\n"
        "  training.batch_size: must be at most the 1438 training examples (got 5000): lower it"
    )
    check_fits(spec, 5000)


def test_searched_minibatches_are_refused_by_place() -> None:
    """A searched batch size must fit at its upper end, or choice by choice; the fixed one is ignored."""
    high = searching(Range(name="training.batch_size", low=1.0, high=60.0, integer=True))
    choices = searching(*DEFAULT_SEARCH, Choices(name="training.batch_size", choices=(70, 50, 60)))
    for spec, lines in [
        (
            high,
            ["search.training.batch_size.high: must be at most the 50 training examples (got 60): lower it"],
        ),
        (
            choices,
            [
                f"search.training.batch_size.choices[{i}]: must be at most the 50 training examples"
                f" (got {size}): lower it"
                for i, size in ((0, 70), (2, 60))
            ],
        ),
    ]:
        with pytest.raises(StudyFileError) as caught:
            check_fits(spec, 50)
        assert [str(problem) for problem in caught.value.problems] == lines
    check_fits(high, 60)


@pytest.mark.parametrize(
    ("examples", "size", "fitted"),
    [(120, 100, 100), (99, 100, 16), (50, 100, 8), (3, 100, 2), (90, 128, 90), (90, 64, 64)],
)
def test_batch_sizes_are_lowered_to_the_training_part(examples: int, size: int, fitted: int) -> None:
    """The default leaves four steps in an epoch, another size becomes the whole part, and each change has a note."""
    spec, notes = with_fitting_batches(
        replace(DIGITS, training=replace(DIGITS.training, batch_size=size)), examples
    )
    assert spec.training.batch_size == fitted
    assert len(notes) == (fitted != size)
    assert all(f"got {size}" in note and f"{fitted} is used" in note for note in notes)
    assert with_fitting_batches(spec, examples) == (spec, ())


@pytest.mark.parametrize(
    ("dimension", "fitted"),
    [
        (
            Range(name="training.batch_size", low=8.0, high=128.0, log=True, integer=True),
            Range(name="training.batch_size", low=8.0, high=50.0, log=True, integer=True),
        ),
        (
            Range(name="training.batch_size", low=16.0, high=128.0, step=16.0, integer=True),
            Range(name="training.batch_size", low=16.0, high=48.0, step=16.0, integer=True),
        ),
        (
            Choices(name="training.batch_size", choices=(16, 64, 128)),
            Choices(name="training.batch_size", choices=(16, 50)),
        ),
        (
            Range(name="training.batch_size", low=64.0, high=128.0, integer=True),
            Range(name="training.batch_size", low=64.0, high=128.0, integer=True),
        ),
    ],
)
def test_searched_batch_sizes_are_lowered_too(dimension: Dimension, fitted: Dimension) -> None:
    """A search keeps the sizes that fit; a range without any is left to the check that refuses it."""
    spec, notes = with_fitting_batches(searching(*DEFAULT_SEARCH, dimension), 50)
    assert spec.search == (*DEFAULT_SEARCH, fitted)
    assert len(notes) == (fitted != dimension)
