"""Peers that have no address, and what a hostile list of addresses costs."""

from __future__ import annotations

from typing import Any

import pytest

from querybudget.identity import Scope, client_address, header
from querybudget.policy import load_policy
from tests.growth.instructions import lines

UNIX: list[Any] = [
    None,
    (),
    ("", 0),
    ("", "0"),
    (None, 0),
    ("unix:", 0),
    ("unix:/run/app.sock", 0),
    ("/a", None),
]
NAMELESS: list[Any] = [("testclient", 50_000), ("localhost", 1), ("1.2.3", 1)]
ALL = ("0.0.0.0/0", "::/0")


def scope(client: object, *headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "headers": [(b"x-user", b"ann"), *headers], "client": client}


@pytest.mark.parametrize("client", [*UNIX, *NAMELESS, ("192.0.2.1", 1), ("2001:db8::1", 1)])
def test_every_peer_is_trusted_where_the_policy_trusts_all(client: object) -> None:
    written = {"header": {"name": "x-user", "trusted_proxies": "*"}}
    budgets = [{"name": "rpm", "limit": "5/minute"}]
    (spec,) = load_policy({"version": 1, "identity": [written], "budgets": budgets}).identity
    named = header("x-user", spec.trusted_proxies)
    assert named(scope(client)) == "ann"
    forwarded = scope(client, (b"x-forwarded-for", b"junk, 203.0.113.9"))
    assert client_address(trusted_proxies=spec.trusted_proxies)(forwarded) == "203.0.113.9"


@pytest.mark.parametrize("client", UNIX)
def test_a_unix_socket_is_one_in_whatever_way_the_server_says_so(client: object) -> None:
    assert header("x-user", ("unix",))(scope(client)) == "ann"
    assert header("x-user", ("10.0.0.0/8",))(scope(client)) is None


@pytest.mark.parametrize("client", NAMELESS)
def test_a_peer_without_an_address_is_on_no_unix_socket_and_in_no_network(client: object) -> None:
    assert header("x-user", ("unix", "10.0.0.0/8", "0.0.0.0/0"))(scope(client)) is None


@pytest.mark.parametrize("client", [*UNIX, *NAMELESS])
def test_no_address_is_no_address(client: object) -> None:
    assert client_address()(scope(client)) is None
    assert client_address(trusted_proxies=ALL)(scope(client)) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"[2001:db8:0:1::9]:443", "2001:db8:0:1::/64"),
        (b"::ffff:203.0.113.9", "203.0.113.9"),
        (b"[::ffff:203.0.113.9]:80", "203.0.113.9"),
        (b"fe80:0:0:7::1%eth0", "fe80:0:0:7::/64"),
        (b"203.0.113.9:_hidden", "203.0.113.9"),
        (b"[2001:db8::9", None),
        (b"203.0.113.9:99999999", None),
        (b"0203.0.113.9", None),
        (b"203.0.113.9\x00", None),
        (b"3405803785", None),
        (b"_hidden", None),
        (b"unknown", None),
    ],
)
def test_an_entry_is_an_address_or_the_reading_ends(written: bytes, expected: str | None) -> None:
    last = scope(("10.0.0.1", 1), (b"x-forwarded-for", b"9.9.9.9, " + written))
    assert client_address(trusted_proxies=("10.0.0.0/8",))(last) == (expected or "10.0.0.1")


@pytest.mark.parametrize(
    "unit",
    [b"10.0.0.1, ", b",", b'"', b'for="10.0.0.1", ', b"for=x;", b"[", b'\\"', b" , "],
)
def test_a_list_of_100_000_entries_is_read_as_far_as_any_chain_of_proxies_goes(unit: bytes) -> None:
    resolve = client_address(trusted_proxies=("10.0.0.0/8",))
    for name in (b"x-forwarded-for", b"forwarded"):
        small, large = (
            lines(resolve, scope(("10.0.0.1", 1), (name, unit * times)))
            for times in (1_000, 100_000)
        )
        assert large <= small + 64
        # Each line of the header costs the few steps that any header costs.
        entries = [(name, unit)] * 10_000
        assert lines(resolve, scope(("10.0.0.1", 1), *entries)) < 10_000 * 6 + 5_000
