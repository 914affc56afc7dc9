from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from starlette.authentication import AuthCredentials, SimpleUser, UnauthenticatedUser

from querybudget.identity import claim, user

ID = UUID("12345678-1234-5678-1234-567812345678")


class Account(SimpleUser):
    @property
    def identity(self) -> str:
        return "account-7"


class Broken:
    @property
    def is_authenticated(self) -> bool:
        raise RuntimeError("the session is closed")

    identity = "ann"


class HalfBroken:
    is_authenticated = True

    @property
    def identity(self) -> str:
        raise RuntimeError("the session is closed")


@dataclass
class Principal:
    org: str = "acme"
    claims: dict[str, Any] = field(default_factory=dict[str, Any])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, None),
        ("ann", "ann"),
        ("", None),
        (7, "7"),
        (True, None),
        (SimpleUser("ann"), "ann"),
        (Account("Ann Other"), "account-7"),
        (UnauthenticatedUser(), None),
        (Broken(), None),
        (HalfBroken(), None),
        (object(), None),
        ({"id": 7, "sub": "ann"}, "7"),
        ({"sub": "ann"}, "ann"),
        ({"id": "", "sub": "ann"}, "ann"),
        ({"id": ID}, str(ID)),
        ({"id": True}, None),
        ({"id": ["ann"]}, None),
        ({"id": "ann", "is_authenticated": False}, None),
        ({}, None),
        (SimpleNamespace(id=7, is_authenticated=True), "7"),
        (SimpleNamespace(id=7, is_authenticated=False), None),
        (SimpleNamespace(display_name="Ann"), "Ann"),
    ],
)
def test_a_user_has_the_name_that_authentication_has_set(
    found: object, expected: str | None
) -> None:
    assert user()({"user": found}) == expected


def test_without_authentication_there_is_no_user() -> None:
    assert user()({"type": "http", "headers": [(b"user", b"ann")]}) is None


@pytest.mark.parametrize(
    "scope",
    [
        {"auth": {"org": "acme"}},
        {"auth": SimpleNamespace(claims={"org": "acme"})},
        {"user": {"org": "acme"}},
        {"user": SimpleNamespace(claims={"org": "acme"})},
        {"user": Principal()},
        {"state": {"claims": {"org": "acme"}}},
        {"state": {"jwt": {"org": "acme"}}},
        {"state": {"token": {"org": "acme"}}},
        {"state": SimpleNamespace(claims={"org": "acme"})},
        {
            "auth": AuthCredentials(["read"]),
            "user": SimpleUser("ann"),
            "state": {"jwt": {"org": "acme"}},
        },
    ],
)
def test_a_claim_is_found_in_each_place_that_is_documented(scope: dict[str, Any]) -> None:
    assert claim("org")(scope) == "acme"


def test_the_first_place_that_has_the_claim_wins() -> None:
    scope = {
        "auth": {"org": "first"},
        "user": {"org": "second"},
        "state": {"jwt": {"org": "third"}},
    }

    assert claim("org")(scope) == "first"


@pytest.mark.parametrize(
    ("claims", "path", "expected"),
    [
        ({"org": {"id": 9}}, "org.id", "9"),
        ({"org.id": "flat"}, "org.id", "flat"),
        ({"https://example.com/org": "acme"}, "https://example.com/org", "acme"),
        ({"org": {"id": None}}, "org.id", None),
        ({"org": "acme"}, "org.id", None),
        ({"org": {}}, "org", None),
        ({"org": ""}, "org", None),
        ({"vip": True}, "vip", "true"),
        ({"roles": ["admin", "dev"]}, "roles", None),
        ({"roles": ["dev"]}, "roles", "dev"),
        ({"rate": 1.5}, "rate", None),
    ],
)
def test_a_claim_is_a_text_a_whole_number_or_a_boolean(
    claims: dict[str, Any], path: str, expected: str | None
) -> None:
    assert claim(path)({"auth": claims}) == expected


def test_nothing_private_of_an_object_is_a_claim() -> None:
    assert claim("__class__")({"user": Principal()}) is None
    assert claim("org.__class__")({"user": Principal()}) is None


def test_a_claim_whose_property_raises_is_no_claim() -> None:
    assert claim("identity")({"user": HalfBroken()}) is None


def test_nothing_the_client_sent_is_a_claim() -> None:
    scope = {"type": "http", "headers": [(b"org", b"acme"), (b"authorization", b"Bearer x.y.z")]}

    assert claim("org")(scope) is None
