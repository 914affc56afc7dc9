"""A caller that an operator names is the one that the path charges."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.admin.callers import account_of, named
from querybudget.errors import SetupError
from querybudget.identity import KeyedHash
from querybudget.limiter.rules import Rules
from querybudget.policy import load_policy

SECRET = "0123456789abcdef"
BUDGETS = [{"name": "own", "limit": "2 requests/minute"}]
PEER = ("10.0.0.1", 1)

keys = st.text("abcdefgXYZ0123456789-_./+=", min_size=1)
addresses = st.ip_addresses().map(str)
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


def policy(*identity: Any, **more: Any) -> Any:
    return load_policy({"secret": SECRET, "identity": list(identity), "budgets": BUDGETS, **more})


def charged(loaded: Any, **scope: Any) -> str:
    rules = Rules(loaded, KeyedHash(SECRET.encode()), None)
    return rules.caller_for({"type": "http", "headers": [], **scope}).identity.key


@given(keys)
def test_an_api_key(key: str) -> None:
    sent = [(b"authorization", b"Bearer " + key.encode())]
    loaded = policy("api_key")
    assert account_of(loaded, named("api_key", key)) == charged(loaded, headers=sent)


@given(names)
def test_a_user(name: str) -> None:
    loaded = policy("user")
    assert account_of(loaded, named("user", name)) == charged(loaded, user=name)


@given(names)
def test_a_header(value: str) -> None:
    loaded = policy({"header": {"name": "x-user", "trusted_proxies": "*"}})
    sent = [(b"x-user", value.encode())]
    asked = named("header", f"X-User={value}")
    assert account_of(loaded, asked) == charged(loaded, headers=sent, client=PEER)


@given(names)
def test_a_claim(value: str) -> None:
    loaded = policy({"claim": "org.id"})
    auth = {"org": {"id": value}}
    assert account_of(loaded, named("claim", f"org.id={value}")) == charged(loaded, auth=auth)


@given(addresses)
def test_an_address(address: str) -> None:
    loaded = policy({"client_address": {"ipv4_prefix": 24}})
    assert account_of(loaded, named("address", address)) == charged(loaded, client=(address, 1))


@given(names)
def test_a_pool_by_its_partition_or_by_what_names_it(value: str) -> None:
    loaded = policy("api_key", partitions={"org": {"claim": "org.id"}})
    rules = Rules(loaded, KeyedHash(SECRET.encode()), None)
    caller = rules.caller_for({"type": "http", "headers": [], "auth": {"org": {"id": value}}})
    pool = rules.matcher.partitions.pool("org", caller)
    assert account_of(loaded, named("partition", f"org={value}")) == pool
    assert account_of(loaded, named("claim", f"org.id={value}")) == pool


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("user", "ada", "names callers by `api_key` or `claim org.id`, not by user"),
        ("api_key", "two words", "no caller can have this api key"),
        ("partition", "orgs=acme", "did you mean `org`"),
        ("claim", "acme", "NAME=VALUE"),
        ("usr", "ada", "did you mean `user`"),
        ("account", "0123", "a whole part"),
    ],
)
def test_what_names_nobody_says_what_was_expected(kind: str, value: str, message: str) -> None:
    loaded = policy("api_key", partitions={"org": {"claim": "org.id"}})
    with pytest.raises(SetupError, match=message):
        account_of(loaded, named(kind, value))


def test_without_a_secret_only_keys_name_accounts() -> None:
    loaded = load_policy({"budgets": BUDGETS})
    assert account_of(loaded, named("account", "0" * 32)) == "0" * 32
    with pytest.raises(SetupError, match="no `secret`"):
        account_of(loaded, named("user", "ada"))
