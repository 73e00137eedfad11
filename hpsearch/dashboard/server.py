"""The server: a process that serves the dashboard until it is stopped."""

import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from types import FrameType
from typing import Any, Final, final
from wsgiref.types import WSGIApplication

from waitress.adjustments import Adjustments

from hpsearch.dashboard.application import guards, make_site, protected
from hpsearch.dashboard.connections import LOOK_EVERY_S, GuardedServer
from hpsearch.dashboard.limits import LimitGuard
from hpsearch.dashboard.options import Options
from hpsearch.dashboard.warming import warm_in_background
from hpsearch.errors import HpsearchError
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.store import open_store
from hpsearch.worker.shutdown import END_WITHIN_S, INTERRUPTED, DrainWatch

CONNECTIONS: Final = 500


def serve(options: Options, tell: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code: 130 or 0.

    `tell` is called with the server's address once it listens. Raises HpsearchError if the port is in use or the host
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
        tell(_address(options.host, server))
        warm_in_background(site, store)
        # It returns after one of the signals, once the pending requests are answered.
        server.run()
    return stop.exit_code


@final
class _Stop:
    """Stores which signal ended the server."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.is_asked = False

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C; 0 after SIGTERM, which stops services."""
        return INTERRUPTED if self.signal == signal.SIGINT else 0

    def ask(self) -> None:
        self.is_asked = True

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self.ask()
        raise KeyboardInterrupt


def _listening(site: WSGIApplication, options: Options) -> Any:
    asked = guards(options)
    try:
        adjustments = Adjustments(
            # One address and therefore one port, although "localhost" may resolve to two addresses.
            host="127.0.0.1" if options.host == "localhost" else options.host,
            port=options.port,
            threads=options.threads,
            # An open page keeps several connections, and idle ones need no thread; `select` cannot handle so many.
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,
            max_request_body_size=LimitGuard(has_artifacts=options.artifacts is not None).largest_bytes,
            cleanup_interval=LOOK_EVERY_S,
            ident=None,
            clear_untrusted_proxy_headers=False,  # `behind_proxy` does, after reading one of them
        )
        return GuardedServer(protected(site, asked), adjustments, tuple(asked))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HpsearchError(
            f"dashboard: must be able to listen (got {options.host}, port {options.port}: {reason}): "
            "choose another --port or --host; --port 0 takes any that is free"
        ) from error


def _address(host: str, server: Any) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{server.effective_port}/"
