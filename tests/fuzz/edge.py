"""Promises of the edge: who calls, which path is meant, and bodies that are compressed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import unquote

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.asgi.body import BodyTooLarge, decoded
from querybudget.asgi.encodings import (
    DamagedError,
    acceptable,
    decodable,
    decoder_for,
    parse_codings,
)
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.identity import KeyedHash, chain, identify, networks
from querybudget.identity.networks import parse_address
from querybudget.limiter.scopes import path_of, paths_of
from querybudget.paths import is_plain, normal, readings
from querybudget.policy.model import ResolverSpec
from tests.fuzz.pieces import Pieces

PROXIES = ("10.0.0.0/8", "192.0.2.1", "unix", "::1")
CHAIN = chain(
    [
        ResolverSpec("api_key"),
        ResolverSpec("header", name="x-user", trusted_proxies=PROXIES),
        ResolverSpec("claim", name="org"),
        ResolverSpec("client_address", trusted_proxies=PROXIES),
    ]
)
ADDRESS = chain([ResolverSpec("client_address", trusted_proxies=PROXIES)])
HASH = KeyedHash(b"sixteen or more bytes")
HEADERS = (
    b"authorization",
    b"x-api-key",
    b"api-key",
    b"x-goog-api-key",
    b"cookie",
    b"forwarded",
    b"x-forwarded-for",
    b"x-user",
)
LIMIT = 1 << 16
MOST_READINGS = 2 * (1 + 3 * 5 * 2**5)


def scope_of(pieces: Pieces) -> Scope:
    clients = (("192.0.2.1", 1), ("203.0.113.9", 1), None, ("", 0), ("unix:/x", 0))
    client = pieces.choice(clients)
    pairs = [(HEADERS[line[0] % len(HEADERS)], line[1:]) for line in pieces.lines() if line]
    return {
        "type": "http",
        "method": "POST",
        "path": "/",
        "root_path": "",
        "query_string": pairs[0][1] if pairs else b"",
        "headers": pairs,
        "client": client,
        "state": {},
    }


def callers(data: bytes) -> None:
    scope = scope_of(Pieces(data))
    identity = identify(CHAIN, HASH, scope)
    assert identity == identify(CHAIN, HASH, scope)
    assert identity.key.isascii()


def addresses(data: bytes) -> None:
    """What a stranger writes to the left of what a proxy wrote changes nothing."""
    pieces = Pieces(data)
    name = pieces.choice((b"x-forwarded-for", b"forwarded"))
    written = b"203.0.113.7" if name != b"forwarded" else b"for=203.0.113.7"
    scope: dict[str, Any] = {"type": "http", "client": ("192.0.2.1", 1), "headers": ()}
    scope["headers"] = [(name, written)]
    right = identify(ADDRESS, HASH, scope)
    forged = pieces.rest()
    scope["headers"] = [(name, forged + b"," + written)]
    assert identify(ADDRESS, HASH, scope) == right
    scope["headers"] = [(name, forged), (name, written)]
    assert identify(ADDRESS, HASH, scope) == right
    scope["headers"] = [(name, forged)]
    identify(ADDRESS, HASH, scope)


def hosts(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    address = parse_address(text)
    assert address is None or len(address) in (4, 16)
    with contextlib.suppress(ValueError):
        networks([text])


def paths(data: bytes) -> None:
    """A path has few readings, itself among them, and its normal form has no other."""
    pieces = Pieces(data)
    root = pieces.choice(("", "/v1", "/v1/", "/a%2fb"))
    raw = pieces.rest()
    path = unquote(raw.decode("latin-1"), errors="surrogateescape")
    scope = {"type": "http", "path": path, "raw_path": raw, "root_path": root}
    found = paths_of(scope)
    assert found[0] == path_of(scope)
    assert len(found) <= MOST_READINGS
    form = normal(path)
    assert form.startswith("/")
    assert not {".", ".."} & set(form.split("/"))
    assert normal(path) == form
    if is_plain(path):
        assert readings(path) == (path,)


CODINGS = (b"gzip", b"deflate", b"x-gzip", b"br", b"zstd", b"gzip, gzip", b"identity", b"none")


def decoding(data: bytes) -> None:
    pieces = Pieces(data)
    coding, step, body = pieces.choice(CODINGS), 1 + pieces.number(), pieces.rest()
    with contextlib.suppress(BodyTooLarge):
        plain = decoded({"headers": [(b"content-encoding", coding)]}, body, LIMIT)
        assert plain is None or len(plain) <= LIMIT
    codings = parse_codings(coding)
    if not codings or not decodable().issuperset(codings):
        return
    step = max(step, len(body) // 40)
    parts = [body[at : at + step] for at in range(0, len(body), step)]
    together, parted = _decoded(codings, [body]), _decoded(codings, parts)
    # Of a piece that is damaged in its middle, nothing is returned.
    assert parted[0].startswith(together[0])
    assert parted == together or together[1]


def _decoded(codings: tuple[str, ...], parts: list[bytes]) -> tuple[bytes, bool]:
    """What pieces decode to, and whether they are damaged after that."""
    decoder, plain = decoder_for(codings), bytearray()
    assert decoder is not None
    try:
        for part in parts:
            for piece in decoder.decode(part):
                plain += piece
                if len(plain) > LIMIT:
                    return bytes(plain[:LIMIT]), False
    except DamagedError:
        return bytes(plain), True
    return bytes(plain), False


def accepting(data: bytes) -> None:
    kept = acceptable(data)
    assert kept
    assert acceptable(kept) == kept
    for word in parse_codings(kept):
        assert word.partition(";")[0].strip() in {*decodable(), "x-gzip", "*", "identity"}


# -- The whole middleware ------------------------------------------------------------------------

POLICY = {
    "version": 1,
    "secret": "a fuzzer keeps no secrets",
    "identity": ["api_key"],
    "models": {"*": {"input": 2.5, "output": 10}},
    "body": {"limit": f"{LIMIT} B"},
    "max_identities": 100,
    "budgets": [
        {"name": "requests", "limit": "1M requests/minute"},
        {"name": "tokens", "limit": "1M tokens/minute"},
        {"name": "money", "limit": "$1000/minute"},
        {"name": "open", "limit": "1000 concurrent"},
    ],
}
URLS = (
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/responses",
    "/api/chat",
    "/v1beta/models/a:generateContent",
    "/v1/images/edits",
    "/health",
    "/x",
)


class Application:
    """Answers with what it is told to."""

    def __init__(self) -> None:
        self.answer = b""
        self.kind = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        headers = [(b"content-type", self.kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.answer})


APPLICATION = Application()
_LOOP: list[tuple[asyncio.AbstractEventLoop, QueryBudgetMiddleware]] = []


def middleware(data: bytes) -> None:
    """Every request is answered once, whatever it and its answer hold."""
    if not _LOOP:
        _LOOP.append((asyncio.new_event_loop(), QueryBudgetMiddleware(APPLICATION, POLICY)))
    loop, app = _LOOP[0]
    pieces = Pieces(data)
    path, kind = pieces.choice(URLS), pieces.choice((b"application/json", b"text/event-stream"))
    coding = pieces.choice(CODINGS)
    key, _, rest = pieces.rest().partition(b"\0")
    body, _, APPLICATION.answer = rest.partition(b"\0")
    APPLICATION.kind = kind
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"authorization", key), (b"content-encoding", coding)],
        "client": ("192.0.2.1", 1),
        "state": {},
    }
    sent: list[Message] = []
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    loop.run_until_complete(app(scope, receive, send))
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    assert not sent[-1].get("more_body", False)
