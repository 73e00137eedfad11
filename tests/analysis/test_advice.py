"""The advice of a finished search, and the conditions without any."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from hpsearch.analysis.advice import advice
from hpsearch.study.spec import Choices, DataSpec, Dimension, ExactConfiguration, Range, StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState
from hpsearch.verdicts import Cause, Finding
from hpsearch.worker.active_trial import with_audit_step

RATE = Range(name="learning_rate", low=1e-6, high=1.0, log=True)
DECAY = Range(name="weight_decay", low=1e-8, high=1e-1, log=True)
DROPOUT = Range(name="model.dropout", low=0.0, high=0.5)
BATCH = Range(name="training.batch_size", low=1.0, high=512.0, log=True, integer=True)


def advised(trials: Sequence[Trial], *search: Dimension, maximize: bool = True) -> str | None:
    """Return the advice of trials of a study that searches `search`."""
    numbered = [replace(trial, number=number) for number, trial in enumerate(trials)]
    spec = StudySpec(name="x", data=DataSpec(source="digits"), search=search)
    return advice(spec, numbered, maximize=maximize)


def well(value: float = 0.9, **params: ParameterValue) -> Trial:
    """Return a trial that completed."""
    return ended(TrialState.COMPLETE, Cause.HEALTHY, "Nothing.", value, **params)


def outranked(**params: ParameterValue) -> Trial:
    """Return a trial that was stopped by its rank."""
    return ended(TrialState.PRUNED, Cause.OUTRANKED, "Nothing.", 0.5, **params)


def died(cause: Cause = Cause.DIVERGED_LR, remedy: str = "Lower it.", **params: ParameterValue) -> Trial:
    """Return a trial that diagnosis stopped in its second epoch."""
    return ended(TrialState.PRUNED, cause, remedy, 0.1, **params)


def ended(state: TrialState, cause: Cause, remedy: str, value: float, **params: ParameterValue) -> Trial:
    """Return a trial; two underscores in a parameter's name are replaced by a dot."""
    return Trial(
        number=0,
        state=state,
        params={name.replace("__", "."): raw for name, raw in params.items()},
        value=value,
        finding=Finding(cause=cause, confidence=1.0, first_step=0, evidence={}, remedy=remedy),
        epochs=2,
    )


SURVIVORS = [outranked(learning_rate=10 ** (-4 + i / 8)) for i in range(28)]  # 1e-4 to 0.237
DEAD = [died(learning_rate=0.4 + i / 40) for i in range(17)]
SLOW = [died(Cause.LR_TOO_LOW, learning_rate=(1 + i) * 1e-6) for i in range(12)]


def test_a_deadly_upper_end_is_cut_off() -> None:
    """If every trial beyond the last survivor died, the bound is between it and the first death."""
    assert advised([*SURVIVORS, *DEAD], RATE) == (
        "no trial with a learning rate above 0.31 survived (0 of 17): lower `search.learning_rate.high`"
    )


def test_a_lower_end_without_progress_is_cut_off() -> None:
    """If all trials at the lower end were too slow, the advice is to raise it."""
    assert advised([*SURVIVORS, *SLOW], RATE) == (
        "no trial with a learning rate below 3.5e-05 made progress (0 of 12): raise `search.learning_rate.low`"
    )


def test_the_end_with_more_deaths_gets_the_advice() -> None:
    """The advice is about the end with more deaths; deaths at the other end do not weaken it."""
    both = advised([*SURVIVORS[:4], *SLOW, *DEAD], RATE)
    assert both is not None
    assert "above" in both
    assert "(0 of 17)" in both


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        ([*SURVIVORS, *DEAD[:4]], "four deaths are too few"),
        ([*SURVIVORS, *DEAD, outranked(learning_rate=0.9)], "the last survivor is beyond most of the dead"),
        ([*DEAD], "without a survivor there is no bound"),
        (
            [SURVIVORS[0], *(died(learning_rate=0.01 + i / 100) for i in range(5))],
            "one survivor proves nothing",
        ),
        ([*SURVIVORS, *(replace(t, state=TrialState.FAILED) for t in DEAD)], "crashes are no deaths"),
        (
            [*SURVIVORS, *(replace(t, params={"learning_rate": 7.0}) for t in DEAD)],
            "they lie outside the range",
        ),
    ],
)
def test_a_bound_needs_evidence(trials: list[Trial], why: str) -> None:
    """A bound needs five deaths beyond every survivor, inside the range, and not by chance."""
    said = advised(trials, RATE)
    assert said is None or "no trial" not in said, why


