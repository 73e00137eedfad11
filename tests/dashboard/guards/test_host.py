"""The host names that the dashboard accepts."""

import pytest

from hpsearch.dashboard.guards.host import HostGuard, host_name, is_loopback, is_unspecified
from tests.dashboard.client import request


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "lab.example:80"]
)
def test_own_names_are_accepted(host: str) -> None:
    """Names of this machine and allowed names are accepted, with and without a port."""
    guard = HostGuard(["lab.example"], any_address=False)
    assert guard(request(headers={"Host": host})) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.5"),
        *("", ":80", "[::1", "a b", "127.0.0.1:8080@evil.example", "localhost:80:80", "127.0.0.1:port"),
    ],
)
def test_other_names_are_refused(host: str) -> None:
    """A host name that resolves to this server through foreign DNS is refused, however it is spelled."""
    response = HostGuard(["lab.example"], any_address=False)(request(headers={"Host": host}))
    assert response is not None
    assert (response.status_code, "--allow-host" in response.get_data(as_text=True)) == (421, True)


def test_a_server_on_all_addresses_accepts_addresses() -> None:
    """A server on 0.0.0.0 accepts every IP address as a host, and no other name."""
    guard = HostGuard(["0.0.0.0"], any_address=True)
    assert guard(request(headers={"Host": "10.0.0.5:8080"})) is None
    assert guard(request(headers={"Host": "[fe80::1]:8080"})) is None
    assert guard(request(headers={"Host": "evil.example:8080"})) is not None


def test_a_missing_host_is_refused() -> None:
    """A server on all addresses, whose own host is empty, refuses a missing and a malformed `Host`."""
    guard = HostGuard([""], any_address=True)
    assert guard(request(headers={"Host": "a:b:c"})) is not None
    assert guard(request(headers={"Host": ""})) is not None


def test_kinds_of_hosts_are_recognized() -> None:
    """Loopback addresses, and those that stand for all addresses, are recognized."""
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.5", "lab.example", "")] == [False] * 5
    assert [is_unspecified(host) for host in ("0.0.0.0", "::", "", "10.0.0.5")] == [True] * 3 + [False]
    assert host_name("Lab.Example.:443") == "lab.example"
