"""The host names that the dashboard accepts."""

import pytest

from hpsearch.dashboard.guards.host import HostGuard, host_name, is_loopback, is_unspecified
from tests.dashboard.asking import request


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "lab.example:80"]
)
def test_own_names_pass(host: str) -> None:
    """This machine's names, and those that were allowed, are served with and without a port."""
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
    """A host name that leads here through foreign DNS gets no answer, whatever it looks like."""
    answer = HostGuard(["lab.example"], any_address=False)(request(headers={"Host": host}))
    assert answer is not None
    assert (answer.status_code, "--allow-host" in answer.get_data(as_text=True)) == (421, True)


def test_a_server_everywhere_answers_to_addresses() -> None:
    """Behind 0.0.0.0 every IP address is a name of this machine, and no other name is."""
    guard = HostGuard(["0.0.0.0"], any_address=True)
    assert guard(request(headers={"Host": "10.0.0.5:8080"})) is None
    assert guard(request(headers={"Host": "[fe80::1]:8080"})) is None
    assert guard(request(headers={"Host": "evil.example:8080"})) is not None


def test_no_name_at_all_is_no_name() -> None:
    """A server on all addresses, whose host is empty, lets no missing and no malformed `Host` pass."""
    guard = HostGuard([""], any_address=True)
    assert guard(request(headers={"Host": "a:b:c"})) is not None
    assert guard(request(headers={"Host": ""})) is not None


def test_hosts_are_told_apart() -> None:
    """Addresses that only this machine reaches, and those for every address, are recognized."""
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.5", "lab.example", "")] == [False] * 5
    assert [is_unspecified(host) for host in ("0.0.0.0", "::", "", "10.0.0.5")] == [True] * 3 + [False]
    assert host_name("Lab.Example.:443") == "lab.example"
