"""Chromium without a window, driven by Playwright: pages are opened as a reader opens them, and watched."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, final

from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.end_to_end.chromium import find_chromium

Paper: TypeAlias = Literal["light", "dark"]
HEIGHT = 900
GIVE_UP_MS = 20_000


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """A page that is open: what went wrong in it, and what it asked the network for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """Go to an address and return the page once its scripts have run. It must be there."""
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.ok, f"{address}: {answer.status}"
        return self.page

    def outside(self, *own: str) -> list[str]:
        """Return the requests that went anywhere but to addresses that begin with one of `own`."""
        allowed = (*own, "data:", "blob:")
        return [address for address in self.requests if not address.startswith(allowed)]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, and end it. Without one the test is skipped, or fails where it is required."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def sight(
    browser: Browser, *, width: int = 1280, paper: Paper = "light", zone: str = "UTC"
) -> Iterator[Sight]:
    """Open an empty page of that width, for a reader who prefers that paper and lives in that time zone."""
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT}, color_scheme=paper, timezone_id=zone, locale="en-GB"
    )
    context.set_default_timeout(GIVE_UP_MS)
    seen = Sight(page=context.new_page())
    _watch(seen)
    try:
        yield seen
    finally:
        context.close()


def _watch(seen: Sight) -> None:
    def ask(request: Request) -> None:
        seen.requests.append(request.url)

    def fail(request: Request) -> None:
        # A page that is left gives up what it was still waiting for.
        if request.failure != "net::ERR_ABORTED":
            seen.errors.append(f"failed: {request.url}: {request.failure}")

    seen.page.on("request", ask)
    seen.page.on("pageerror", lambda error: seen.errors.append(f"exception: {error}"))
    seen.page.on(
        "console", lambda said: seen.errors.append(f"console: {said.text}") if said.type == "error" else None
    )
    seen.page.on("requestfailed", fail)
