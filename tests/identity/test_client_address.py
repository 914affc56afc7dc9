from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from querybudget.identity import Scope, client_address

PROXIES = ("10.0.0.0/8", "192.0.2.10", "fd00::/8")
PROXY = "10.0.0.1"

ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
STRANGERS = ADDRESSES.filter(
    lambda text: (
        not any(
            (address := _plain(text)).version == network.version and address in network
            for network in map(ip_network, PROXIES)
        )
    )
)
TRUSTED = st.sampled_from(["10.0.0.1", "10.255.3.4", "192.0.2.10", "fd00::1", "::ffff:10.1.2.3"])
JUNK = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=60)


def _plain(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def node(address: str, port: int | None) -> str:
    inner = f"[{address}]" if ":" in address else address
    text = inner if port is None else f"{inner}:{port}"
    return f'"{text}"' if ":" in text else text


def scope(
    peer: str | None, xff: list[str] | None = None, forwarded: list[str] | None = None
) -> Scope:
    headers = [(b"host", b"models.example")]
    headers += [(b"x-forwarded-for", value.encode("latin-1")) for value in xff or []]
    headers += [(b"forwarded", value.encode("latin-1")) for value in forwarded or []]
    return {
        "type": "http",
        "headers": headers,
        "client": None if peer is None else (peer, 4711),
    }


@pytest.mark.parametrize(
    ("peer", "ipv4", "ipv6", "expected"),
    [
        ("203.0.113.9", 32, 64, "203.0.113.9"),
        ("203.0.113.9", 24, 64, "203.0.113.0/24"),
        ("203.0.113.9", 0, 64, "0.0.0.0/0"),
        ("::ffff:203.0.113.9", 24, 64, "203.0.113.0/24"),
        ("2001:db8:1:2:3::9", 32, 64, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3::9", 32, 48, "2001:db8:1::/48"),
        ("2001:db8::9", 32, 128, "2001:db8::9"),
        ("fe80::1%eth0", 32, 128, "fe80::1"),
        ("testclient", 32, 64, None),
        ("", 32, 64, None),
        ("1.2.3", 32, 64, None),
        (None, 32, 64, None),
    ],
)
def test_without_proxies_the_address_is_the_peers(
    peer: str | None, ipv4: int, ipv6: int, expected: str | None
) -> None:
    assert client_address(ipv4, ipv6)(scope(peer)) == expected


@given(ADDRESSES, st.integers(0, 32), st.integers(0, 128))
def test_a_caller_has_the_name_of_its_network(text: str, ipv4: int, ipv6: int) -> None:
    address = _plain(text)
    length = ipv4 if address.version == 4 else ipv6

    found = client_address(ipv4, ipv6)(scope(text))

    assert found is not None
    assert ip_network(found) == ip_network(f"{address}/{length}", strict=False)


@given(STRANGERS, st.lists(JUNK, max_size=3))
def test_an_untrusted_peer_cannot_choose_its_address(peer: str, spoofed: list[str]) -> None:
    resolve = client_address(32, 128, PROXIES)

    assert resolve(scope(peer, spoofed, spoofed)) == resolve(scope(peer))


@given(st.lists(JUNK, max_size=3), STRANGERS, st.lists(TRUSTED, max_size=4))
def test_entries_left_of_the_first_untrusted_hop_never_change_the_outcome(
    spoofed: list[str], client: str, proxies: list[str]
) -> None:
    resolve = client_address(32, 128, PROXIES)
    expected = client_address(32, 128)(scope(client))
    appended = ", ".join([client, *proxies])
    for value in spoofed:
        assert resolve(scope(PROXY, [f"{value}, {appended}"])) == expected
    assert resolve(scope(PROXY, [*spoofed, appended])) == expected


@given(
    st.lists(JUNK, max_size=3),
    STRANGERS,
    st.lists(TRUSTED, max_size=4),
    st.one_of(st.none(), st.integers(1, 65_535)),
)
def test_the_same_holds_for_forwarded_even_with_unpaired_quotes(
    spoofed: list[str], client: str, proxies: list[str], port: int | None
) -> None:
    resolve = client_address(32, 128, PROXIES)
    expected = client_address(32, 128)(scope(client))
    appended = ", ".join(f"for={node(hop, port)};proto=https" for hop in [client, *proxies])
    for value in spoofed:
        assert resolve(scope(PROXY, forwarded=[f"{value}, {appended}"])) == expected
    assert resolve(scope(PROXY, forwarded=[*spoofed, appended])) == expected


@given(STRANGERS, st.lists(JUNK, max_size=3))
def test_a_proxy_that_writes_one_list_and_passes_on_the_other_allows_no_new_identities(
    client: str, forged: list[str]
) -> None:
    resolve = client_address(32, 128, PROXIES)
    outcomes = {
        resolve(scope(PROXY, [client], [value, "for=198.51.100.77"])) for value in forged
    } | {resolve(scope(PROXY, [*forged, "198.51.100.77"], [f"for={node(client, None)}"]))}

    assert outcomes <= {PROXY, client_address(32, 128)(scope(client))}


@pytest.mark.parametrize(
    ("xff", "expected"),
    [
        (["203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["2001:db8::9"], "2001:db8::9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["[2001:db8::9]:443"], "2001:db8::9"),
        (["[2001:db8::9"], PROXY),
        (["[2001:db8::9]443"], PROXY),
        (["[2001:db8::9]:port"], PROXY),
        (["203.0.113.9:port"], PROXY),
        (["fe80::9%25en0"], "fe80::9"),
        (["6.6.6.6, 203.0.113.9, 10.2.0.1"], "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9,10.2.0.1"], "203.0.113.9"),
        (["203.0.113.9, 10.2.0.1, , "], "203.0.113.9"),
        (["203.0.113.9, 10.2.0.1", ""], "203.0.113.9"),
        (["203.0.113.9, unknown, 10.2.0.1"], "10.2.0.1"),
        (["203.0.113.9, 256.1.1.1"], PROXY),
        (["10.3.0.1, 10.2.0.1"], "10.3.0.1"),
        ([""], PROXY),
        ([","], PROXY),
    ],
)
def test_x_forwarded_for_is_read_from_the_right(xff: list[str], expected: str) -> None:
    assert client_address(32, 128, PROXIES)(scope(PROXY, xff)) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["for=203.0.113.9"], "203.0.113.9"),
        (["For=203.0.113.9;proto=http;by=10.0.0.1"], "203.0.113.9"),
        (['proto=http; for="203.0.113.9:4711"'], "203.0.113.9"),
        (['for="[2001:db8::9]:4711"'], "2001:db8::9"),
        (['for="[2001:db8::9]"'], "2001:db8::9"),
        (["for=2001:db8::9"], "2001:db8::9"),
        (['for="203.0.113.9:_port"'], "203.0.113.9"),
        (["for=6.6.6.6, for=203.0.113.9", "for=10.2.0.1"], "203.0.113.9"),
        (['for=203.0.113.9;host="a, for=6.6.6.6", for=10.2.0.1'], "203.0.113.9"),
        (['for=203.0.113.9;host="a;b\\"c"'], "203.0.113.9"),
        (["for=_hidden, for=10.2.0.1"], "10.2.0.1"),
        (["for=unknown"], PROXY),
        (["for=203.0.113.9;for=6.6.6.6"], PROXY),
        (["proto=https"], PROXY),
        (["203.0.113.9"], PROXY),
        (["for=203.0.113.9 extra"], PROXY),
        (['for="203.0.113.9'], PROXY),
        (["for="], PROXY),
        ([";;"], PROXY),
    ],
)
def test_forwarded_is_read_as_rfc_7239_defines_it(forwarded: list[str], expected: str) -> None:
    assert client_address(32, 128, PROXIES)(scope(PROXY, forwarded=forwarded)) == expected


