"""`request_scope`: who calls and which path, of a call that did not come over ASGI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from querybudget.limiter import request_scope
from querybudget.testing import memory_limiter

BUDGETS = [{"name": "rpm", "limit": "9/minute"}]


def source_of(identity: list[Any], **arguments: Any) -> str:
    limiter = memory_limiter({"identity": identity, "budgets": BUDGETS})
    return limiter.caller_for(request_scope("/x", **arguments)).identity.source


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer a", "trace-bin": b"\x00\xff"},
        [("authorization", "Bearer a"), ("trace-bin", b"\x00\xff")],
        (("AUTHORIZATION", b"Bearer a"),),
        iter([("authorization", "Bearer a"), ("authorization", b"Bearer a")]),
    ],
)
def test_headers_are_a_mapping_or_pairs_of_text_or_bytes(
    headers: Mapping[str, str | bytes] | Iterable[tuple[str, str | bytes]],
) -> None:
    assert source_of(["api_key"], headers=headers) == "api_key"


def test_a_caller_with_two_different_credentials_is_anonymous() -> None:
    headers = [("authorization", "Bearer a"), ("authorization", "Bearer b")]
    assert source_of(["api_key"], headers=headers) == "anonymous"


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7", "fe80::1%eth0"])
def test_a_client_is_an_address(client: str) -> None:
    assert source_of(["client_address"], client=client) == "client_address"


@pytest.mark.parametrize(
    "client",
    ["ipv4:127.0.0.1:5000", "127.0.0.1:5000", "[::1]:80", "unix:/tmp/s", "localhost", "\ud800"],
)
def test_a_client_that_is_more_or_less_than_an_address_is_rejected(client: str) -> None:
    with pytest.raises(ValueError, match="IP address without a port"):
        request_scope("/x", client=client)


def test_a_client_that_is_not_known_is_anonymous() -> None:
    assert source_of(["client_address"]) == "anonymous"


@pytest.mark.parametrize(
    ("path", "headers"), [("/\ud800", {}), ("/x", {"authorization": "Bearer \ud800"})]
)
def test_text_that_is_not_unicode_is_rejected(path: str, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        request_scope(path, headers=headers)


def test_a_header_that_is_neither_text_nor_bytes_is_rejected() -> None:
    wrong: Any = {"x-user": 7}
    with pytest.raises(TypeError, match="text or bytes, found int"):
        request_scope("/x", headers=wrong)
