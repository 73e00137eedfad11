"""The proposals of narrowing: bounds with reasons, none into a region of deaths, none empty."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.search.narrowing import (
    CannotNarrowError,
    Proposal,
    Revision,
    lies_inside,
    propose,
    warm_start,
)
from hpsearch.study.spec import Choices, DataSpec, Dimension, Range, SamplerSpec, StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding

RATE = Range(name="learning_rate", low=1e-6, high=1e-2, log=True)
DECAY = Range(name="weight_decay", low=1e-8, high=1e-4, log=True)
DROPOUT = Range(name="model.dropout", low=0.0, high=0.5)
STEPPED = Range(name="model.dropout", low=0.0, high=0.5, step=0.125)
BATCH = Range(name="training.batch_size", low=16.0, high=256.0, log=True, integer=True)
EPOCHS = Range(name="training.epochs", low=5.0, high=50.0, step=5.0, integer=True)
KIND = Choices(name="model.activation", choices=("relu", "tanh", "elu"))
SEARCH: tuple[Dimension, ...] = (RATE, DECAY, STEPPED, BATCH, KIND)


def spec(*search: Dimension, **changes: object) -> StudySpec:
    """Return a study that searches `search`."""
    return replace(StudySpec(name="x", data=DataSpec(source="digits"), search=search), **changes)  # type: ignore[arg-type]


def complete(value: float, **params: ParameterValue) -> Trial:
    """Return a complete trial; two underscores in a name stand for its dot."""
    return Trial(number=0, state=TrialState.COMPLETE, params=_dotted(params), value=value)


def died(**params: ParameterValue) -> Trial:
    """Return a trial that diagnosis stopped."""
    finding = Finding(cause=Cause.DIVERGED_LR, confidence=1.0, first_step=0, evidence={}, remedy="")
    return Trial(number=0, state=TrialState.PRUNED, params=_dotted(params), value=None, finding=finding)


def _dotted(params: dict[str, ParameterValue]) -> dict[str, ParameterValue]:
    return {name.replace("__", "."): value for name, value in params.items()}


def numbered(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials with numbers from 0."""
    return [replace(trial, number=number) for number, trial in enumerate(trials)]


def revised(dimension: Dimension, trials: Sequence[Trial]) -> Revision:
    """Return the proposal for the one dimension of a study."""
    (revision,) = propose(spec(dimension), numbered(trials), maximize=True).revisions
    return revision


def rates(best: Sequence[float], others: Sequence[float]) -> list[Trial]:
    """Return complete trials, of which those with the best rates have better values."""
    return [
        *(complete(0.9 - i / 1000, learning_rate=rate) for i, rate in enumerate(best)),
        *(complete(0.5 - i / 1000, learning_rate=rate) for i, rate in enumerate(others)),
    ]


SPREAD = [10 ** (-6 + 4 * (i + 0.5) / 30) for i in range(30)]


def test_an_optimum_at_the_edge_widens_the_range() -> None:
    """The best five lie at 0.0058 to 0.0093 of 1e-6 to 1e-2: the range grows upwards and loses its low decades."""
    found = revised(
        RATE, rates([0.0092, 0.0093, 0.0058, 0.0075, 0.0082], [rate for rate in SPREAD if rate < 5e-3])
    )
    assert isinstance(found.after, Range)
    assert found.change == "moved"
    assert found.after.high == 0.1
    assert 1e-3 < found.after.low < 0.0058
    assert found.reasons == (
        "the best 5 reach down to 0.0058; the rest is margin",
        "5 of the best 5 sit at the upper edge, where no trial died",
    )


def test_close_best_trials_narrow_both_sides() -> None:
    """A cluster is kept with a margin of its span over k - 1, rounded outwards."""
    found = revised(RATE, rates([1e-4, 1.4e-4, 2e-4, 1.1e-4, 1.7e-4], SPREAD))
    assert found.after == replace(RATE, low=8.4e-5, high=2.4e-4)
    assert found.change == "narrowed"


def test_spread_best_trials_keep_the_range() -> None:
    """If the best trials are spread over the range, nothing is cut off."""
    found = revised(RATE, rates([2e-6, 1e-5, 1e-4, 1e-3, 5e-3], SPREAD))
    assert (found.after, found.change) == (RATE, "kept")
    assert found.reasons[0].startswith("kept: the best 5 are spread over 85 % of the range")


def test_deaths_cut_a_range_with_spread_best_trials() -> None:
    """If the best are spread and all trials beyond the last survivor died, that part is removed."""
    alive = [rate for rate in SPREAD if rate < 1e-3]
    trials = rates([2e-6, 1e-5, 5e-5, 2e-4, 7e-4], alive) + [
        died(learning_rate=2e-3 + i / 1e3) for i in range(8)
    ]
    found = revised(RATE, trials)
    assert isinstance(found.after, Range)
    assert found.after.low == RATE.low
    assert max(alive) < found.after.high < 2e-3
    assert found.reasons[1] == f"all 8 trials above {found.after.high:g} died (diverged_lr)"


