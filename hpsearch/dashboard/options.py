"""The options of a dashboard server, checked before anything is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from hpsearch.dashboard.hosts import is_loopback
from hpsearch.errors import UsageError

SHORTEST_TOKEN: Final = 12


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options of a dashboard server. Raises UsageError if they would make it open to everyone."""

    url: str
    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    read_only: bool = False
    threads: int = 8
    allowed_hosts: tuple[str, ...] = ()
    artifacts: Path | None = None

    def __post_init__(self) -> None:
        """Check options that depend on each other."""
        if self.token is None and not is_loopback(self.host):
            raise UsageError(
                f"--host: an address that other machines reach needs a token (got {self.host}): set HPSEARCH_TOKEN, "
                "for example to the output of `openssl rand -hex 24`, or listen on 127.0.0.1"
            )
        if self.token is None and self.allowed_hosts:
            raise UsageError(
                f"--allow-host: a server with another name needs a token (got {', '.join(self.allowed_hosts)}): "
                "set HPSEARCH_TOKEN"
            )
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise UsageError(
                f"--token: must have {SHORTEST_TOKEN} characters or more (got {len(self.token)}): "
                "`openssl rand -hex 24` makes a good one"
            )
        if self.token is not None and (self.token != self.token.strip() or not self.token.isprintable()):
            raise UsageError(
                "--token: must be one line without spaces around it (got another): "
                "`openssl rand -hex 24` makes a good one"
            )
        if self.artifacts is not None and not self.artifacts.is_dir():
            raise UsageError(
                f"--artifacts: must be a folder (got {self.artifacts}): make it, or name another one"
            )
