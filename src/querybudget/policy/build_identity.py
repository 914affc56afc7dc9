"""Identity, partitions and tiers: from the file's structs to the policy's types."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from msgspec import UNSET, structs

from querybudget.notation import LARGEST
from querybudget.policy import file
from querybudget.policy.carriers import Carrier, CarrierFile, Kind, carrier_of, shown
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.model import Partition, ResolverSpec, Tier, TierRule
from querybudget.policy.naming import CallerName
from querybudget.policy.routes import Server
from querybudget.policy.servers import server_file
from querybudget.policy.tier_words import NotFile, TierFile, WhenFile
from querybudget.text import listed, nearest
from querybudget.units import MICRO, Unit

POOLS = ("identity", "everyone", "tier", "model", "template", "group")
"""What a budget can be pooled over without a partition."""

_WHO = ("user", "api_key", "account")
_PARTS = ("source", "claim", "header", "partition", *_WHO)

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2
_NAME = re.compile(r"[a-z0-9_-]{1,64}")

_NO_HEADERS = ("authorization", "query", "cookie", "basic", "header")
"""No header but the first has such a name: a word near them is misspelt, or lacks its braces."""

_FORGED = (
    "expected `trusted_proxies`, the networks that may set this header (`*` for every one), found"
    " none: anyone who can set it chooses whose budget is used"
)


def identity(
    links: tuple[file.ResolverFile, ...], server: Sequence[Server], problems: Problems
) -> tuple[ResolverSpec, ...]:
    """Build the chain of resolvers, each at most once; `server` says where keys are."""
    specs: dict[ResolverSpec, None] = {}
    for index, link in enumerate(links):
        path = ("identity", index)
        spec = _resolver(link, path, server, problems)
        if spec in specs:
            problems.add(path, f"expected each resolver once, found `{spec.kind}` again")
        elif spec is not None:
            specs[spec] = None
    if not links:
        problems.add(("identity",), "expected at least one resolver, found none")
    return tuple(specs)


def partitions(
    written: Mapping[str, file.PartitionFile], server: Sequence[Server], problems: Problems
) -> Mapping[str, Partition]:
    """Build the partitions by name; `server` says where keys are."""
    built: dict[str, Partition] = {}
    for name, resolver in written.items():
        path = ("partitions", name)
        check_name(name, path, problems)
        if name in POOLS:
            message = f"expected a new name, found `{name}`, which `per` already knows"
            problems.add(path, message)
        spec = _resolver(resolver, path, server, problems)
        if spec is not None:
            built[name] = Partition(name, spec, resolver.missing)
    return built


def tiers(
    written: Mapping[str, TierFile],
    budgets: tuple[file.BudgetFile, ...],
    chain: Sequence[ResolverSpec],
    known: Sequence[str],
    problems: Problems,
) -> tuple[Tier, ...]:
    """Build the tiers in order; check that their factors are of budgets or units that exist.

    Args:
        written: The tiers as written.
        budgets: The budgets as written.
        chain: How callers are identified.
        known: Names of the partitions.
        problems: Takes what is wrong.
    """
    limits = dict.fromkeys(Unit, 0) | {
        budget.name: 0 if budget.limit is UNSET else budget.limit.amount
        for budget in budgets
        if budget.name is not UNSET
    }
    for budget in budgets:
        if budget.limit is not UNSET:
            unit, amount = budget.limit.unit, budget.limit.amount
            limits[unit] = max(limits[unit], amount)
    built = tuple(_tier(name, tier, limits, known, problems) for name, tier in written.items())
    identified = {"account", *(spec.kind for spec in chain)}
    for tier in built:
        for rule, word in ((tier.when, ()), (tier.when.excluded, ("not",))):
            kinds = {who.kind for who in rule.callers} - identified if rule else set[str]()
            for kind in sorted(kinds):
                message = f"expected `{kind}` in `identity` too: nobody is identified by it"
                problems.add(("tiers", tier.name, "when", *word, kind), message)
    return built


def check_name(name: str, path: Path, problems: Problems) -> None:
    """Check a name: it becomes part of headers (RFC 9651 strings), keys and metrics."""
    if not _NAME.fullmatch(name):
        problems.add(path, f"expected a name of 1 to 64 of a-z, 0-9, _ and -, found `{name[:70]}`")


def _tier(
    name: str,
    tier: TierFile,
    limits: Mapping[str, int],
    known: Sequence[str],
    problems: Problems,
) -> Tier:
    path = ("tiers", name)
    check_name(name, path, problems)
    if name == "default":
        problems.add(
            path, "expected another name, found `default`, the tier of callers without one"
        )
    for key, factor in tier.scale.items():
        _check_factor(key, factor, limits, (*path, "scale", key), problems)
    rule = TierRule() if tier.when is UNSET else _when(tier.when, (*path, "when"), known, problems)
    return Tier(name, rule, tier.scale, tier.also)


def _check_factor(
    key: str, factor: int, limits: Mapping[str, int], path: Path, problems: Problems
) -> None:
    if key not in limits:
        message = f"expected a budget or a unit, found `{key}`{nearest(key, limits)}"
        problems.add(path, message)
    if factor == 0:
        problems.add(path, "expected a factor above zero, found 0")
    if limits.get(key, 0) * factor > LARGEST * MICRO:
        problems.add(path, "expected a smaller factor: the scaled limit is too large to count")


def _when(when: WhenFile, path: Path, known: Sequence[str], problems: Problems) -> TierRule:
    rule = _rule(when, path, known, problems, excluding=when.excluded is not None)
    if when.excluded is None:
        return rule
    excluded = _rule(when.excluded, (*path, "not"), known, problems)
    return structs.replace(rule, excluded=excluded)


def _rule(
    when: NotFile,
    path: Path,
    known: Sequence[str],
    problems: Problems,
    *,
    excluding: bool = False,
) -> TierRule:
    headers = {
        _header_name(name, (*path, "header", name), problems): frozenset(values)
        for name, values in when.header.items()
    }
    if headers and not when.trusted_proxies:
        problems.add((*path, "header"), _FORGED)
    for name in when.partition:
        if name not in known:
            message = f"expected one of `partitions`, found `{name}`{nearest(name, known)}"
            problems.add((*path, "partition", name), message)
    callers = [CallerName(kind, value) for kind in _WHO for value in getattr(when, kind)]
    given = (when.source, when.claim, when.header, when.partition, callers, excluding)
    if not (any(given) or problems.wrong(path)):
        problems.add(path, f"expected one of {listed(_PARTS)}, found none of them")
    return TierRule(
        frozenset(when.source),
        {name: frozenset(values) for name, values in when.claim.items()},
        headers,
        _networks(when.trusted_proxies, (*path, "trusted_proxies"), problems),
        tuple(callers),
        {name: frozenset(values) for name, values in when.partition.items()},
    )


def _resolver(
    link: file.ResolverFile, path: Path, server: Sequence[Server], problems: Problems
) -> ResolverSpec | None:
    match link:
        case file.ResolverFile(header=file.HeaderFile() as header):
            return _header_resolver(header, (*path, "header"), problems)
        case file.ResolverFile(claim=file.ClaimFile(path=str(claim))):
            if not claim:
                problems.add((*path, "claim"), "expected a claim such as `org.id`, found nothing")
            return ResolverSpec("claim", claim)
        case file.ResolverFile(client_address=file.AddressFile() as address):
            proxies = (*path, "client_address", "trusted_proxies")
            return ResolverSpec(
                "client_address",
                trusted_proxies=_networks(address.trusted_proxies, proxies, problems),
                ipv4_prefix=address.ipv4_prefix,
                ipv6_prefix=address.ipv6_prefix,
            )
        case file.ResolverFile(user=file.NothingFile()):
            return ResolverSpec("user")
        case file.ResolverFile(api_key=file.ApiKeyFile() as api_key):
            return _key_resolver(api_key, (*path, "api_key"), server, problems)
        case _:
            return None


def _key_resolver(
    written: file.ApiKeyFile, path: Path, server: Sequence[Server], problems: Problems
) -> ResolverSpec:
    """Take keys from where the policy says, or else from where its servers do."""
    carriers = _carriers(written.carriers, (*path, "from"), problems)
    ordered = first = bool(carriers)
    if not carriers:
        if "from" in problems.keys(path) and not problems.wrong((*path, "from")):
            problems.add((*path, "from"), "expected at least one place, found none")
        files = [server_file(name) for name in server]
        words = dict.fromkeys(word for each in files for word in each.keys)
        carriers = tuple(carrier_of(word) for word in words)
        ordered = len(files) == 1  # the order of several servers says nothing
        first = ordered and files[0].first
    if written.differing == "first" and not ordered and not problems.wrong(path):
        message = "expected `from` beside `differing: first`, found none: no order is known"
        problems.add((*path, "differing"), message)
    if written.differing is not None:
        first = written.differing == "first"
    return ResolverSpec("api_key", carriers=carriers, first=first)


def _carriers(
    written: Sequence[CarrierFile], path: Path, problems: Problems
) -> tuple[Carrier, ...]:
    carriers: dict[Carrier, None] = {}
    for index, each in enumerate(written):
        place = (*path, index)
        carrier = _carrier(each, place, problems)
        if carrier in carriers:
            place += tuple(problems.keys(place))
            problems.add(place, f"expected each place once, found `{shown([carrier])}` again")
        elif carrier is not None:
            carriers[carrier] = None
    return tuple(carriers)


def _carrier(written: CarrierFile, path: Path, problems: Problems) -> Carrier | None:
    if written.basic is not None:
        return Carrier("basic", written.basic)
    name = written.query if written.query is not None else written.cookie
    if name is not None:
        kind: Kind = "cookie" if written.query is None else "query"
        if not name:
            problems.add(path, f"expected the name of a {kind}, found nothing")
        return Carrier(kind, name)
    if written.header is None:
        return None  # what stands there is noted as wrong
    named = problems.mapping(path)
    name = _header_name(written.header, (*path, "header") if named else path, problems)
    near = "" if named or name == "authorization" else nearest(name, _NO_HEADERS)
    if near:
        near = "" if name in _NO_HEADERS else near
        expected = "`authorization`, `{query: NAME}` or, for a header, `{header: NAME}`"
        problems.add(path, f"expected {expected}, found `{written.header}`{near}")
    return carrier_of(name)


def _header_resolver(
    header: file.HeaderFile, path: Path, problems: Problems
) -> ResolverSpec | None:
    if header.name is UNSET:
        return None
    name_path = (*path, "name") if problems.mapping(path) else path
    name = _header_name(header.name, name_path, problems)
    if not header.trusted_proxies:
        problems.add(path, _FORGED)
    networks = _networks(header.trusted_proxies, (*path, "trusted_proxies"), problems)
    return ResolverSpec("header", name, networks)


def _header_name(name: str, path: Path, problems: Problems) -> str:
    if not _TOKEN.fullmatch(name):
        problems.add(path, f"expected the name of a header such as `x-org-id`, found `{name}`")
    return name.lower()


def _networks(texts: tuple[str, ...], path: Path, problems: Problems) -> tuple[str, ...]:
    networks: list[str] = []
    for text in texts:
        try:
            networks += _network(text)
        except ValueError as error:
            problems.add(problems.item(path, text), str(error))
    return tuple(networks)


def _network(text: str) -> tuple[str, ...]:
    if text == "*":
        return _EVERYWHERE
    if text == "unix":
        return (text,)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"expected a network such as `10.0.0.0/8`, found `{text}`") from None
    if "/" in text and ipaddress.ip_interface(text).ip != network.network_address:
        raise ValueError(f"expected a network, found an address in one (did you mean `{network}`?)")
    return (str(network),)
