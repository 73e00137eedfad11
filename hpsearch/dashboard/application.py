"""The whole dashboard as one WSGI application."""

from collections.abc import Sequence
from pathlib import Path
from wsgiref.types import WSGIApplication

from hpsearch.dashboard.changes import refuse_changes, refuse_other_origins
from hpsearch.dashboard.headers import behind_proxy, with_headers
from hpsearch.dashboard.hosts import HostGuard, is_unspecified
from hpsearch.dashboard.limits import LimitGuard
from hpsearch.dashboard.live import LiveStudies
from hpsearch.dashboard.options import Options
from hpsearch.dashboard.routes import Routes
from hpsearch.dashboard.stock import stock_dashboard
from hpsearch.dashboard.tokens import TokenGuard
from hpsearch.dashboard.wsgi import Guard, guarded
from hpsearch.storage.optuna.storage import OptunaStorage
from hpsearch.storage.store import Store


def make_site(
    store: Store, storage: OptunaStorage, artifacts: Path | None = None, *, read_only: bool = False
) -> WSGIApplication:
    """Return all pages of the database of `store` and `storage`, without guards.

    With `read_only`, our pages omit actions that would be refused; `protected` refuses them.
    """
    live = LiveStudies(store)
    return Routes(live, stock_dashboard(storage, live, artifacts), read_only=read_only)


def protected(site: WSGIApplication, asked: Sequence[Guard]) -> WSGIApplication:
    """Return the site with the guards `asked`, for requests that a proxy may have forwarded."""
    return with_headers(behind_proxy(guarded(site, asked)))


def guards(options: Options) -> list[Guard]:
    """Return the guards that refuse requests, in the order of their checks."""
    hosts = HostGuard((*options.allowed_hosts, options.host), any_address=is_unspecified(options.host))
    asked: list[Guard] = [hosts]
    if options.token is not None:
        asked.append(TokenGuard(options.token))
    asked.append(refuse_other_origins)
    if options.read_only:
        asked.append(refuse_changes)
    asked.append(LimitGuard(has_artifacts=options.artifacts is not None))
    return asked
