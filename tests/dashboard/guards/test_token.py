"""The token: how it may be given, and that nothing else opens."""

import base64
from typing import Final
from urllib.parse import quote

import pytest

from hpsearch.dashboard.guards import guarded
from hpsearch.dashboard.guards.token import TokenGuard
from tests.dashboard.asking import Asked, ask, greeting

TOKEN: Final = "correct horse ü battery"
SITE: Final = guarded(greeting, [TokenGuard(TOKEN)])


def basic(password: str, name: str = "anybody") -> dict[str, str]:
    """Return the header by which a browser sends a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def entered(address: str = "/reports/a%20b?token=correct+horse+%C3%BC+battery&x=1", **request: str) -> Asked:
    """Return the answer to the address that has the token in it."""
    return ask(SITE, address, **request)


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
    """No token, a wrong one, or a malformed header gets a 401 that states the requirement, and nothing else."""
    site = guarded(greeting, [TokenGuard(TOKEN)])
    for address in ("/", "/static/bundle.js", "/healthz", "/?token=wrong", "/?token="):
        answer = ask(site, address, headers=headers)
        assert (answer.status, b"hello" in answer.body) == (401, False)
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_the_token_opens_in_three_ways() -> None:
    """A bearer token, a password with any name, and the cookie that the address with the token sets."""
    cookie = entered().headers["set-cookie"].partition(";")[0]
    bearer = {"Authorization": f"bearer {TOKEN}"}
    for headers in (bearer, basic(TOKEN), basic(TOKEN, name=""), {"Cookie": f"a=b; {cookie}; c=d"}):
        assert ask(SITE, headers=headers).status == 200


def test_a_token_may_have_any_printable_characters() -> None:
    """A bearer token with equals signs, commas and quotation marks is compared as a whole."""
    token = 'realm="a", b=c=='
    site = guarded(greeting, [TokenGuard(token)])
    assert ask(site, headers={"Authorization": f"Bearer {token}"}).status == 200
    assert ask(site, headers=basic(token)).status == 200
    assert ask(site, headers={"Authorization": "Bearer realm"}).status == 401


def test_the_token_stays_in_no_address() -> None:
    """The address with the token leads to the same one without it, and what the cookie holds is not the token."""
    answer = entered()
    assert (answer.status, answer.headers["location"]) == (303, "/reports/a%20b?x=1")
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert "horse" not in cookie
    assert "; Secure" in entered(scheme="https").headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["//evil.example/", "/%5Cevil.example", "/%2F%2Fevil.example", "/%0d%0aX: y"]
)
def test_the_redirect_stays_here(path: str) -> None:
    """No path, however it is written, makes the redirect lead to another server or add a header."""
    location = entered(f"{path}?token=correct+horse+%C3%BC+battery").headers["location"]
    assert location.startswith("/")
    assert not location.startswith(("//", "/\\"))
    assert "\r" not in location
    assert "\n" not in location


def test_a_cookie_of_another_token_opens_nothing() -> None:
    """Two dashboards on one machine have cookies of their own, and neither opens the other."""
    other = guarded(greeting, [TokenGuard("another token altogether")])
    cookie = entered().headers["set-cookie"].partition(";")[0]
    assert ask(other, headers={"Cookie": cookie}).status == 401


def test_a_change_does_not_enter() -> None:
    """The token in the address of a change is not taken: addresses are written into logs."""
    assert ask(SITE, "/?token=correct+horse+%C3%BC+battery", method="POST").status == 401


@pytest.mark.parametrize(
    "others",
    ['settings={"a":1}', 'x="a; b=c"', "x=1; y", "a name=1", 'x="open', "=", ";;", "list=[1 2]", "é=1"],
)
def test_cookies_of_other_programs_lock_nobody_out(others: str) -> None:
    """Cookies do not know ports: whatever other programs of this host have set, ours is found beside it."""
    cookie = entered().headers["set-cookie"].partition(";")[0]
    for both in (f"{others}; {cookie}", f"{cookie}; {others}"):
        assert ask(SITE, "/", headers={"Cookie": both}).status == 200
    assert ask(SITE, "/", headers={"Cookie": others}).status == 401


@pytest.mark.parametrize("way", ["address", "bearer", "basic"])
def test_guessing_slows_down_after_ten_failures(way: str) -> None:
    """Ten wrong tokens are answered at once, then one each second; in between the right one does not open either."""
    now = [100.0]
    site = guarded(greeting, [TokenGuard(TOKEN, clock=lambda: now[0])])

    def guess(token: str) -> int:
        if way == "address":
            return ask(site, f"/?token={quote(token)}").status
        return ask(
            site, headers=basic(token) if way == "basic" else {"Authorization": f"Bearer {token}"}
        ).status

    assert [guess(f"wrong {i}") for i in range(12)] == [401] * 10 + [429, 429]
    assert guess(TOKEN) == 429
    assert ask(site).status == 401  # who tries nothing is asked for a token
    now[0] += 1
    assert [guess("wrong"), guess("wrong"), guess(TOKEN)] == [401, 429, 429]
    now[0] += 1
    assert guess(TOKEN) in (200, 303)
    now[0] += 60
    assert [guess("wrong") for _ in range(11)] == [401] * 10 + [429]


def test_guesses_of_one_address_leave_others_and_cookies_alone() -> None:
    """An address that guesses locks out neither other addresses nor authorized clients."""
    site = guarded(greeting, [TokenGuard(TOKEN, clock=lambda: 0.0)])
    cookie = {"Cookie": entered().headers["set-cookie"].partition(";")[0]}
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(20):
        answer = ask(site, headers={"Authorization": "Bearer wrong"}, remote="192.0.2.1")
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert ask(site, headers=bearer, remote="192.0.2.1").status == 429
    assert ask(site, headers=bearer, remote="192.0.2.2").status == 200
    assert ask(site, headers=cookie, remote="192.0.2.1").status == 200
    # With a cookie a token in the address is not compared, only taken away.
    assert ask(site, "/a?token=wrong", headers=cookie, remote="192.0.2.1").headers["location"] == "/a"
