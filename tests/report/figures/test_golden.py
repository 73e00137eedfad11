"""Three figures as last reviewed: every change of data, scale, colour or place is detected.

After an intended change, review the figures and write them again: `HPSEARCH_WRITE_GOLDEN=1 python -m pytest` with this
file.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from hpsearch.report.figures.catalogue import exhibits
from tests.report import synthetic

FOLDER: Final = Path(__file__).parent / "golden"
TRIALS: Final = 24


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Return path -> leaf of a figure's JSON, except the hover texts, which other tests cover."""
    if isinstance(value, dict):
        parts = {f"{path}.{key}": item for key, item in value.items() if key != "hovertext"}
    elif isinstance(value, list | tuple):
        parts = {f"{path}[{index}]": item for index, item in enumerate(value)}
    else:
        return {path: float(f"{value:.6g}") if isinstance(value, float) else value}
    return {name: leaf for name, item in parts.items() for name, leaf in leaves(item, name).items()}


def numbers(found: dict[str, Any]) -> dict[str, float]:
    """Return the leaves that are numbers."""
    return {name: leaf for name, leaf in found.items() if isinstance(leaf, int | float)}


def words(found: dict[str, Any]) -> dict[str, Any]:
    """Return the leaves that are not numbers: colours, symbols, texts, and gaps."""
    return {name: leaf for name, leaf in found.items() if not isinstance(leaf, int | float)}


@pytest.mark.parametrize("name", ["search-map", "learning-rates", "learning-curves-metric"])
def test_a_figure_is_as_it_was_reviewed(name: str) -> None:
    """The figure of a fixed study is the golden one: traces, axes, rails, ticks, symbols and colours."""
    shown = exhibits(synthetic.synthetic(TRIALS))
    (figure,) = [panel.figure for exhibit in shown for panel in exhibit.panels if panel.name == name]
    drawn = leaves(figure.to_plotly_json())
    file = FOLDER / f"{name}.json"
    if os.environ.get("HPSEARCH_WRITE_GOLDEN") == "1":
        file.write_text(json.dumps(drawn, indent=0, sort_keys=True) + "\n")
    golden = json.loads(file.read_text())
    assert words(drawn) == words(golden)
    # The last bits of a logarithm or a fit are the machine's own.
    assert numbers(drawn) == pytest.approx(numbers(golden), rel=1e-3)
