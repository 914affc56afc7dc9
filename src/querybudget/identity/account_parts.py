"""From what an operator has of a caller to the part of an account's key that the path makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from querybudget.errors import SetupError
from querybudget.identity.identity import ANONYMOUS
from querybudget.identity.keys import canonical_key
from querybudget.identity.networks import network_namer, parse_address
from querybudget.policy.model import Partition, ResolverSpec
from querybudget.policy.naming import RESOLVERS, CallerName
from querybudget.text import listed, nearest

_ACCOUNT = re.compile(r"[0-9a-f]{32}|[a-z0-9_-]+:.+|everyone")


def part_of(
    who: CallerName,
    identity: Sequence[ResolverSpec],
    partitions: Mapping[str, Partition],
    hashed: Callable[[str, str], str],
) -> str:
    """Return the part of an account's key that is a caller's, or a pool's.

    A header or a claim that identifies callers names an identity; otherwise the pool of the
    partition that it is the name of.

    Args:
        who: The caller.
        identity: The policy's chain of resolvers.
        partitions: The policy's partitions.
        hashed: The policy's `KeyedHash`.

    Raises:
        SetupError: The policy tells nobody apart by this, or no caller can have this name.
    """
    if who.kind == "account":
        if who.value != ANONYMOUS and not _ACCOUNT.fullmatch(who.value):
            raise SetupError(f"expected a whole part of an account's key, found {who.value!r}")
        return who.value
    if who.kind == "partition":
        partition = partitions.get(who.name)
        if partition is None:
            near = nearest(who.name, partitions)
            raise SetupError(f"expected a partition of the policy, found {who.name!r}{near}")
        return f"{who.name}:{hashed(who.name, name_of(partition.resolver, who.value))}"
    kind = RESOLVERS.get(who.kind, who.kind)
    for spec in identity:
        if (spec.kind, spec.name) == (kind, who.name):
            source = f"{kind}:{spec.name}" if spec.name else kind
            return hashed(source, name_of(spec, who.value))
    for name, partition in partitions.items():
        if (partition.resolver.kind, partition.resolver.name) == (kind, who.name):
            return f"{name}:{hashed(name, name_of(partition.resolver, who.value))}"
    known = [_shown(spec) for spec in identity]
    known += [_shown(partition.resolver) for partition in partitions.values()]
    found = f"{who.kind} {who.name}".strip()
    raise SetupError(f"the policy names callers by {listed(known)}, not by {found}")


def name_of(spec: ResolverSpec, value: str) -> str:
    """Return the name that a resolver gives a caller who sends a value.

    Raises:
        SetupError: No caller can have this name.
    """
    name: str | None = value
    match spec.kind:
        case "api_key":
            pairs = [one for one in spec.carriers if (one.kind, one.name) == ("basic", "pair")]
            if not (pairs and len(pairs) == len(spec.carriers)):
                name = canonical_key(value.strip())
        case "header":
            name = value.strip().encode().decode("latin-1")
        case "client_address":
            address = parse_address(value.strip())
            namer = network_namer(spec.ipv4_prefix, spec.ipv6_prefix)
            name = namer(address) if address is not None else None
        case _:
            pass
    if not name:
        raise SetupError(f"no caller can have this {spec.kind.replace('_', ' ')}")
    return name


def _shown(spec: ResolverSpec) -> str:
    return f"{spec.kind} {spec.name}" if spec.name else spec.kind
