from __future__ import annotations

import pytest

from querybudget.errors import SetupError
from querybudget.identity import KeyedHash, chain, identify, resolver
from querybudget.policy.model import ResolverSpec

SCOPE = {
    "type": "http",
    "client": ("10.0.0.1", 1),
    "headers": [
        (b"authorization", b"Bearer sk-1"),
        (b"x-a", b"same"),
        (b"x-b", b"same"),
        (b"x-forwarded-for", b"203.0.113.9"),
    ],
    "user": "ann",
    "auth": {"org": {"id": "acme"}},
}
TRUSTED = ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("spec", "source", "name"),
    [
        (ResolverSpec("user"), "user", "ann"),
        (ResolverSpec("api_key"), "api_key", "sk-1"),
        (ResolverSpec("header", "x-a", TRUSTED), "header:x-a", "same"),
        (ResolverSpec("claim", "org.id"), "claim:org.id", "acme"),
        (ResolverSpec("client_address"), "client_address", "10.0.0.1"),
        (
            ResolverSpec("client_address", trusted_proxies=TRUSTED, ipv4_prefix=24),
            "client_address",
            "203.0.113.0/24",
        ),
    ],
)
def test_each_kind_in_the_policy_makes_its_resolver(
    spec: ResolverSpec, source: str, name: str
) -> None:
    assert resolver(spec)(SCOPE) == name
    assert identify(chain([spec]), KeyedHash(b"s"), SCOPE).source == source


def test_the_same_value_in_two_headers_is_two_callers() -> None:
    one, other = (chain([ResolverSpec("header", name, TRUSTED)]) for name in ("x-a", "x-b"))
    hashed = KeyedHash(b"s")

    assert identify(one, hashed, SCOPE) != identify(other, hashed, SCOPE)


def test_an_unknown_kind_is_an_error_that_names_the_nearest_one() -> None:
    with pytest.raises(SetupError, match=r"found `api-key` \(did you mean `api_key`\?\)"):
        resolver(ResolverSpec("api-key"))
    with pytest.raises(SetupError, match=r"found `zzz`$"):
        resolver(ResolverSpec("zzz"))