def test_a_death_at_the_edge_prevents_widening() -> None:
    """If the best lie at the edge but one trial there died, the bound is kept, with both as its reason."""
    best = [0.0092, 0.0093, 0.0058, 0.0075, 0.0082]
    found = revised(RATE, [*rates(best, SPREAD[:20]), died(learning_rate=0.007)])
    assert isinstance(found.after, Range)
    assert found.after.high == RATE.high
    assert found.reasons[1] == "kept: 5 of the best 5 sit at the upper edge, but 1 trial there died"


@pytest.mark.parametrize(
    ("dimension", "value"),
    [(DROPOUT, 0.001), (replace(DROPOUT, high=0.999), 0.0), (replace(BATCH, log=False), 255)],
)
def test_natural_limits_are_kept(dimension: Range, value: float) -> None:
    """Dropout ends at 0, and minibatches at the data's size: such a bound is kept, with that reason."""
    name = dimension.name.replace(".", "__")
    others = [dimension.low + (dimension.high - dimension.low) * (i + 0.5) / 20 for i in range(20)]
    trials = [complete(0.9, **{name: value}) for _ in range(5)] + [
        complete(0.1, **{name: other}) for other in others
    ]
    found = revised(dimension, trials)
    assert isinstance(found.after, Range)
    end = (found.after.low, dimension.low) if value < 1 else (found.after.high, dimension.high)
    assert end[0] == end[1]
    assert any(reason.endswith("which is the limit of the field") for reason in found.reasons)


def test_steps_and_whole_numbers_are_kept() -> None:
    """A range with steps grows by whole steps, and a whole number stays whole."""
    trials = [complete(0.9, training__epochs=50) for _ in range(5)]
    trials += [complete(0.1, training__epochs=5 * (i % 9 + 1)) for i in range(20)]
    found = revised(EPOCHS, trials)
    assert found.after == replace(EPOCHS, low=45.0, high=65.0)


def test_choices_that_always_died_or_never_won_are_removed() -> None:
    """Each removed choice has a reason; one with too few trials is kept."""
    many = replace(KIND, choices=("relu", "tanh", "elu", "selu"))
    trials = [
        *(complete(0.9 - i / 100, model__activation="tanh") for i in range(12)),
        *(complete(0.5 - i / 100, model__activation="relu") for i in range(40)),
        *(died(model__activation="elu") for _ in range(8)),
        complete(0.4, model__activation="selu"),
    ]
    found = revised(many, trials)
    assert isinstance(found.after, Choices)
    assert found.after.choices == ("tanh", "selu")
    assert found.reasons == (
        "without relu: none of the best 6 has it, of 40 trials that do",
        "without elu: all 8 trials with it died",
    )


def test_few_trials_cannot_narrow() -> None:
    """With fewer than ten ranked trials the error has their number and a remedy."""
    trials = numbered([*rates(SPREAD[:9], []), *(died(learning_rate=0.01) for _ in range(20))])
    with pytest.raises(
        CannotNarrowError, match=r'study "x": must have at least 10 complete trials .*\(got 9\)'
    ):
        propose(spec(RATE), trials, maximize=True)


def test_other_clients_trials_count() -> None:
    """Trials without a verdict of ours count; those without a parameter are no evidence about it."""
    foreign = [replace(trial, params={}) for trial in rates([], SPREAD[:3])]
    trials = numbered([*rates([1e-4, 1.4e-4, 2e-4, 1.1e-4, 1.7e-4], SPREAD), *foreign])
    proposal = propose(spec(RATE), trials, maximize=True)
    assert proposal.revisions[0].change == "narrowed"
    assert all(trial.params for trial in proposal.inside)
    empty = numbered([replace(trial, params={}) for trial in rates(SPREAD, [])])
    assert not propose(spec(RATE, KIND), empty, maximize=True).changes


def test_a_follow_up_begins_with_the_best_inside() -> None:
    """It begins with at most five trials, and a fifth of the budget; a grid begins with none."""
    trials = numbered(rates([1e-4, 1.4e-4, 2e-4, 1.1e-4, 1.7e-4, 1e-5], SPREAD))
    narrow = replace(RATE, low=8e-5, high=1.8e-4)
    assert [one["learning_rate"] for one in warm_start(spec(narrow), trials, maximize=True)][:4] == [
        1e-4, 1.4e-4, 1.1e-4, 1.7e-4,
    ]  # fmt: skip
    assert len(warm_start(spec(RATE), trials, maximize=True)) == 5
    assert len(warm_start(spec(RATE, trials=12), trials, maximize=True)) == 2
    assert len(warm_start(spec(RATE, trials=1), trials, maximize=True)) == 1
    assert warm_start(spec(RATE, sampler=SamplerSpec(name="grid")), trials, maximize=True) == []


