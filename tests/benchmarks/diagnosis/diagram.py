"""Draw the reliability diagram: `python -m tests.benchmarks.diagnosis.diagram [FILE]`, `.pictures/reliability.webp`."""

import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import plotly.graph_objects as go

from tests.benchmarks.diagnosis.detectors import Ours
from tests.benchmarks.diagnosis.scoring import Judged, calibration_error, reliability
from tests.benchmarks.diagnosis.traces import load
from tests.benchmarks.pictures import REPOSITORY, take
from tests.end_to_end.browser import chromium, sight

HEIGHT: Final = 620
COLOURS: Final = {"tuning families": "#9a9a9a", "held-out families": "#1f77b4"}


def figure(parts: dict[str, Sequence[Judged]]) -> go.Figure:
    """Return the share of right calls over their confidence, with 95 % intervals, for each part of the corpus."""
    drawn = go.Figure()
    drawn.add_scatter(
        x=[0.5, 1], y=[0.5, 1], mode="lines", name="as calibrated", line={"color": "#444", "dash": "dot"}
    )
    for name, judged in parts.items():
        steps = reliability(judged)
        shares = list(steps.values())
        drawn.add_scatter(
            x=list(steps),
            y=[share.value for share in shares],
            error_y={
                "type": "data",
                "array": [share.interval[1] - share.value for share in shares],
                "arrayminus": [share.value - share.interval[0] for share in shares],
                "thickness": 1,
            },
            mode="markers+text",
            text=[f"{share.hits}/{share.total}" for share in shares],
            textposition="middle right",
            name=f"{name}: error {calibration_error(judged):.3f}",
            marker={
                "color": COLOURS[name],
                "size": [8 + 1.2 * math.sqrt(share.total) for share in shares],
            },
        )
    drawn.update_layout(
        template="plotly_white",
        height=HEIGHT - 20,
        font={"size": 16},
        title="Calls that name one of the run's causes, by the confidence of the verdict",
        xaxis={"title": "confidence", "range": [0.5, 1.06]},
        yaxis={"title": "share of right calls", "range": [0, 1.05]},
        legend={"x": 0.02, "y": 0.1},
    )
    return drawn


def main(path: Path) -> None:
    """Judge the corpus and write the picture."""
    parts: dict[str, list[Judged]] = {name: [] for name in COLOURS}
    for run in load():
        parts["held-out families" if run.is_held_out else "tuning families"].append((run, Ours().call(run)))
    with (
        tempfile.TemporaryDirectory() as scratch,
        chromium() as browser,
        sight(browser) as seen,
    ):
        file = Path(scratch, "reliability.html")
        figure(dict(parts)).write_html(file, include_plotlyjs=True)
        seen.page.goto(file.as_uri())
        seen.page.wait_for_selector(".main-svg .legend")
        take(seen.page, path, first=".main-svg", height=HEIGHT, above=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / ".pictures" / "reliability.webp")
