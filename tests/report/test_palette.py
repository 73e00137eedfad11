"""Colours and symbols."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from hpsearch.report.palette import DARK, INK, LINE_COLOURS, LOOKS, PAPER, RAIL_COLOURS, RESULT_COLOURS
from hpsearch.trials import Fate

# Machado, Oliveira and Fernandes (2009), "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", severity 1.0, on linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = XYZ.sum(axis=1)
JUST_DIFFERENT = 12.0
"""Distance in CIE L*a*b*; 2.3 is what an eye can just tell, 12 is told apart in small marks."""


def _linear(colour: str) -> NDArray[np.float64]:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = XYZ @ np.clip(linear, 0, 1) / WHITE
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _contrast(colour: str, paper: str) -> float:
    a, b = (float(XYZ[1] @ _linear(one)) + 0.05 for one in (colour, paper))
    return max(a, b) / min(a, b)


def test_every_fate_has_its_own_look() -> None:
    """Every fate is there, and no two share a symbol, a colour or a path."""
    assert set(LOOKS) == set(Fate)
    for part in ("symbol", "hollow", "colour", "path"):
        assert len({getattr(look, part) for look in LOOKS.values()}) == len(Fate)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("paper", ["light", "dark"])
def test_the_colour_blind_can_distinguish_fates(vision: str, paper: str) -> None:
    """Any two fates differ clearly in colour for every kind of vision, on light and on dark paper."""
    colours = {fate: look.colour for fate, look in LOOKS.items()}
    shown = {fate: DARK[colour] if paper == "dark" else colour for fate, colour in colours.items()}
    seen = {fate: _lab(VISION[vision] @ _linear(colour)) for fate, colour in shown.items()}
    distances = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(seen, 2)}
    closest = min(distances, key=lambda pair: distances[pair])
    assert distances[closest] > JUST_DIFFERENT, closest


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("paper", ["light", "dark"])
def test_rails_of_a_heat_map_are_no_results(vision: str, paper: str) -> None:
    """NaN, infinity and values off the scale have separate colours, for every kind of vision."""
    shown = {
        colour: DARK[colour] if paper == "dark" else colour for colour in (*RAIL_COLOURS, *RESULT_COLOURS)
    }
    seen = {colour: _lab(VISION[vision] @ _linear(painted)) for colour, painted in shown.items()}
    for rail in RAIL_COLOURS:
        for other in seen.keys() - {rail}:
            assert float(np.linalg.norm(seen[rail] - seen[other])) > JUST_DIFFERENT, (rail, other)


@pytest.mark.parametrize("paper", ["light", "dark"])
def test_colours_stand_out_from_the_paper(paper: str) -> None:
    """Text has a contrast of 7 (WCAG AAA), every fate one that shows on the paper."""
    ground = DARK[PAPER] if paper == "dark" else PAPER
    ink = DARK[INK] if paper == "dark" else INK
    assert _contrast(ink, ground) > 7
    for look in LOOKS.values():
        assert _contrast(DARK[look.colour] if paper == "dark" else look.colour, ground) > 2


@pytest.mark.parametrize("paper", ["light", "dark"])
def test_better_results_stand_out_more(paper: str) -> None:
    """From the worst to the best result the contrast with the paper grows at every step."""
    colours = [DARK[colour] if paper == "dark" else colour for colour in RESULT_COLOURS]
    contrasts = [_contrast(colour, DARK[PAPER] if paper == "dark" else PAPER) for colour in colours]
    assert contrasts == sorted(contrasts)


def test_every_colour_has_a_dark_one() -> None:
    """Every colour of a fate or a result has a counterpart on dark paper."""
    assert {look.colour for look in LOOKS.values()} | set(RESULT_COLOURS) | {INK, PAPER} <= set(DARK)


@pytest.mark.parametrize("paper", ["light", "dark"])
def test_ten_lines_have_ten_colours(paper: str) -> None:
    """Ten lines of a figure differ in colour, and each is visible on its paper."""
    colours = [DARK[colour] if paper == "dark" else colour for colour in LINE_COLOURS]
    assert len(set(colours)) == 10
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(_lab(_linear(one)) - _lab(_linear(other))) > JUST_DIFFERENT, (one, other)
    ground = DARK[PAPER] if paper == "dark" else PAPER
    assert all(_contrast(colour, ground) > 2 for colour in colours)


@pytest.mark.parametrize("paper", ["light", "dark"])
def test_larger_numbers_have_more_contrast(paper: str) -> None:
    """On either paper, larger shares and results have more contrast."""
    colours = [DARK[colour] if paper == "dark" else colour for colour in RESULT_COLOURS]
    ground = DARK[PAPER] if paper == "dark" else PAPER
    contrasts = [_contrast(colour, ground) for colour in colours]
    assert contrasts == sorted(contrasts)
