"""The server: a process that serves the dashboard until it is stopped."""

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, final
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments
from werkzeug import Response
from werkzeug.test import EnvironBuilder

from hpsearch.dashboard.application import make_site, protected
from hpsearch.dashboard.connections import CLEANUP_INTERVAL_S, GuardedServer
from hpsearch.dashboard.guards import Guard
from hpsearch.dashboard.guards.changes import SizeGuard, refuse_changes, refuse_other_origins
from hpsearch.dashboard.guards.host import HostGuard, is_loopback, is_unspecified
from hpsearch.dashboard.guards.token import TokenGuard
from hpsearch.dashboard.links import study_link
from hpsearch.errors import HpsearchError, UsageError
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.store import Store, open_store
from hpsearch.worker.shutdown import END_WITHIN_S, INTERRUPTED, DrainWatch

MAX_CONNECTIONS: Final = 500
MIN_TOKEN_LENGTH: Final = 12

_log: Final = logging.getLogger(__name__)


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
        if self.token is not None and len(self.token) < MIN_TOKEN_LENGTH:
            raise UsageError(
                f"--token: must have {MIN_TOKEN_LENGTH} characters or more (got {len(self.token)}): "
                "`openssl rand -hex 24` prints a good one"
            )
        if self.token is not None and (self.token != self.token.strip() or not self.token.isprintable()):
            raise UsageError(
                "--token: must be one line without spaces around it (got another): "
                "`openssl rand -hex 24` prints a good one"
            )
        if self.artifacts is not None and not self.artifacts.is_dir():
            raise UsageError(
                f"--artifacts: must be a folder (got {self.artifacts}): make it, or name another one"
            )


def serve(options: Options, notify: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code: 130 or 0.

    `notify` is called with the server's address once it listens. Raises HpsearchError if the port is in use or the host
    is not local, and StorageError for the database.
    """
    stop = _Stop()
    with open_store(options.url, foreign=True) as found:
        if not found.has_studies:
            open_store(options.url, create=False).close()  # raises if something is missing
    with ExitStack() as opened:
        opened.enter_context(DrainWatch(stop, within_s=END_WITHIN_S))
        storage = OptunaStorage(options.url)  # creates our tables as well as Optuna's
        opened.callback(storage.remove_session)
        store = opened.enter_context(open_store(options.url, create=False))
        site = make_site(store, storage, options.artifacts, read_only=options.read_only)
        server = opened.enter_context(closing(_listening(site, options)))
        stop.listen()
        notify(_address(options.host, server))
        warm_up_in_background(site, store)
        # It returns after one of the signals, once the responses to pending requests are sent.
        server.run()
    return stop.exit_code


@final
class _Stop:
    """Stores which signal ended the server."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_requested = False

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C; 0 after SIGTERM, which stops services."""
        return INTERRUPTED if self.signal == signal.SIGINT else 0

    def request(self) -> None:
        self.is_requested = True

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.request()
        raise KeyboardInterrupt


def guards(options: Options) -> list[Guard]:
    """Return the guards that refuse requests, in the order of their checks."""
    hosts = HostGuard((*options.allowed_hosts, options.host), any_address=is_unspecified(options.host))
    chosen: list[Guard] = [hosts]
    if options.token is not None:
        chosen.append(TokenGuard(options.token))
    chosen.append(refuse_other_origins)
    if options.read_only:
        chosen.append(refuse_changes)
    chosen.append(SizeGuard(has_artifacts=options.artifacts is not None))
    return chosen


def _listening(site: WSGIApplication, options: Options) -> Any:
    chosen = guards(options)
    try:
        adjustments = Adjustments(
            # One address and therefore one port, although "localhost" may resolve to two addresses.
            host="127.0.0.1" if options.host == "localhost" else options.host,
            port=options.port,
            threads=options.threads,
            # An open page keeps several connections, and idle ones need no thread; `select` cannot handle so many.
            connection_limit=MAX_CONNECTIONS,
            asyncore_use_poll=True,
            max_request_body_size=SizeGuard(has_artifacts=options.artifacts is not None).max_bytes,
            cleanup_interval=CLEANUP_INTERVAL_S,
            ident=None,
            clear_untrusted_proxy_headers=False,  # `normalized` does, after reading one of them
        )
        return GuardedServer(protected(site, chosen), adjustments, tuple(chosen))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HpsearchError(
            f"dashboard: must be able to listen (got {options.host}, port {options.port}: {reason}): "
            "choose another --port or --host; --port 0 takes any that is free"
        ) from error


def _address(host: str, server: Any) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{server.effective_port}/"


def warm_up_in_background(site: WSGIApplication, store: Store) -> threading.Thread:
    """Start a thread that requests the newest study and its report, bypassing the guards; return the thread.

    Large studies take seconds to read and to draw, for which the first visitor would wait.
    """
    thread = threading.Thread(target=_warm_up, args=(site, store), name="hpsearch-warm-up", daemon=True)
    thread.start()
    return thread


def _warm_up(site: WSGIApplication, store: Store) -> None:
    try:
        for study in store.studies.all()[-1:]:
            for path in (f"/api/studies/{study.study_id}", study_link(study.spec.name)):
                Response.from_app(site, EnvironBuilder(path).get_environ(), buffered=True)
    except HpsearchError as error:  # visitors will get the same error
        _log.info("the warm-up failed: %s", error)
    except Exception:  # noqa: BLE001 # an error in the warm-up must not end the server, and is not hidden
        _log.exception("the warm-up failed")
