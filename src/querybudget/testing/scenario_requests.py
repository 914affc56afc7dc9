"""Requests as the calls of a policy's tests describe them."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from typing import Any
from urllib.parse import quote, urlencode
from zlib import crc32

import msgspec

from querybudget.asgi.types import Message, Scope
from querybudget.policy.carriers import DEFAULT_CARRIERS, Carrier
from querybudget.policy.model import Policy, ResolverSpec
from querybudget.policy.scenario import ScenarioCaller, ScenarioCalls
from querybudget.testing.asgi import http_scope, request
from querybudget.testing.sweeping import sweep
from querybudget.units import MICRO

NUMBER = "x-request-id"
"""The header that carries a call's number, by which its event is found."""

PORT = 50_000
CLIENT = "192.0.2.1"
"""The address of a request that nothing is said of (RFC 5737)."""

_BENCHMARKS = int(ipaddress.ip_address("198.18.0.0"))  # RFC 2544: a network for tests
_ADDRESSES = 1 << 17
_FILLER = "word"

_OF_KEYS = "!#$%&'()*+/:=?@[]^_`{|}~"
"""Signs that keys may have. A space or a comma makes one that contradicts itself."""


def sent_by(policy: Policy, name: str, caller: ScenarioCaller | None) -> dict[str, Any]:
    """Return what a request says of who sends it, as arguments of `http_scope`.

    Args:
        policy: Whose `identity` says how a name alone is sent.
        name: The caller's name in the test; empty for none.
        caller: What the test says of it; None for nothing.
    """
    said = caller or ScenarioCaller()
    members: dict[str, Any] = {"headers": dict(said.headers), "query_string": b""}
    if said.api_key:
        _carry(Carrier("authorization"), said.api_key, members)
    if said.user:
        members["user"] = said.user
    if said.claims:
        members["auth"] = dict(said.claims)
    named = said.api_key or said.user or said.address or said.headers
    if name and not named and policy.identity:
        _name(policy.identity[0], name, members)
    address = said.address or members.pop("address", "") or _proxy(policy, members["headers"])
    members["client"] = (address or CLIENT, PORT) if address != "unix" else None
    return members


def scope_of(calls: ScenarioCalls, number: int, sent: dict[str, Any]) -> Scope:
    """Return the scope of one request.

    Args:
        calls: What the test says of it.
        number: Its number in the test.
        sent: From `sent_by`.
    """
    path, _, query = calls.path.partition("?")
    whole = "&".join(part for part in (query, sent["query_string"].decode()) if part)
    headers = {**sent["headers"], **calls.headers, NUMBER: str(number)}
    if calls.method not in {"GET", "HEAD"}:
        headers.setdefault("content-type", "application/json")
    fields = [(name.lower().encode(), _field(value)) for name, value in headers.items()]
    members: dict[str, Any] = {**sent, "headers": fields, "query_string": whole.encode()}
    return http_scope(path, method=calls.method, **members)


def _field(value: str) -> bytes:
    """Return a header's value as clients send it: in UTF-8 where Latin-1 has not all of it."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


def body_of(calls: ScenarioCalls, index: int, bytes_per_token: int) -> list[Message]:
    """Return the messages with the body of one of several calls that are alike.

    Args:
        calls: What the test says of them.
        index: Which of them, from 0.
        bytes_per_token: The policy's estimate, in millionths.
    """
    if calls.body:
        return request(calls.body.encode())
    if calls.method in {"GET", "HEAD"}:
        return request()
    text = sweep(calls.times)[index] if calls.sweep else _text(calls, bytes_per_token)
    body: dict[str, Any] = {"model": calls.model, **_asking(calls.path.partition("?")[0], text)}
    if calls.max_tokens is not None:
        body["max_output_tokens" if "input" in body else "max_tokens"] = calls.max_tokens
    if calls.stream:
        body["stream"] = True
    return request(msgspec.json.encode(body))


def _asking(path: str, text: str) -> dict[str, Any]:
    """Return the members of a body that hold a prompt, in the dialect that a path is read in."""
    if path.endswith(("/embeddings", "/responses")):
        return {"input": text}
    if path.endswith("/completions") and not path.endswith("/chat/completions"):
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


def _text(calls: ScenarioCalls, bytes_per_token: int) -> str:
    if calls.prompt is not None:
        return calls.prompt
    if calls.input is None:
        return "Hello"
    size = calls.input * bytes_per_token // MICRO
    return (f"{_FILLER} " * (size // len(_FILLER) + 1))[:size]


def _name(spec: ResolverSpec, name: str, members: dict[str, Any]) -> None:
    """Let a request name its sender as a resolver reads it."""
    match spec.kind:
        case "api_key":
            _carry((spec.carriers or DEFAULT_CARRIERS)[0], quote(name, safe=_OF_KEYS), members)
        case "user":
            members["user"] = name
        case "header":
            members["headers"][spec.name] = name
        case "claim":
            members["auth"] = {spec.name: name, **members.get("auth", {})}
        case _:
            members["address"] = _address(name)


def _carry(carrier: Carrier, key: str, members: dict[str, Any]) -> None:
    headers = members["headers"]
    match carrier.kind:
        case "authorization":
            headers["authorization"] = f"Bearer {key}"
        case "basic":
            login = f"x:{key}" if carrier.name == "password" else f"{key}:x"
            headers["authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        case "header":
            headers[carrier.name] = key
        case "query":
            members["query_string"] = urlencode({carrier.name: key}).encode()
        case "cookie":
            headers["cookie"] = f"{carrier.name}={key}"


def _address(name: str) -> str:
    """Return the address that a name is, or else one of its own."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return str(ipaddress.ip_address(_BENCHMARKS + crc32(name.encode()) % _ADDRESSES))


def _proxy(policy: Policy, headers: dict[str, str]) -> str:
    """Return a proxy that is trusted to set one of the headers; empty if none needs one."""
    specs = (*policy.identity, *(each.resolver for each in policy.partitions.values()))
    for spec in specs:
        if spec.kind == "header" and spec.name in headers:
            proxy = spec.trusted_proxies[0]
            return proxy.partition("/")[0] if proxy != "*" else CLIENT
    return ""