@st.composite
def histories(draw: Callable[..., object]) -> list[Trial]:
    """Draw a study's trials over every kind of dimension, with deaths and gaps, around any optimum."""
    count = draw(st.integers(0, 80))
    seed = draw(st.randoms(use_true_random=False))
    rate_scale = draw(st.sampled_from([0.02, 0.1, 1.0]))
    centre = draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    deadly = draw(st.floats(0.2, 1.2))
    chance = draw(st.sampled_from([0.0, 0.02, 0.2]))
    assert isinstance(chance, float)
    assert isinstance(count, int)
    assert isinstance(rate_scale, float) and isinstance(centre, float) and isinstance(deadly, float)  # noqa: PT018
    trials = []
    for _ in range(count):
        where = seed.random()  # type: ignore[attr-defined]
        params: dict[str, ParameterValue] = {
            "learning_rate": min(max(1e-6 * 1e4**where, 1e-6), 1e-2),
            "weight_decay": min(max(1e-8 * 1e4 ** seed.random(), 1e-8), 1e-4),  # type: ignore[attr-defined]
            "model__dropout": 0.125 * seed.randrange(5),  # type: ignore[attr-defined]
            "training__batch_size": seed.randrange(16, 257),  # type: ignore[attr-defined]
            "model__activation": seed.choice(("relu", "tanh", "elu")),  # type: ignore[attr-defined]
        }
        if where > deadly or seed.random() < chance:  # type: ignore[attr-defined]
            trials.append(died(**params))
        else:
            noise = 0.1 * seed.random()  # type: ignore[attr-defined]
            trials.append(complete(math.exp(-(((where - centre) / rate_scale) ** 2)) + noise, **params))
    return numbered(trials)


def proposal_of(trials: Sequence[Trial]) -> Proposal | None:
    """Return the proposal, or None if there are too few trials."""
    try:
        return propose(spec(*SEARCH), trials, maximize=True)
    except CannotNarrowError:
        return None


@given(histories())
def test_every_bound_is_sound_and_has_a_reason(trials: list[Trial]) -> None:
    """A range is never empty, keeps its scale, steps and kind, and leaves the old one only with a reason."""
    proposal = proposal_of(trials)
    if proposal is None:
        assert sum(trial.is_ranked for trial in trials) < 10
        return
    for before, revision in zip(SEARCH, proposal.revisions, strict=True):
        after = revision.after
        assert revision.before == before
        assert all(revision.reasons)
        if isinstance(before, Choices):
            assert isinstance(after, Choices)
            assert after.choices
            assert set(after.choices) <= set(before.choices)
            continue
        assert isinstance(after, Range)
        assert replace(after, low=before.low, high=before.high) == before
        assert after.low < after.high
        for is_same, is_out, reason in (
            (after.low == before.low, after.low < before.low, revision.reasons[0]),
            (after.high == before.high, after.high > before.high, revision.reasons[1]),
        ):
            if is_out:
                assert reason.endswith("edge, where no trial died")
            elif not is_same:
                assert reason.endswith("the rest is margin") or " died" in reason
        if before.step is not None:
            steps = (after.high - after.low) / before.step
            assert steps == pytest.approx(round(steps))
        if before.integer:
            assert (after.low, after.high) == (round(after.low), round(after.high))


@given(histories())
def test_no_range_widens_into_a_region_of_deaths(trials: list[Trial]) -> None:
    """If a bound moves out, no trial in the outermost tenth of the old range died."""
    proposal = proposal_of(trials)
    if proposal is None:
        return
    after = proposal.revisions[0].after
    assert isinstance(after, Range)
    dead = [float(t.params["learning_rate"]) for t in trials if t.state is TrialState.PRUNED]
    if after.high > RATE.high:
        assert not [rate for rate in dead if rate > 10**-2.4]
    if after.low < RATE.low:
        assert not [rate for rate in dead if rate < 10**-5.6]


@given(histories())
def test_the_trials_inside_are_complete(trials: list[Trial]) -> None:
    """The listed trials are exactly those in the new space, and the best choice is kept."""
    proposal = proposal_of(trials)
    if proposal is None:
        return
    assert {t.number for t in proposal.inside} == {
        t.number for t in trials if lies_inside(t.params, proposal.search)
    }
    kinds = proposal.revisions[-1].after
    assert isinstance(kinds, Choices)
    assert proposal.best[0].params["model.activation"] in kinds.choices
