"""Tapes: exact while short, bounded when long, and without a lost spike."""

import numpy as np
import pytest

from hpsearch.training.tracks import Tape


def test_a_short_tape_is_exact() -> None:
    """A tape with fewer steps than points keeps every number of every step."""
    tape = Tape(columns=2, points=8)
    numbers = np.arange(16.0).reshape(8, 2)
    for row in numbers:
        tape.append(row)
    track = tape.track()
    assert track.is_exact
    assert track.steps.tolist() == list(range(8))
    np.testing.assert_array_equal(track.low, numbers)
    np.testing.assert_array_equal(track.high, numbers)


@pytest.mark.parametrize("steps", [9, 16, 17, 100, 1000])
def test_a_long_tape_keeps_every_spike(steps: int) -> None:
    """Each point of a long tape has the extremes of its steps, which NaN does not hide."""
    numbers = np.random.default_rng(3).standard_normal(steps)
    numbers[steps // 2], numbers[steps // 3] = np.inf, np.nan
    tape = Tape(columns=1, points=8)
    for number in numbers:
        tape.append(np.array([number]))
    track = tape.track()
    assert 4 <= len(track.steps) <= 8
    for place, step in enumerate(track.steps.tolist()):
        own = numbers[step : step + track.stride]
        assert track.low[place, 0] == np.nanmin(own)
        assert track.high[place, 0] == np.nanmax(own)
        assert track.has_nan[place, 0] == np.isnan(own).any()


def test_a_point_of_nan_alone_has_no_extremes() -> None:
    """If all numbers of a point are NaN it has no low and no high, and `has_nan` is true."""
    tape = Tape(columns=1, points=2)
    for _ in range(5):
        tape.append(np.array([np.nan]))
    track = tape.track()
    assert np.isnan(track.low).all()
    assert np.isnan(track.high).all()
    assert track.has_nan.all()


@pytest.mark.parametrize("points", [0, 1, 7])
def test_a_tape_can_be_halved(points: int) -> None:
    """A number of points that cannot be merged in pairs is refused."""
    with pytest.raises(ValueError, match=f"even number of points, at least 2 .got {points}"):
        Tape(columns=1, points=points)
