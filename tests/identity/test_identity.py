from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.errors import SetupError
from querybudget.identity import ANONYMOUS, CONTRADICTORY, Identity, KeyedHash, Scope, identify
from querybudget.identity.identity import Resolver

SECRET = b"a secret that nothing may show"
NAMES = st.text(st.characters(), max_size=40)
KINDS = st.sampled_from(["api_key", "user", "header:x-a", "header:x-ab", "client_address", ""])


def knows(name: str | None) -> Resolver:
    return lambda scope: name


def test_a_pseudonym_is_32_hexadecimal_digits() -> None:
    pseudonym = KeyedHash(SECRET)("api_key", "sk-1")

    assert len(pseudonym) == 32
    assert set(pseudonym) <= set("0123456789abcdef")


@given(KINDS, NAMES)
def test_one_secret_gives_the_same_pseudonyms_in_every_process(kind: str, name: str) -> None:
    assert KeyedHash(SECRET)(kind, name) == KeyedHash(bytes(SECRET))(kind, name)


@given(st.tuples(KINDS, NAMES), st.tuples(KINDS, NAMES))
def test_two_callers_never_share_a_pseudonym(one: tuple[str, str], other: tuple[str, str]) -> None:
    hashed = KeyedHash(SECRET)

    assert (hashed(*one) == hashed(*other)) == (one == other)


def test_a_kind_cannot_run_over_into_a_name() -> None:
    hashed = KeyedHash(SECRET)

    assert hashed("header:x-a", "b") != hashed("header:x-ab", "")
    assert hashed("a\0", "b") != hashed("a", "\0b")


@given(NAMES)
def test_another_secret_gives_another_pseudonym(name: str) -> None:
    assert KeyedHash(SECRET)("user", name) != KeyedHash(SECRET + b"!")("user", name)


def test_secrets_longer_than_a_key_of_blake2b_count_to_their_last_byte() -> None:
    assert KeyedHash(b"x" * 100 + b"1")("user", "a") != KeyedHash(b"x" * 100 + b"2")("user", "a")


def test_an_empty_secret_is_refused_with_what_to_do() -> None:
    with pytest.raises(SetupError, match="set `secret` in the policy, or pass random bytes"):
        KeyedHash(b"")


@pytest.mark.parametrize("show", [repr, str, format, ascii])
def test_the_secret_is_never_shown(show: Callable[[KeyedHash], str]) -> None:
    hashed = KeyedHash(SECRET)
    hashed("api_key", "sk-1")

    assert show(hashed) == "KeyedHash(...)"


def test_a_hash_cannot_be_pickled_secret_and_all() -> None:
    hashed = KeyedHash(SECRET)
    hashed("api_key", "sk-1")

    with pytest.raises(TypeError):
        pickle.dumps(hashed)


@given(NAMES.filter(lambda name: len(name) > 3))
def test_an_identity_shows_nothing_of_the_name(name: str) -> None:
    identity = identify([("api_key", knows(name))], KeyedHash(SECRET), {})

    assert repr(identity) == f"Identity(key='{identity.key}', source='api_key')"
    assert identity.key == KeyedHash(SECRET)("api_key", name)


def test_an_identity_is_a_value() -> None:
    identity = Identity("k", "user")

    assert identity == copy.copy(identity)
    assert len({identity, Identity("k", "user")}) == 1
    with pytest.raises(AttributeError):
        setattr(identity, "key", "other")  # noqa: B010  a type checker refuses the plain form


def test_the_first_resolver_that_returns_a_name_wins() -> None:
    links = [("user", knows(None)), ("api_key", knows("k")), ("client_address", knows("192.0.2.1"))]

    assert identify(links, KeyedHash(SECRET), {}).source == "api_key"


def test_callers_that_no_resolver_identifies_share_the_anonymous_identity() -> None:
    anonymous = Identity(ANONYMOUS, ANONYMOUS)

    assert identify([("user", knows(None))], KeyedHash(SECRET), {}) == anonymous
    assert identify([], KeyedHash(SECRET), {}) == anonymous


def test_a_caller_that_contradicts_itself_is_anonymous_whatever_follows() -> None:
    asked: list[Scope] = []

    def follows(scope: Scope) -> str | None:
        asked.append(scope)
        return "192.0.2.1"

    links = [("api_key", knows(CONTRADICTORY)), ("client_address", follows)]

    assert identify(links, KeyedHash(SECRET), {}).key == ANONYMOUS
    assert asked == []
