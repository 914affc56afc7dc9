"""Identity and partitions: from the file's structs to the policy's types."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence

from msgspec import UNSET

from querybudget.policy import file
from querybudget.policy.carriers import Carrier, CarrierFile, Kind, carrier_of, shown
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.model import Partition, ResolverSpec
from querybudget.policy.routes import Server
from querybudget.policy.servers import server_file
from querybudget.text import nearest

POOLS = ("identity", "everyone", "tier", "model", "template", "route", "group")
"""What a budget can be pooled over without a partition."""

_EVERYWHERE = ("0.0.0.0/0", "::/0")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The name of a header. The source is RFC 9110, section 5.6.2."""
_NAME = re.compile(r"[a-z0-9_-]{1,64}")

_NO_HEADERS = ("authorization", "query", "cookie", "basic", "header")
"""No header but the first has such a name: a word near them is misspelt, or lacks its braces."""

FORGED = (
    "expected `trusted_proxies` beside its `name`, the networks that may set this header (`*` for"
    " every one), found none: anyone who can set it chooses whose budget is used"
)
"""What is wrong with a header that anyone may set."""


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


def check_name(name: str, path: Path, problems: Problems) -> None:
    """Check a name: it becomes part of headers (RFC 9651 strings), keys and metrics."""
    if not _NAME.fullmatch(name):
        problems.add(path, f"expected a name of 1 to 64 of a-z, 0-9, _ and -, found `{name[:70]}`")


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
                trusted_proxies=networks(address.trusted_proxies, proxies, problems),
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
    name = header_name(written.header, (*path, "header") if named else path, problems)
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
    name = header_name(header.name, name_path, problems)
    if not header.trusted_proxies:
        problems.add(path, FORGED)
    proxies = networks(header.trusted_proxies, (*path, "trusted_proxies"), problems)
    return ResolverSpec("header", name, proxies)


def header_name(name: str, path: Path, problems: Problems) -> str:
    """Check the name of a header, and return it in lower case."""
    if not TOKEN.fullmatch(name):
        problems.add(path, f"expected the name of a header such as `x-org-id`, found `{name}`")
    return name.lower()


def networks(texts: tuple[str, ...], path: Path, problems: Problems) -> tuple[str, ...]:
    """Build networks in CIDR notation."""
    built: list[str] = []
    for text in texts:
        try:
            built += _network(text)
        except ValueError as error:
            problems.add(problems.item(path, text), str(error))
    return tuple(built)


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
