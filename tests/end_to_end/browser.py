"""Headless Chromium, driven by Playwright: pages are opened as by a reader, and watched."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, final

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, sync_playwright
from playwright.sync_api import TimeoutError as TookTooLong

Paper: TypeAlias = Literal["light", "dark"]
HEIGHT: Final = 900
GIVE_UP_MS: Final = 60_000
DRAWN: Final = "html[data-drawn]"
"""The text of a page after all its figures are drawn."""

_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # No test reaches beyond this machine, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """An open page: its errors, and its network requests."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """Go to an address and return the page once its scripts have run. It must exist."""
        answer = self.page.goto(address)
        assert answer is not None
        assert answer.ok, f"{address}: {answer.status}"
        return self.page

    def read(self, html: str, folder: Path) -> Page:
        """Open a page from a file, alone in `folder`, and return it once its figures are drawn."""
        file = folder / "page.html"
        file.write_text(html, encoding="utf-8")
        self.page.goto(file.as_uri())
        self.page.wait_for_selector(DRAWN, state="attached")
        return self.page

    def outside(self, *own: str) -> list[str]:
        """Return the requests that went anywhere but to addresses that begin with one of `own`."""
        allowed = (*own, "data:", "blob:")
        return [address for address in self.requests if not address.startswith(allowed)]


def find_chromium() -> str:
    """Return the path of Chromium; skip the test without it, or fail if a browser is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is not None:
        return found
    message = "chromium is not installed: apt-get install chromium"
    if os.environ.get("HPSEARCH_REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


def press(target: Locator) -> None:
    """Click on something, in the middle of the screen: at its edge the filter of fates would lie above it."""
    target.evaluate("(element) => element.scrollIntoView({ block: 'center' })")
    target.click()


def comes_to(page: Page, script: str, expected: Any) -> None:
    """Return when `script`, a function without arguments, returns the expected value; fail if it does not."""
    same = f"(expected) => JSON.stringify(({script})()) === JSON.stringify(expected)"
    try:
        page.wait_for_function(same, arg=expected)
    except TookTooLong:
        assert page.evaluate(script) == expected
        raise


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, and end it. Without one the test is skipped, or fails if it is required."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_FLAGS])
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
        # A page that is left cancels its pending requests.
        if request.failure != "net::ERR_ABORTED":
            seen.errors.append(f"failed: {request.url}: {request.failure}")

    seen.page.on("request", ask)
    seen.page.on("pageerror", lambda error: seen.errors.append(f"exception: {error}"))
    seen.page.on(
        "console", lambda said: seen.errors.append(f"console: {said.text}") if said.type == "error" else None
    )
    seen.page.on("requestfailed", fail)
