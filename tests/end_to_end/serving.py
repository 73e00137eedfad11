"""The dashboard as a separate process, and requests to it as from programs."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import final

from tests.end_to_end.conftest import GIVE_UP_S


@final
class Server:
    """A dashboard that runs: its process, and its address without the last slash."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.address = process.stdout.readline().strip().removesuffix("/")

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, str]:
        """Return the status and the body of an answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(self.address + path, method=method, data=body, headers=named)
        try:
            with urllib.request.urlopen(asked, timeout=GIVE_UP_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal and return the exit code and the stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=GIVE_UP_S)
        return self.process.returncode, said


@contextmanager
def serving(
    url: str, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:  # it is read
    """Start a dashboard on a free port, and end it."""
    command = [sys.executable, "-m", "hpsearch", "dashboard", "--port", "0", "--storage", url, *options]
    inherited = {name: value for name, value in os.environ.items() if name != "HPSEARCH_TOKEN"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, **(environment or {})},
    ) as process:
        try:
            server = Server(process)
            assert server.address, process.stderr and process.stderr.read()
            yield server
        finally:
            process.kill()
