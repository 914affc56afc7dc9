"""One key is one caller, wherever it is and however it is spelt."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.identity import CONTRADICTORY, Scope, api_key
from querybudget.identity.tokens import canonical_token
from querybudget.policy import load_policy
from querybudget.policy.carriers import Carrier, carrier_of

KEYS = st.text("abcXYZ0189-_.~+/=:$|!é", min_size=1, max_size=30).filter(
    lambda key: not key.startswith("e") and key.strip("=:") == key
)
AUTHORIZATION = Carrier("authorization")
WHEREVER = (
    AUTHORIZATION,
    carrier_of("x-litellm-api-key"),
    Carrier("query", "key"),
    Carrier("cookie", "token"),
    Carrier("basic", "password"),
)


def scope(*headers: tuple[bytes, bytes], query: bytes = b"") -> Scope:
    common = [(b"host", b"models.example"), (b"cookie", b"theme=dark; a")]
    return {"type": "http", "headers": [*common, *headers], "query_string": query}


def bearer(value: bytes) -> Scope:
    return scope((b"authorization", value))


def login(text: str) -> Scope:
    return bearer(b"Basic " + base64.b64encode(text.encode()))


@st.composite
def spellings(draw: st.DrawFn, key: str) -> Scope:
    """One way to state a key that a server reads as it."""
    raw = key.encode("latin-1")
    scheme = draw(
        st.sampled_from([b"Bearer", b"bearer", b"BEARER", b"bEaReR", b"Token", b"ApiKey"])
    )
    gap = draw(st.sampled_from([b" ", b"  ", b"\t", b" \t "]))
    lines = [(b"authorization", scheme + gap + raw + draw(st.sampled_from([b"", b" ", b"\t"])))]
    lines *= draw(st.integers(1, 3))
    quoted = draw(st.sampled_from([quote, quote_plus]))(key, safe="")
    user = draw(st.text(st.characters(exclude_characters=":", codec="utf-8"), max_size=9))
    pair = base64.b64encode(f"{user}:{key}".encode())
    return draw(
        st.sampled_from(
            [
                scope(*lines),
                scope((b"x-litellm-api-key", raw)),
                scope((b"x-litellm-api-key", b"Bearer " + raw), (b"x-litellm-api-key", raw)),
                scope(query=f"a=1&key={quoted}&b".encode()),
                scope(query=f"key={quoted}&%6bey={quoted}".encode()),
                scope((b"cookie", b'a=b; token="' + raw + b'"')),
                scope((b"cookie", b"token=" + raw + b" "), (b"cookie", b"token=" + raw)),
                bearer(b"basic " + pair),
                bearer(b"Basic   " + pair + b"\t"),
                scope((b"authorization", b""), (b"authorization", b"Bearer "), *lines),
            ]
        )
    )


@given(st.data(), KEYS)
def test_one_key_is_one_caller_however_it_is_sent(data: st.DataObject, key: str) -> None:
    for first in (True, False):
        assert api_key(WHEREVER, first=first)(data.draw(spellings(key))) == key


@given(st.data(), KEYS, KEYS)
def test_two_keys_are_two_callers_or_a_contradiction(
    data: st.DataObject, one: str, other: str
) -> None:
    left, right = data.draw(spellings(one)), data.draw(spellings(other))
    both = scope(
        *left["headers"],
        *right["headers"],
        query=left["query_string"] + b"&" + right["query_string"],
    )
    expected = {one} if one == other else {CONTRADICTORY}
    assert {api_key(WHEREVER)(both)} == expected
    assert api_key(WHEREVER, first=True)(both) in {one, other, CONTRADICTORY}


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer a b",
        b"Bearer junk real",
        b"Bearer real,junk",
        b"Bearer real, Bearer junk",
        b"Bearer Bearer real",
        b"Bearer\x0breal",
        b"Bearer real\x0bjunk",
        b"Bearer \xa0real",
        b"Bearer real\x85",
        b"Bearer\xa0real",
        b"Bearer:real",
        b"Bearer=real",
        b"Bearer real\x00",
        b"Foo junk real",
        b"Basic YW5u OnB3",
        b"Basic YW5uOnB3=",
        b"Basic YW5u-_nB3",
        b"Basic YW5u",
    ],
)
def test_what_a_lenient_server_may_read_as_another_spelling_contradicts_itself(
    value: bytes,
) -> None:
    assert api_key()(bearer(value)) == CONTRADICTORY


@pytest.mark.parametrize(
    "query",
    [b"key=a%20b", b"key=+a", b"key=a;b", b"key=a&key=b", b"key=\xe9", b"key=%ff", b"key=a,b"],
)
def test_a_query_that_states_a_key_in_a_strange_way_contradicts_itself(query: bytes) -> None:
    assert api_key()(scope(query=query)) == CONTRADICTORY


@pytest.mark.parametrize(
    "cookie", [b"token=a%62", b'token="\\141"', b'token="a', b"token=a; token=b"]
)
def test_a_cookie_that_states_a_key_in_a_strange_way_contradicts_itself(cookie: bytes) -> None:
    assert api_key()(scope((b"cookie", cookie))) == CONTRADICTORY


@given(st.sampled_from(["x-litellm-api-key", "?key", "cookie"]), st.integers(0, 99))
def test_a_made_up_authorization_beside_the_real_key_makes_no_new_caller(
    place: str, number: int
) -> None:
    made_up = (b"authorization", b"Bearer made-up-%d" % number)
    real = {
        "x-litellm-api-key": scope(made_up, (b"x-litellm-api-key", b"real")),
        "?key": scope(made_up, query=b"key=real"),
        "cookie": scope(made_up, (b"cookie", b"token=real")),
    }[place]
    carrier = Carrier("cookie", "token") if place == "cookie" else carrier_of(place)

    assert api_key()(real) == CONTRADICTORY
    assert api_key((carrier,))(real) == "real"
    assert api_key((carrier, AUTHORIZATION), first=True)(real) == "real"
    assert api_key((AUTHORIZATION, carrier))(real) == CONTRADICTORY


def test_no_place_is_believed_that_the_policy_does_not_name() -> None:
    only = api_key((carrier_of("x-api-key"),))
    assert only(scope((b"authorization", b"Bearer a"), (b"api-key", b"b"), query=b"key=c")) is None


@given(st.text(st.characters(codec="latin-1", exclude_characters=":"), min_size=1, max_size=9))
def test_any_user_name_beside_one_password_is_one_caller_where_the_password_is_the_key(
    user: str,
) -> None:
    assert api_key((Carrier("basic", "password"),))(login(f"{user}:sk-1")) == "sk-1"
    assert api_key()(login(f"{user}:sk-1")) == CONTRADICTORY


@given(st.text(st.characters(codec="latin-1"), max_size=9))
def test_any_password_beside_one_user_name_is_one_caller_where_that_is_the_key(
    password: str,
) -> None:
    assert api_key((Carrier("basic", "user"),))(login(f"sk-1:{password}")) == "sk-1"


def test_a_login_is_a_caller_where_both_parts_count_or_one_is_empty() -> None:
    assert api_key((Carrier("basic", "pair"),))(login("ann:pw")) == "ann:pw"
    assert api_key()(login(":sk-1")) == api_key()(login("sk-1:")) == "sk-1"
    assert api_key()(login(":")) is None
    latin = bearer(b"Basic " + base64.b64encode("ann:caf\xe9".encode("latin-1")))
    assert api_key((Carrier("basic", "pair"),))(latin) == "ann:caf\xe9"


# -- JSON Web Tokens -----------------------------------------------------------------------------


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(alg: str = "HS256", signature: bytes = b"\xfb\xef\xbes" * 8) -> str:
    header = json.dumps({"alg": alg, "typ": "JWT"}).encode()
    claims = b'{"sub":"ann"}'
    return f"{part(header)}.{part(claims)}.{part(signature)}"


@given(st.binary(min_size=1, max_size=70))
def test_a_token_has_one_spelling(signature: bytes) -> None:
    plain = token(signature=signature)
    assert canonical_token(plain) == plain
    head, _, last = plain.rpartition(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = {
        f"{plain}=",
        f"{plain}==",
        f"{plain}!",
        f"{head}.!{last}",
        f"{head}.{last[:1]}*{last[1:]}",
    }
    others |= {plain[:-1] + char for char in alphabet} - {plain}
    lenient = {
        other
        for other in others
        if base64.urlsafe_b64decode(other.rpartition(".")[2].rstrip("=") + "===") == signature
    }
    assert {canonical_token(other) for other in lenient} <= {CONTRADICTORY}
    swapped = head + "." + last.replace("-", "+").replace("_", "/")
    assert swapped == plain or canonical_token(swapped) == CONTRADICTORY


@pytest.mark.parametrize(
    ("alg", "order"),
    [
        ("ES256", 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551),
        ("ES256K", 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141),
    ],
)
@given(st.integers(1, 2**255), st.integers(1, 2**255))
def test_both_signatures_of_one_curve_point_are_one_caller(
    alg: str, order: int, r: int, s: int
) -> None:
    one = token(alg, r.to_bytes(32) + s.to_bytes(32))
    other = token(alg, r.to_bytes(32) + (order - s).to_bytes(32))
    assert canonical_token(one) == canonical_token(other) != CONTRADICTORY
    assert (
        canonical_token(token(alg, s.to_bytes(32) + r.to_bytes(32))) != canonical_token(one)
        or r == s
    )


@pytest.mark.parametrize("key", ["engine.key.one", "e2e.a.b", "sk-1.2.3", "e..", "eyJ", "eyJ."])
def test_a_key_with_dots_that_is_no_token_is_itself(key: str) -> None:
    assert canonical_token(key) == key


@given(st.text(max_size=60))
def test_no_text_stops_the_reading_of_a_token(text: str) -> None:
    canonical_token("eyJhbGciOiJFUzI1NiJ9." + text)
    canonical_token(text)


# -- The policy ------------------------------------------------------------------------------------


def test_a_policy_names_the_places_of_keys() -> None:
    written: dict[str, object] = {
        "version": 1,
        "identity": [
            {
                "api_key": {
                    "from": [
                        "authorization",
                        "X-Api-Key",
                        {"header": "x-litellm-api-key"},
                        {"query": "key"},
                        {"cookie": "token"},
                        {"basic": "user"},
                    ]
                }
            }
        ],
        "budgets": [{"name": "rpm", "limit": "5/minute"}],
    }
    (spec,) = load_policy(written).identity
    assert spec.carriers == (
        AUTHORIZATION,
        Carrier("header", "x-api-key"),
        Carrier("header", "x-litellm-api-key"),
        Carrier("query", "key"),
        Carrier("cookie", "token"),
        Carrier("basic", "user"),
    )
    assert spec.first


@pytest.mark.parametrize(
    ("server", "names", "first"),
    [
        ("vllm", ["authorization"], False),
        ("litellm", ["x-litellm-api-key", "authorization"], True),
        (["vllm", "anthropic"], ["authorization", "x-api-key"], False),
    ],
)
def test_a_server_says_where_its_keys_are(server: object, names: list[str], first: bool) -> None:
    budgets = [{"name": "rpm", "limit": "5/minute"}]
    policy = load_policy({"version": 1, "server": server, "budgets": budgets})
    (spec,) = [spec for spec in policy.identity if spec.kind == "api_key"]
    assert [carrier.name or carrier.kind for carrier in spec.carriers][:2] == names
    assert spec.first is first


@pytest.mark.parametrize(
    ("server", "differing", "first"),
    [
        ("litellm", None, True),
        ("litellm", "contradict", False),
        ("vllm", "first", True),
        (["vllm", "anthropic"], "contradict", False),
    ],
)
@pytest.mark.parametrize("place", ["identity", "partitions"])
def test_what_the_policy_says_of_differing_keys_goes_before_its_server(
    server: object, differing: str | None, first: bool, place: str
) -> None:
    resolver = {"api_key": {} if differing is None else {"differing": differing}}
    policy = load_policy(
        {
            "server": server,
            place: [resolver] if place == "identity" else {"key": resolver},
            "budgets": [{"name": "rpm", "limit": "5/minute"}],
        }
    )
    chain = policy.identity if place == "identity" else [policy.partitions["key"].resolver]
    (spec,) = [spec for spec in chain if spec.kind == "api_key"]
    assert spec.first is first
    assert AUTHORIZATION in spec.carriers
