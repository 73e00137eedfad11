"""How fast the dashboard opens a study of 5,000 trials: `python -m tests.benchmarks.dashboard [TRIALS]`.

It prints seconds from the click to the page with its numbers, in a real browser, next to the CPU seconds that the
server and the browser used for it, and asserts nothing. On a busy machine only the CPU seconds mean something. "cold"
is the first visitor right after the start, before anything was prepared.
"""

import contextlib
import sys
import tempfile
import time
from typing import Final

import psutil
from playwright.sync_api import Page

from hpsearch.storage.store import open_store
from tests.dashboard.populate import populate
from tests.end_to_end.browser import chromium, sight
from tests.end_to_end.serving import serving
from tests.report import synthetic

TRIALS: Final = 5000
PAGES: Final = (
    ("study, cold", "/dashboard/studies/1", "text=Best Trial (number="),
    ("home", "/dashboard", "text=digits"),
    ("study", "/dashboard/studies/1", "text=Best Trial (number="),
    ("trials", "/dashboard/studies/1/trials?numbers=40", "text=Trial 40 (trial_id="),
    ("report", "/studies/digits", "html[data-opened]"),
    ("report, all drawn", "/studies/digits", "html[data-drawn]"),
    ("trial", "/trials/digits/40", "html[data-drawn]"),
)


def seconds(page: Page, address: str, sign: str) -> float:
    """Return how long an address takes until its sign is on the page."""
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(sign, state="attached")
    return time.perf_counter() - began


def cpu_s() -> tuple[float, float]:
    """Return the CPU seconds that the server and the browser, the children of this process, have used so far."""
    server = browser = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = sum(child.cpu_times()[:2])
            if child.name().startswith(("python", "hpsearch")):
                server += used
            else:
                browser += used
    return server, browser


def main(trials: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/large.db"
        with open_store(url) as store:
            populate(store, synthetic.synthetic(trials))
        with serving(url) as server, chromium() as browser, sight(browser) as seen:
            seen.page.set_default_timeout(120_000)
            for name, path, sign in PAGES:
                before = cpu_s()
                took = seconds(seen.page, server.address + path, sign)
                used = [after - earlier for earlier, after in zip(before, cpu_s(), strict=True)]
                sys.stdout.write(
                    f"{name:18}{took:6.2f} s, CPU of the server {used[0]:5.2f} s, of the browser {used[1]:5.2f} s\n"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS)
