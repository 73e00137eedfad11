"""The token: the ways to give it, and refusals without it."""

import base64
from typing import Final
from urllib.parse import quote

import pytest

from hpsearch.dashboard.guards import guarded
from hpsearch.dashboard.guards.token import TokenGuard
from tests.dashboard.client import Received, fetch, greeting

TOKEN: Final = "correct horse ü battery"
SITE: Final = guarded(greeting, [TokenGuard(TOKEN)])


def basic(password: str, name: str = "user") -> dict[str, str]:
    """Return the header in which a browser sends a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def fetch_with_token(
    address: str = "/studies/a%20b?token=correct+horse+%C3%BC+battery&x=1", **request: str
) -> Received:
    """Return the response to an address that contains the token."""
    return fetch(SITE, address, **request)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic /////w=="},
        basic("wrong"),
        basic("", name=TOKEN),
        {"Cookie": f"hpsearch={TOKEN}"},
        {"Cookie": 'x="'},
        {"Authorization": "Digest password=wrong, username=x"},
    ],
)
def test_without_the_token_nothing_is_served(headers: dict[str, str]) -> None:
    """A request without the token, with a wrong one or a malformed header gets 401 and the reason, and no page."""
    site = guarded(greeting, [TokenGuard(TOKEN)])
    for address in ("/", "/static/bundle.js", "/healthz", "/?token=wrong", "/?token="):
        response = fetch(site, address, headers=headers)
        assert (response.status, b"hello" in response.body) == (401, False)
        assert response.headers["www-authenticate"].startswith("Basic")


def test_the_token_is_accepted_in_three_forms() -> None:
    """A bearer token, a password with any name, and the cookie set by the address with the token are accepted."""
    cookie = fetch_with_token().headers["set-cookie"].partition(";")[0]
    bearer = {"Authorization": f"bearer {TOKEN}"}
    for headers in (bearer, basic(TOKEN), basic(TOKEN, name=""), {"Cookie": f"a=b; {cookie}; c=d"}):
        assert fetch(SITE, headers=headers).status == 200


def test_a_token_may_have_any_printable_characters() -> None:
    """A bearer token with equals signs, commas and quotation marks is compared as a whole."""
    token = 'realm="a", b=c=='
    site = guarded(greeting, [TokenGuard(token)])
    assert fetch(site, headers={"Authorization": f"Bearer {token}"}).status == 200
    assert fetch(site, headers=basic(token)).status == 200
    assert fetch(site, headers={"Authorization": "Bearer realm"}).status == 401


def test_the_token_stays_in_no_address() -> None:
    """The address with the token redirects to the same one without it, and the cookie does not contain the token."""
    response = fetch_with_token()
    assert (response.status, response.headers["location"]) == (303, "/studies/a%20b?x=1")
    assert response.headers["cache-control"] == "no-store"
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert "horse" not in cookie
    assert "; Secure" in fetch_with_token(scheme="https").headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["//evil.example/", "/%5Cevil.example", "/%2F%2Fevil.example", "/%0d%0aX: y"]
)
def test_the_redirect_stays_on_this_server(path: str) -> None:
    """No spelling of a path makes the redirect lead to another server or adds a header."""
    location = fetch_with_token(f"{path}?token=correct+horse+%C3%BC+battery").headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert "\r" not in location
    assert "\n" not in location


def test_a_cookie_of_another_token_is_refused() -> None:
    """Two dashboards on one machine have separate cookies, and neither accepts the other's."""
    other = guarded(greeting, [TokenGuard("another token altogether")])
    cookie = fetch_with_token().headers["set-cookie"].partition(";")[0]
    assert fetch(other, headers={"Cookie": cookie}).status == 401


def test_a_token_in_the_address_of_a_change_is_ignored() -> None:
    """The token in the address of a change is not accepted: addresses are written into logs."""
    assert fetch(SITE, "/?token=correct+horse+%C3%BC+battery", method="POST").status == 401


@pytest.mark.parametrize(
    "others",
    ['settings={"a":1}', 'x="a; b=c"', "x=1; y", "a name=1", 'x="open', "=", ";;", "list=[1 2]", "é=1"],
)
def test_cookies_of_other_programs_do_not_hide_ours(others: str) -> None:
    """Cookies are shared by all ports of a host: ours is found among any that other programs have set."""
    cookie = fetch_with_token().headers["set-cookie"].partition(";")[0]
    for both in (f"{others}; {cookie}", f"{cookie}; {others}"):
        assert fetch(SITE, "/", headers={"Cookie": both}).status == 200
    assert fetch(SITE, "/", headers={"Cookie": others}).status == 401


@pytest.mark.parametrize("way", ["address", "bearer", "basic"])
def test_guessing_slows_down_after_ten_failures(way: str) -> None:
    """Ten wrong tokens are checked at once, then one each second; in between the right one is refused too."""
    now = [100.0]
    site = guarded(greeting, [TokenGuard(TOKEN, clock=lambda: now[0])])

    def guess(token: str) -> int:
        if way == "address":
            return fetch(site, f"/?token={quote(token)}").status
        return fetch(
            site, headers=basic(token) if way == "basic" else {"Authorization": f"Bearer {token}"}
        ).status

    assert [guess(f"wrong {i}") for i in range(12)] == [401] * 10 + [429, 429]
    assert guess(TOKEN) == 429
    assert fetch(site).status == 401  # a request without a token is not counted
    now[0] += 1
    assert [guess("wrong"), guess("wrong"), guess(TOKEN)] == [401, 429, 429]
    now[0] += 1
    assert guess(TOKEN) in (200, 303)
    now[0] += 60
    assert [guess("wrong") for _ in range(11)] == [401] * 10 + [429]


def test_guesses_of_one_address_do_not_lock_out_others() -> None:
    """An address that guesses locks out neither other addresses nor authorized clients."""
    site = guarded(greeting, [TokenGuard(TOKEN, clock=lambda: 0.0)])
    cookie = {"Cookie": fetch_with_token().headers["set-cookie"].partition(";")[0]}
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(20):
        response = fetch(site, headers={"Authorization": "Bearer wrong"}, remote="192.0.2.1")
    assert (response.status, response.headers["retry-after"]) == (429, "1")
    assert fetch(site, headers=bearer, remote="192.0.2.1").status == 429
    assert fetch(site, headers=bearer, remote="192.0.2.2").status == 200
    assert fetch(site, headers=cookie, remote="192.0.2.1").status == 200
    # With a cookie a token in the address is not compared, only taken away.
    assert fetch(site, "/a?token=wrong", headers=cookie, remote="192.0.2.1").headers["location"] == "/a"
