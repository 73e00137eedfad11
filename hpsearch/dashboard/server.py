"""The server: a process that serves the dashboard until it is told to stop."""

import signal
from collections.abc import Callable
from contextlib import closing
from types import FrameType
from typing import Any, Final, final

import waitress

from hpsearch.dashboard.application import make_site, protected
from hpsearch.dashboard.limits import LimitGuard
from hpsearch.dashboard.options import Options
from hpsearch.dashboard.warming import warm_in_background
from hpsearch.errors import HpsearchError
from hpsearch.storage.as_optuna.storage import OptunaStorage
from hpsearch.storage.store import open_store

INTERRUPTED: Final = 130
CONNECTIONS: Final = 500


def serve(options: Options, tell: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code: 130 or 0.

    `tell` gets the server's address once it listens. Raises HpsearchError where the port is taken or the host is not
    ours, and StorageError for the database.
    """
    with open_store(options.url, foreign=True) as found:
        if not found.has_studies:
            open_store(options.url, create=False).close()  # says what is missing
    storage = OptunaStorage(options.url)  # makes our tables beside Optuna's
    with open_store(options.url, create=False) as store:
        try:
            site = make_site(store, storage, options.artifacts, read_only=options.read_only)
            server = _listening(protected(site, options), options)
            with closing(server):
                stop = _Stop()
                stop.listen()
                tell(_address(options.host, server))
                warm_in_background(site, store)
                # It returns after one of the signals, when the requests that were under way have their answers.
                server.run()
        finally:
            storage.remove_session()
    return INTERRUPTED if stop.signal == signal.SIGINT else 0


@final
class _Stop:
    """Remembers which signal ended the server."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def listen(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        raise KeyboardInterrupt


def _listening(application: Any, options: Options) -> Any:
    try:
        return waitress.create_server(
            application,
            # One address and so one port, where "localhost" may mean two.
            host="127.0.0.1" if options.host == "localhost" else options.host,
            port=options.port,
            threads=options.threads,
            # An open page keeps several connections, and idle ones cost no thread; `select` has no room for so many.
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,
            max_request_body_size=LimitGuard(has_artifacts=options.artifacts is not None).largest_bytes,
            ident=None,
            clear_untrusted_proxy_headers=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HpsearchError(
            f"dashboard: must be able to listen (got {options.host}, port {options.port}: {reason}): "
            "choose another --port or --host; --port 0 takes any that is free"
        ) from error


def _address(host: str, server: Any) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{server.effective_port}/"
