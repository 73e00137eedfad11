"""Chromium without a window, driven by its command line alone: a page goes in, what a script saw comes out."""

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, final

import pytest

Paper: TypeAlias = Literal["light", "dark"]

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=2600,1000",
    "--virtual-time-budget=120000",
    "--enable-logging=stderr",
    "--v=0",
)
_CONSOLE = re.compile(r":CONSOLE:\d+\] (.*)")
_SCHEME = {"dark": 0, "light": 1}
"""Blink's numbers for `preferredColorScheme`."""

# The page stands in a frame of exactly the width asked for: a window cannot be narrower than 500 pixels.
_HARNESS = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe><pre id="seen"></pre><script>
const frame = document.querySelector("iframe");
const look = async (page, view, pause) => {{ {script} }};
const pause = (ms) => new Promise((next) => setTimeout(next, ms));
const run = async () => {{
  while (!frame.contentDocument?.documentElement?.{ready}) await pause(50);
  const seen = await look(frame.contentDocument, frame.contentWindow, pause);
  const text = JSON.stringify(seen);
  frame.remove();
  document.querySelector("#seen").textContent = text;
}};
run();
</script>"""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """What came of a visit: the script's value, what the console said, and what the page asked the network for."""

    seen: Any
    console: tuple[str, ...]
    requests: tuple[str, ...]


def find_chromium() -> str:
    """Return the path of Chromium; skip the test without it, or fail where a browser is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is not None:
        return found
    message = "chromium is not installed: apt-get install chromium"
    if os.environ.get("HPSEARCH_REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


def visit(page: str, script: str, folder: Path, *, width: int = 1280, paper: Paper = "light") -> Visit:
    """Open `page` in a frame `width` pixels wide and return what `script` returned.

    `script` is the body of an asynchronous function of `page` (the document), `view` (its window) and
    `pause(ms)`; it starts when the page has set `data-drawn` on its root. `folder` takes the profile.
    """
    folder.mkdir(exist_ok=True)
    harness = folder / "harness.html"
    log = folder / "network.json"
    parts = {"page": html.escape(page), "script": script, "width": width, "ready": "dataset.drawn"}
    harness.write_text(_HARNESS.format(**parts), encoding="utf-8")
    command = [
        find_chromium(),
        *_FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={log}",
        f"--blink-settings=preferredColorScheme={_SCHEME[paper]}",
        "--dump-dom",
        harness.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    seen = re.search(r'<pre id="seen">(.+?)</pre>', done.stdout, re.DOTALL)
    console = tuple(_CONSOLE.findall(done.stderr))
    assert seen is not None, f"the page never finished; the console said {console}"
    return Visit(seen=json.loads(html.unescape(seen[1])), console=console, requests=_requests(log))


def _requests(log: Path) -> tuple[str, ...]:
    """Return what the page asked for over the network; what the browser asks for itself has no origin."""
    recorded = json.loads(log.read_text(encoding="utf-8"))
    started = recorded["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    jobs = [event.get("params", {}) for event in recorded["events"] if event["type"] == started]
    # A job is there twice; its end has no address.
    return tuple(job["url"] for job in jobs if "url" in job and job.get("initiator") != "not an origin")