def test_two_lists_that_agree_are_trusted() -> None:
    found = client_address(32, 128, PROXIES)(
        scope(PROXY, ["6.6.6.6, 203.0.113.9"], ['for="203.0.113.9:80"'])
    )

    assert found == "203.0.113.9"


def test_two_lists_that_differ_are_both_ignored() -> None:
    found = client_address(32, 128, PROXIES)(scope(PROXY, ["203.0.113.9"], ["for=6.6.6.6"]))

    assert found == PROXY


def test_a_trusted_peer_on_a_unix_socket_names_the_client_and_has_no_address_itself() -> None:
    resolve = client_address(32, 64, ("unix", "10.0.0.0/8"))

    assert resolve(scope(None, ["6.6.6.6, 203.0.113.9, 10.0.0.1"])) == "203.0.113.9"
    assert resolve(scope(None, ["unknown"])) is None
    assert resolve(scope(None)) is None
    assert client_address(32, 64, PROXIES)(scope(None, ["203.0.113.9"])) is None


def test_the_number_of_entries_read_is_bounded() -> None:
    resolve = client_address(32, 64, PROXIES)

    assert resolve(scope(PROXY, ["203.0.113.9, " + ", ".join(["10.0.0.2"] * 31)])) == "203.0.113.9"
    assert resolve(scope(PROXY, ["203.0.113.9, " + ", ".join(["10.0.0.2"] * 32)])) == "10.0.0.2"
    assert resolve(scope(PROXY, ["203.0.113.9" + "," * 40])) == PROXY


