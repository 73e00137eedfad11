"""The guard of the `Host` header: a page of another site must not reach us under its own name (DNS rebinding).

Werkzeug's `host_is_trusted` does not replace it: it refuses IPv6 addresses, capitals, final dots and underscores.
"""

import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final, final

from werkzeug import Request, Response

from hpsearch.dashboard.guards import refusal

LOCAL: Final = ("127.0.0.1", "localhost", "::1")


@final
class HostGuard:
    """Accepts requests that address this server by a name that its users use.

    With `any_address` every IP address is such a name: no DNS can redirect it.
    """

    def __init__(self, allowed: Iterable[str], *, any_address: bool) -> None:
        # Without the empty name, which stands for all addresses, and for a malformed `Host`.
        self._allowed = frozenset(host.lower().strip("[]") for host in (*LOCAL, *allowed)) - {""}
        self._any_address = any_address

    def __call__(self, request: Request) -> Response | None:
        """Refuse a request whose `Host` is missing, malformed or not ours."""
        header = request.headers.get("Host", "")
        host = host_name(header)
        if host in self._allowed or (self._any_address and is_address(host)):
            return None
        return refusal(
            HTTPStatus.MISDIRECTED_REQUEST,
            f"Host: must be a name of this server (got {header[:200]!r}): open it by its address, or start it with "
            "--allow-host NAME",
        )


def host_name(host: str) -> str:
    """Return the name in `name:port` or `[address]:port`, in lower case; empty if it is malformed."""
    name, colon, port = host.strip().lower().rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host.strip().lower(), ""
    if not (port == "" or port.isdecimal()) or (colon and name == ""):
        return ""
    if name.startswith("["):
        return name[1:-1] if name.endswith("]") and is_address(name[1:-1]) else ""
    return "" if ":" in name else name.rstrip(".")


def is_address(host: str) -> bool:
    """Return True if the host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return True if only programs on this machine can reach the host."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def is_unspecified(host: str) -> bool:
    """Return True if the host stands for all addresses of this machine."""
    return host == "" or (is_address(host) and ipaddress.ip_address(host).is_unspecified)