def test_any_range_can_be_deadly() -> None:
    """Names that need their section keep it, whole numbers are bounds of their own, and linear ranges have a middle."""
    dropout = [
        *(outranked(model__dropout=0.01 * i) for i in range(20)),
        *(died(Cause.EXPLODING, model__dropout=0.4 + 0.01 * i) for i in range(6)),
    ]
    assert advised(dropout, DROPOUT) == (
        "no trial with model.dropout above 0.3 survived (0 of 6): lower `search.model.dropout.high`"
    )
    batches = [
        *(outranked(training__batch_size=8 + i) for i in range(20)),
        *(died(training__batch_size=1 + i) for i in range(7)),
    ]
    assert advised(batches, BATCH) == (
        "no trial with training.batch_size below 8 survived (0 of 7): raise `search.training.batch_size.low`"
    )


def test_a_narrow_gap_gets_more_digits() -> None:
    """The bound is between the last survivor and the first death, even if they are close to each other."""
    trials = [
        *(outranked(learning_rate=0.1234 - i * 1e-3) for i in range(12)),
        *(died(learning_rate=0.12345 + i * 1e-3) for i in range(9)),
    ]
    said = advised(trials, RATE)
    assert said is not None
    bound = float(said.split("above ")[1].split()[0])
    assert 0.1234 < bound < 0.12345


def test_audited_trials_are_neither_alive_nor_dead() -> None:
    """An audited trial does not count as a survivor in its region, unless it ended among the best."""
    poor = [audited(trial, 0.2) for trial in DEAD[::4]]
    trials = [*SURVIVORS, *(well(0.8, learning_rate=0.01) for _ in range(12)), *DEAD, *poor]
    said = advised(trials, RATE)
    assert said is not None
    assert "above 0.31 survived (0 of 17, not counting audited ones): lower" in said
    good = advised([*trials, audited(DEAD[-1], 0.99)], RATE)
    assert good is None or "no trial" not in good


def audited(trial: Trial, value: float) -> Trial:
    """Return the trial as it would have ended without being stopped."""
    assert trial.finding is not None
    return replace(
        trial,
        state=TrialState.COMPLETE,
        value=value,
        finding=with_audit_step(trial.finding, step=9),
        epochs=20,
    )


RANKED = [well(0.5 + i / 100, learning_rate=10 ** (-4 + 4 * i / 40)) for i in range(41)]


@pytest.mark.parametrize(
    ("trials", "maximize", "words"),
    [
        (RANKED, True, "upper edge of learning_rate: raise `search.learning_rate.high`"),
        (RANKED, False, None),
        (
            [replace(t, params={"learning_rate": 1e-6 / float(t.params["learning_rate"])}) for t in RANKED],
            True,
            "lower edge of learning_rate: lower `search.learning_rate.low`",
        ),
        (RANKED[-9:], True, None),
        ([well(learning_rate=0.9) for _ in range(30)], True, None),
    ],
)
def test_the_best_at_an_edge_extend_the_range(trials: list[Trial], maximize: bool, words: str | None) -> None:  # noqa: FBT001
    """If the best tenth is in the outer tenth of a range, but not all trials are, the range is extended."""
    said = advised(trials, RATE, DECAY, maximize=maximize)
    assert said == (None if words is None else f"the best trials are at the {words}")


def test_an_edge_that_cannot_be_moved_gives_no_advice() -> None:
    """No advice proposes a value that the study file refuses: a dropout below 0, a batch below 1."""
    for dimension, name in ((DROPOUT, "model__dropout"), (BATCH, "training__batch_size")):
        span = dimension.high - dimension.low
        trials = [well(1 - i / 50, **{name: dimension.low + span * (i / 41) ** 3}) for i in range(41)]
        assert advised(trials, dimension) is None
    narrow = replace(DROPOUT, low=0.2, high=0.7)
    trials = [well(1 - i / 50, model__dropout=0.2 + 0.5 * i / 41) for i in range(41)]
    assert advised(trials, narrow) == (
        "the best trials are at the lower edge of model.dropout: lower `search.model.dropout.low`"
    )


def unrelated(state: TrialState = TrialState.COMPLETE) -> Trial:
    """Return a trial whose labels are unrelated to its inputs."""
    return ended(state, Cause.LABELS_UNRELATED, "Check the labels.", 0.1, learning_rate=0.1)


def test_broken_data_precede_other_advice() -> None:
    """If half of the complete trials, or of all, indicate broken data, the advice is about the data."""
    words = "labels_unrelated in 3 of 6 complete trials: check the labels"
    half = [unrelated() for _ in range(3)] + [well(learning_rate=0.1) for _ in range(3)]
    assert advised([*SURVIVORS, *DEAD, *half], RATE) == words
    stopped = [unrelated(TrialState.PRUNED) for _ in range(4)]
    assert advised([*stopped, *half], RATE) == "labels_unrelated in 7 of 10 trials: check the labels"