@pytest.mark.parametrize("value", ["x" * 1_000_000, '",' * 500_000, "," * 1_000_000])
def test_a_megabyte_of_header_ends_at_the_last_good_address(value: str) -> None:
    resolve = client_address(32, 64, PROXIES)

    assert resolve(scope(PROXY, [value])) == PROXY
    assert resolve(scope(PROXY, forwarded=[value])) == PROXY


@given(st.lists(JUNK, max_size=4), st.lists(JUNK, max_size=4))
def test_no_header_stops_the_resolver(xff: list[str], forwarded: list[str]) -> None:
    found = client_address(24, 64, PROXIES)(scope(PROXY, xff, forwarded))

    assert found is not None
    assert ip_network(found).num_addresses in {2**8, 2**64}


@pytest.mark.parametrize("network", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", ""])
def test_an_invalid_network_is_an_error_at_once(network: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        client_address(32, 64, (network,))


def test_a_mapped_network_is_the_ipv4_network_it_maps() -> None:
    resolve = client_address(32, 64, ("::ffff:10.0.0.0/104",))

    assert resolve(scope(PROXY, ["203.0.113.9"])) == "203.0.113.9"
    assert resolve(scope("11.0.0.1", ["203.0.113.9"])) == "11.0.0.1"


HOPS = st.lists(STRANGERS | st.sampled_from(["10.0.0.1", "192.0.2.10", "fd00::1"]), min_size=1)


@given(HOPS)
def test_uvicorn_finds_the_same_client_behind_the_same_proxies(hops: list[str]) -> None:
    found = client_address(trusted_proxies=PROXIES, ipv6_prefix=128)(
        scope(PROXY, [", ".join(hops)])
    )
    assert found is not None
    assert _plain(found.partition("/")[0]) == _plain(_by_uvicorn(scope(PROXY, [", ".join(hops)])))


@given(HOPS, st.none() | st.integers(1, 65_535))
def test_both_headers_name_the_same_client_for_the_same_hops(
    hops: list[str], port: int | None
) -> None:
    resolve = client_address(trusted_proxies=PROXIES, ipv6_prefix=128)
    forwarded = [f"for={node(hop, port)};proto=https" for hop in hops]
    # One proxy appends to the list, another adds a line.
    for lines in ([", ".join(forwarded)], forwarded):
        assert resolve(scope(PROXY, forwarded=lines)) == resolve(scope(PROXY, [", ".join(hops)]))


def _by_uvicorn(asked: Scope) -> str:
    """Return the client that uvicorn's middleware puts into a scope."""
    found: list[str] = []

    async def application(scope: Scope, *_: object) -> None:
        found.append(scope["client"][0])

    middleware = ProxyHeadersMiddleware(application, list(PROXIES))
    asyncio.run(middleware({**asked, "scheme": "http"}, None, None))  # type: ignore[arg-type]
    return found[0]
