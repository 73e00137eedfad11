"""Take the README's pictures from real runs: `python -m tests.benchmarks.pictures [FOLDER]`, by default `.pictures`.

It searches digits with the README's own study file, replays a trial whose ReLU units died, serves the dashboard, and
takes what a reader sees, in light colours and 1280 pixels wide.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Page

from hpsearch.storage.store import open_store
from hpsearch.trials import Fate, Trial
from tests.end_to_end.browser import DRAWN, chromium, sight
from tests.end_to_end.serving import serving

REPOSITORY: Final = Path(__file__).parents[2]
STUDY: Final = "digits"
MOST_BYTES: Final = 150_000
QUALITY: Final = 85
"""Of WebP, in percent: letters stay sharp."""


def hpsearch(url: str, *arguments: str) -> None:
    """Run a command of hpsearch on a database; its answers go to stderr."""
    command = [sys.executable, "-m", "hpsearch", *arguments, "--storage", url]
    subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})


def dying_trial(url: str) -> Trial:
    """Return the trial that lasted longest of those whose units died."""
    with open_store(url, create=False) as store:
        trials = store.trials.all(store.studies.get(STUDY))
    return max((trial for trial in trials if trial.fate is Fate.DYING), key=lambda trial: trial.steps)


def take(page: Page, path: Path, *, first: str, height: int, above: int = 12) -> None:
    """Write a screen of that height whose first element, below `above` pixels, is `first`; say how large it is."""
    page.set_viewport_size({"width": 1280, "height": height})
    page.locator(first).first.evaluate(
        "(element, above) => scrollTo(0, element.getBoundingClientRect().top + scrollY - above)", above
    )
    page.mouse.move(0, 0)
    page.evaluate("new Promise((next) => requestAnimationFrame(() => setTimeout(next)))")
    page.screenshot(path=path, type="webp", quality=QUALITY)
    size = path.stat().st_size
    sys.stdout.write(f"{path.name}: {size:,} bytes\n")
    assert size <= MOST_BYTES, f"{path}: must be at most {MOST_BYTES:,} bytes (got {size:,}): lower QUALITY"


def main(folder: Path) -> None:
    """Run everything and write the three pictures into `folder`."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        url = f"sqlite:///{scratch}/hpsearch.db"
        report, replay = Path(scratch, "report.html"), Path(scratch, "replay.html")
        hpsearch(url, "study", "run", str(REPOSITORY / "studies/digits.toml"), "--workers", "1")
        hpsearch(url, "report", STUDY, "--output", str(report))
        hpsearch(url, "trial", "replay", STUDY, str(dying_trial(url).number), "--output", str(replay))
        with serving(url) as server, chromium() as browser, sight(browser) as seen:
            page = seen.page
            for file, first, height in ((report, ".filter", 760), (replay, "#verdict", 900)):
                page.goto(file.as_uri())
                page.wait_for_selector(DRAWN, state="attached")
                take(page, folder / f"{file.stem}.webp", first=first, height=height)
            page.goto(f"{server.address}/dashboard/studies/1")
            ours = '[id="user-defined-plot:hpsearch-search-map"]'
            page.locator(f"{ours} .scatterlayer .point").first.wait_for()
            take(page, folder / "dashboard.webp", first=ours, height=900, above=72)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / ".pictures")
