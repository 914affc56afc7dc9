"""Naming callers by what an operator has.

A command's options stand for these:

    --user NAME             ``named("user", "ada")``
    --api-key KEY           ``named("api_key", "sk-...")``
    --address IP            ``named("address", "192.0.2.7")``
    --header NAME=VALUE     ``named("header", "x-org=acme")``
    --claim PATH=VALUE      ``named("claim", "org.id=acme")``
    --partition NAME=VALUE  ``named("partition", "org=acme")``

`account_of` hashes them with the policy's secret, as a server does that runs with the policy.
"""

from __future__ import annotations

from querybudget.errors import SetupError
from querybudget.identity import KeyedHash
from querybudget.identity.account_parts import part_of
from querybudget.policy.model import Policy
from querybudget.policy.naming import CallerName
from querybudget.text import listed, nearest

PLAIN = ("user", "api_key", "address", "account")
PAIRS = ("header", "claim", "partition")


def named(kind: str, value: str) -> CallerName:
    """Return a caller by what an operator has.

    Args:
        kind: One of `PLAIN` or `PAIRS`.
        value: Its name; for one of `PAIRS`, ``NAME=VALUE``.

    Raises:
        SetupError: There is no such kind, or the value has no ``=``.
    """
    if kind in PLAIN:
        return CallerName(kind, value)
    if kind not in PAIRS:
        known = (*PLAIN, *PAIRS)
        raise SetupError(f"expected {listed(known)}, found {kind!r}{nearest(kind, known)}")
    name, equals, rest = value.partition("=")
    if not (name and equals and rest):
        raise SetupError(f"expected a {kind} as NAME=VALUE, found {value!r}")
    return CallerName(kind, rest, name.lower() if kind == "header" else name)


def account_of(policy: Policy, who: CallerName) -> str:
    """Return the part of an account's key that a caller has under a policy.

    Raises:
        SetupError: The policy has no secret, or tells nobody apart by this.
    """
    if who.kind != "account" and not policy.secret:
        raise SetupError(
            "the policy has no `secret`, so only the running server can tell whose account this"
            " is: name the account by its key, as logs show it"
        )
    hashed = KeyedHash(policy.secret or b"-")
    return part_of(who, policy.identity, policy.partitions, hashed)
