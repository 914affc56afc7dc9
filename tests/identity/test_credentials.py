from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.identity import CONTRADICTORY, KeyedHash, Scope, api_key, header, identify

KEYS = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","),
    min_size=1,
    max_size=60,
).filter(lambda key: not key.lower().startswith("bearer"))
PROXY = ("10.0.0.5", 4711)
PROXIES = ("10.0.0.0/8", "2001:db8:1::/48")


def scope(*headers: tuple[bytes, bytes], client: tuple[str, int] | None = PROXY) -> Scope:
    common = [(b"host", b"models.example"), (b"accept", b"*/*")]
    return {"type": "http", "headers": [*common, *headers], "client": client}


def basic(credential: bytes) -> bytes:
    return b"Basic " + base64.b64encode(credential)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (b"authorization", b"Bearer sk-1", "sk-1"),
        (b"authorization", b"bearer sk-1", "sk-1"),
        (b"authorization", b"BEARER   sk-1 ", "sk-1"),
        (b"authorization", b"Bearer\tsk-1", "sk-1"),
        (b"authorization", b"Bearer sk 1", CONTRADICTORY),
        (b"authorization", b"Bearer", None),
        (b"authorization", b"Bearer ", None),
        (b"authorization", b"", None),
        (b"authorization", b"sk-1", "sk-1"),
        (b"authorization", basic(b"ann:pw"), CONTRADICTORY),
        (b"authorization", b"Basic not base64!", CONTRADICTORY),
        (b"authorization", b"Basic ", None),
        (b"authorization", b"Digest username=ann", None),
        (b"authorization", b"AWS4-HMAC-SHA256 Credential=a", None),
        (b"x-api-key", b" sk-1 ", "sk-1"),
        (b"x-api-key", b"", None),
        (b"api-key", b"sk-1", "sk-1"),
        (b"api-key", b"caf\xe9\xff", "caf\xe9\xff"),
        (b"x-api-keys", b"sk-1", None),
    ],
)
def test_a_credential_is_taken_from_the_headers_that_carry_one(
    name: bytes, value: bytes, expected: str | None
) -> None:
    assert api_key()(scope((name, value))) == expected


def test_a_scope_without_headers_identifies_nobody() -> None:
    assert api_key()({"type": "http"}) is None
    assert header("x-user", PROXIES)({"type": "http"}) is None


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer sk-1"), (b"authorization", b"Bearer sk-1")],
        [(b"authorization", b"Bearer sk-1"), (b"x-api-key", b"sk-1")],
        [(b"x-api-key", b""), (b"api-key", b"sk-1"), (b"authorization", b"Bearer ")],
    ],
)
def test_the_same_credential_sent_twice_is_one(headers: list[tuple[bytes, bytes]]) -> None:
    assert api_key()(scope(*headers)) == "sk-1"


@given(KEYS, st.lists(KEYS, min_size=1, max_size=3))
def test_adding_credentials_never_makes_another_identity(key: str, others: list[str]) -> None:
    added = [(b"x-api-key", other.encode()) for other in others]
    found = api_key()(scope((b"authorization", b"Bearer " + key.encode()), *added))

    assert found == (key if set(others) == {key} else CONTRADICTORY)


@given(st.binary(max_size=40))
def test_any_encoding_of_a_basic_credential_is_the_same_caller(pair: bytes) -> None:
    padded = b"Basic   " + base64.b64encode(pair) + b" "

    assert api_key()(scope((b"authorization", padded))) == api_key()(
        scope((b"authorization", basic(pair)))
    )


def test_an_encoding_that_a_lenient_server_would_also_accept_is_no_second_identity() -> None:
    assert api_key()(scope((b"authorization", b"Basic YW5u!OnB3"))) == CONTRADICTORY


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=60)), max_size=8))
def test_no_bytes_in_any_header_stop_a_resolver(headers: list[tuple[bytes, bytes]]) -> None:
    names = (b"authorization", b"x-api-key", b"x-user")
    everywhere = [(name, value) for _, value in headers for name in names]
    found = identify(
        [("api_key", api_key()), ("header:x-user", header("x-user", PROXIES))],
        KeyedHash(b"s"),
        scope(*headers, *everywhere),
    )

    assert len(found.key) in {32, len("anonymous")}


def test_a_credential_of_a_megabyte_costs_only_a_hash() -> None:
    found = identify(
        [("api_key", api_key())], KeyedHash(b"s"), scope((b"x-api-key", b"k" * 1_000_000))
    )

    assert len(found.key) == 32


@given(KEYS.filter(lambda key: len(key) > 4))
def test_no_credential_appears_in_an_identity(key: str) -> None:
    resolve, hashed = api_key(), KeyedHash(b"s")
    before = repr(resolve)
    found = identify([("api_key", resolve)], hashed, scope((b"x-api-key", key.encode())))

    assert found.key == hashed("api_key", key)
    assert repr(found) == f"Identity(key='{hashed('api_key', key)}', source='api_key')"
    assert repr(resolve) == before


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (PROXY, "ann"),
        (("::ffff:10.0.0.5", 1), "ann"),
        (("2001:db8:1::9", 1), "ann"),
        (("192.0.2.1", 1), None),
        (("2001:db8:2::9", 1), None),
        (("testclient", 50_000), None),
        (("", 0), None),
        (None, None),
    ],
)
def test_a_header_is_accepted_only_from_a_trusted_peer(
    client: tuple[str, int] | None, expected: str | None
) -> None:
    assert header("x-user", PROXIES)(scope((b"x-user", b"ann"), client=client)) == expected


def test_a_header_is_never_accepted_without_trusted_proxies() -> None:
    assert header("x-user", ())(scope((b"x-user", b"ann"))) is None


def test_a_peer_on_a_unix_socket_is_trusted_if_the_policy_says_so() -> None:
    assert header("x-user", ("unix",))(scope((b"x-user", b"ann"), client=None)) == "ann"
    assert header("x-user", ("unix",))(scope((b"x-user", b"ann"))) is None


def test_a_header_that_a_proxy_added_instead_of_replacing_contradicts_itself() -> None:
    twice = [(b"x-user", b"forged"), (b"x-user", b"ann")]

    assert header("x-user", PROXIES)(scope(*twice)) == CONTRADICTORY
    assert header("x-user", PROXIES)(scope(*twice, client=("192.0.2.1", 1))) is None
    assert header("x-user", PROXIES)(scope(twice[1], twice[1])) == "ann"


def test_an_empty_header_identifies_nobody() -> None:
    assert header("x-user", PROXIES)(scope((b"x-user", b"  "))) is None
    assert header("x-user", PROXIES)(scope((b"x-user", b""), (b"x-user", b"ann"))) == "ann"


def test_a_header_is_found_however_the_policy_spells_it() -> None:
    assert header("X-User", PROXIES)(scope((b"x-user", b"ann"))) == "ann"