def test_a_few_trials_do_not_show_broken_data() -> None:
    """Two trials, or fewer than half, are too few."""
    assert advised([unrelated(), unrelated(), *SURVIVORS, *DEAD], RATE) == (
        "no trial with a learning rate above 0.31 survived (0 of 17): lower `search.learning_rate.high`"
    )
    minority = [unrelated() for _ in range(3)] + [well(learning_rate=0.1) for _ in range(4)]
    assert advised(minority, RATE) is None


def test_a_list_of_configurations_gets_advice_on_broken_data() -> None:
    """A study of exact configurations has no ranges to change, but it has data to check."""
    listed = StudySpec(
        name="x", data=DataSpec(source="digits"), configurations=(ExactConfiguration(name="a"),)
    )
    trials = [replace(unrelated(), number=number) for number in range(3)]
    assert advice(listed, trials, maximize=True) == "labels_unrelated in 3 of 3 trials: check the labels"


@pytest.mark.parametrize(
    ("remedy", "clause"),
    [("ReLU units die: wait.", "ReLU units die: wait"), ("model.dropout is high.", "model.dropout is high")],
)
def test_names_keep_their_capitals(remedy: str, clause: str) -> None:
    """A remedy becomes a clause, but a name at its beginning keeps its capital."""
    trials = [died(Cause.OVERFIT, remedy, learning_rate=0.1) for _ in range(3)]
    words = advised([*(well(learning_rate=0.1) for _ in range(9)), *trials], RATE)
    assert words == f"overfit cost most, 6 epochs of 3 trials: {clause}"


def test_remedies_that_differ_name_their_trial() -> None:
    """If remedies differ, the advice has that of the middle trial, and its number."""
    trials = [died(Cause.OVERFIT, f"Drop {count} units.", learning_rate=0.1) for count in (1, 2, 3)]
    words = advised([*(well(learning_rate=0.1) for _ in range(9)), *trials], RATE)
    assert words == "overfit cost most, 6 epochs of 3 trials: for trial 10: drop 2 units"


def test_a_negligible_cost_gives_no_advice() -> None:
    """A verdict that cost less than a twentieth of all epochs gives no remedy; one that cost more does."""
    trials = [died(Cause.LR_TOO_LOW, "Raise it.", learning_rate=0.1) for _ in range(3)]
    for rest, words in ((499, None), (114, "lr_too_low cost most, 6 epochs of 3 trials: raise it")):
        others = [replace(well(learning_rate=0.1), epochs=rest)]
        assert advised([*others, *trials], RATE) == words


def test_a_finished_search_gets_a_next_step() -> None:
    """If nothing costly went wrong and the budget is spent, the next step is to confirm the best, then to narrow."""
    spec = StudySpec(name="my x", data=DataSpec(source="digits"), search=(RATE,), trials=12)
    trials = [replace(well(learning_rate=0.1), number=number) for number in range(12)]
    first = advice(spec, trials, maximize=True)
    assert first is not None
    assert "`hpsearch study confirm 'my x'`" in first
    then = advice(spec, trials, maximize=True, is_confirmed=True)
    assert then is not None
    assert "`hpsearch study narrow 'my x'`" in then
    assert advice(spec, trials[:11], maximize=True) is None


def test_otherwise_the_costliest_verdict_gives_its_remedy() -> None:
    """Without evidence about the space, the verdict that cost most epochs is named with its cost and remedy."""
    trials = [
        *(well(learning_rate=0.1) for _ in range(9)),
        *(died(Cause.OVERFIT, "Drop some units.", learning_rate=0.1) for _ in range(3)),
        replace(died(Cause.PLATEAU, "Wait.", learning_rate=0.1), epochs=5),
    ]
    assert advised(trials, RATE) == "overfit cost most, 6 epochs of 3 trials: drop some units"


@pytest.mark.parametrize(
    "trials", [[], [well(learning_rate=0.1)], [Trial(number=0, state=TrialState.WAITING, params={})]]
)
def test_a_search_without_failures_gets_no_advice(trials: list[Trial]) -> None:
    """Without ended trials, or with only healthy ones, there is no advice; choices have no edges."""
    assert advised(trials, RATE) is None
    assert advised(trials, Choices(name="model.activation", choices=("relu", "elu"))) is None


def test_exact_configurations_have_no_ranges_to_change() -> None:
    """If nothing is searched, no range is advised, even if trials died at its end."""
    trials = [*SURVIVORS, *DEAD]
    spec = StudySpec(name="x", data=DataSpec(source="digits"), search=(RATE,))
    assert advice(spec, trials, maximize=True) is not None
    assert (
        advice(replace(spec, configurations=(ExactConfiguration(name="a"),)), trials, maximize=True) is None
    )
