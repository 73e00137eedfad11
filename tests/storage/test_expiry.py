"""When a lease is over, and whether its worker is lost: rules without a database or a clock of their own."""

from dataclasses import replace

import pytest

from hpsearch.storage.expiry import (
    QUIET_MOST_S,
    QUIET_UNDATED_S,
    STEP_MOST_S,
    Doubt,
    Life,
    Watch,
    is_lost,
    lives_on,
    quiet_s,
)

LEASE_S = 30.0
SEEN_S = 1_000.0
UNTIL_S = SEEN_S + LEASE_S
ANN = Life(worker="ann", started_s=0.0, seen_s=SEEN_S, steady_since_s=0.0, has_parent=False)
BOB = Life(worker="bob", started_s=5.0, seen_s=UNTIL_S + 15, steady_since_s=5.0, has_parent=False)


def looks(watch: Watch, doubt: Doubt, times: list[float]) -> list[bool]:
    """Return for each look at one lease whether it is over."""
    return [doubt.token in watch.over("study", [doubt], now_s=now_s) for now_s in times]


@pytest.mark.parametrize(
    ("seen_s", "until_s", "now_s", "is_gone", "expected"),
    [
        (None, 10.0, 11.0, False, 0.0),
        (1.0, 10.0, 11.0, True, 0.0),
        (11.0, 10.0, 12.0, False, 0.0),
        (9.0, 10.0, 11.0, False, 0.5),
        (SEEN_S, UNTIL_S, UNTIL_S + 3_600, False, QUIET_MOST_S),
        (SEEN_S, SEEN_S + 600, SEEN_S + 700, False, QUIET_MOST_S),
        (SEEN_S, UNTIL_S, SEEN_S - 3_600, False, QUIET_UNDATED_S),
    ],
)
def test_how_long_a_lease_must_stand_still(
    seen_s: float | None, until_s: float, now_s: float, expected: float, *, is_gone: bool
) -> None:
    """Half its length, no time if its worker is gone, and a whole lease if the clock was set back."""
    assert quiet_s(until_s=until_s, seen_s=seen_s, now_s=now_s, is_gone=is_gone) == expected


def test_a_lease_that_stands_still_is_over() -> None:
    """Time counts from the first look on."""
    doubt = Doubt(token=1, until_s=5.0, quiet_s=3.0)
    assert looks(Watch(), doubt, [100.0, 102.0, 102.9, 103.0, 104.0]) == [False, False, False, True, True]
    assert looks(Watch(), replace(doubt, quiet_s=0.0), [100.0]) == [True]


def test_a_lease_that_moves_is_never_over() -> None:
    """A renewal begins the time anew, also one to an earlier end, by a clock that was set back."""
    watch = Watch()
    for count in range(50):
        doubt = Doubt(token=1, until_s=5_000.0 - 60 * count, quiet_s=3.0)
        assert looks(watch, doubt, [100.0 + 2 * count, 101.0 + 2 * count]) == [False, False]


def test_who_could_not_look_knows_nothing_of_that_time() -> None:
    """Of a long gap between two looks, in which the database was away, little counts."""
    doubt = Doubt(token=1, until_s=5.0, quiet_s=2 * STEP_MOST_S)
    assert looks(Watch(), doubt, [0.0, 900.0, 1_800.0]) == [False, False, True]


def test_a_lease_that_was_not_in_doubt_meanwhile_begins_anew() -> None:
    """A lease that was renewed and runs out again is another case, and so is one of another study."""
    watch, doubt = Watch(), Doubt(token=1, until_s=5.0, quiet_s=3.0)
    assert looks(watch, doubt, [0.0, 2.0]) == [False, False]
    assert watch.over("study", [], now_s=4.0) == {}
    assert watch.over("other", [doubt], now_s=4.0) == {}
    assert looks(watch, doubt, [5.0, 7.0, 8.5]) == [False, False, True]


def test_a_worker_that_dies_among_others_is_lost() -> None:
    """Another worker beat without a gap from before the lease ran out until after."""
    assert is_lost("ann", until_s=UNTIL_S, registry={"ann": ANN, "bob": BOB})


def test_a_worker_that_dies_where_nobody_else_is_is_lost() -> None:
    """One that ended long before, and one that came later, are no others."""
    before = replace(BOB, seen_s=SEEN_S - LEASE_S - 1)
    later = replace(BOB, started_s=UNTIL_S + 1, steady_since_s=UNTIL_S + 1)
    for other in (before, later):
        assert is_lost("ann", until_s=UNTIL_S, registry={"ann": ANN, "bob": other})
    assert is_lost("ann", until_s=UNTIL_S, registry={"ann": ANN})


@pytest.mark.parametrize(
    "bob",
    [
        replace(BOB, steady_since_s=UNTIL_S + 10),
        replace(BOB, seen_s=SEEN_S - 1),
        replace(BOB, steady_since_s=None),
    ],
    ids=["silent as well, and back", "silent as well", "of an older version"],
)
def test_what_silences_everybody_blames_nobody(bob: Life) -> None:
    """A failover, a sleep or a clock that was set leaves a gap in the beats of all."""
    assert not is_lost("ann", until_s=UNTIL_S, registry={"ann": ANN, "bob": bob})
    assert is_lost(
        "ann", until_s=UNTIL_S, registry={"ann": ANN, "bob": bob, "eve": replace(BOB, worker="eve")}
    )


def test_who_left_or_is_watched_by_a_parent_is_not_lost() -> None:
    """A worker that ended in order, one whose death its parent would have seen, and one that lives."""
    registry = {"bob": BOB}
    assert not is_lost("ann", until_s=UNTIL_S, registry=registry)
    assert not is_lost("ann", until_s=UNTIL_S, registry={**registry, "ann": replace(ANN, has_parent=True)})
    alive = replace(ANN, seen_s=UNTIL_S + 1)
    assert not is_lost("ann", until_s=UNTIL_S, registry={**registry, "ann": alive})
    assert [lives_on(life, until_s=UNTIL_S) for life in (None, ANN, alive)] == [False, False, True]
