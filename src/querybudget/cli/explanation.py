"""What `querybudget explain` is asked, and what it finds: the shape of its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from querybudget.asgi.types import Message
from querybudget.limiter.scopes import WEBSOCKET
from querybudget.policy.history import NEWCOMER, History


class Request(msgspec.Struct, frozen=True):
    """A request as a server would receive it; header names in lower case.

    Attributes:
        history: What the store is taken to know of its sender.
        user: The user that outer middleware has found; None without one.
        claims: Paths to the claims of the token that it has verified.
    """

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    client: str = "127.0.0.1"
    body: bytes = b""
    query: str = ""
    history: History = NEWCOMER
    user: str | None = None
    claims: Mapping[str, str] = {}

    @property
    def scope(self) -> dict[str, Any]:
        """The request's ASGI scope."""
        verified = {"user": self.user, "auth": self.claims}
        return {
            **{name: value for name, value in verified.items() if value},
            "type": "websocket" if self.method == WEBSOCKET else "http",
            "method": self.method,
            "path": self.path,
            "root_path": "",
            "query_string": self.query.encode(),
            "headers": list(self.headers),
            "client": (self.client, 0),
        }

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        return {"type": "http.request", "body": self.body}


class Reads(msgspec.Struct, frozen=True, kw_only=True):
    """What the model reads of the request, in sizes: none of its text.

    Attributes:
        said, fed: Texts of each channel (see `Channel`) and their characters.
        opaque: How many there are of each kind of what cannot be read.
        looked: Chunks of each channel, said and fed, that are looked at.
        buckets: Buckets that a caller without history newly enters.
    """

    said: tuple[int, int] = (0, 0)
    fed: tuple[int, int] = (0, 0)
    opaque: dict[str, int] = {}
    looked: tuple[int, int] = (0, 0)
    buckets: int = 0


class BudgetExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """What one budget makes of the request. Amounts are in the budget's unit.

    Attributes:
        limit: Its limit, in words, scaled for the tier and changed by overrides.
        per: What it is pooled over, in words.
        mode: ``enforce`` or ``shadow``.
        counted: Whether the call takes any of it; if not, the sweep score alone decides.
        suspects: Whether only callers take it whom the budget's population test touches.
        why_not: Why it does not apply; empty if it does.
        cost: What the call reserves; for buckets, if all of the call's buckets are new.
        least: The part of `cost` that is certain and must fit.
        left: What a caller with no usage has left: after this call if it fits, without it if it
            does not. None if the budget does not apply or nothing was decided.
        verdict: The verdict of this budget alone; empty if nothing was decided.
        overrides: What overrides of the policy change, in words.
    """

    name: str
    limit: str
    per: str
    mode: str
    unit: str
    applies: bool
    counted: bool = True
    suspects: bool = False
    why_not: str = ""
    cost: int | float = 0
    least: int | float = 0
    left: int | float | None = None
    verdict: str = ""
    overrides: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy makes of one request.

    Attributes:
        verdict: ``admit``, ``wait``, ``never``, ``unpriced``, ``blocked`` if an override refuses
            the caller, ``too_large`` if the body exceeds the policy's limit, or ``untouched`` if no
            budget applies to the method and path.
        because: The reason, as a sentence.
        identity: The resolver that identified the caller.
        newcomer: Whether a tier asks what the store knows of the caller, and nothing is taken to be
            known.
        operation: `Call.operation`.
        tokens: Tokens expected: input and output.
        estimated: How they were estimated.
        reads: What the model reads.
        body_error: Why the body cannot be read; empty if it can.
        looked: Whether any budget depends on what the prompt is about.
        embedded: Whether the prompt could be embedded.
        budgets: In the order of the policy.
        message: What it makes of one message of a WebSocket, if the request is a handshake.
    """

    verdict: str
    because: str
    identity: str = ""
    tier: str = ""
    newcomer: bool = False
    operation: str = ""
    model: str = ""
    stream: bool = False
    tokens: tuple[int, int] = (0, 0)
    estimated: str = ""
    reads: Reads = Reads()
    body_error: str = ""
    looked: bool = False
    embedded: bool = False
    capabilities: tuple[str, ...] = ()
    budgets: tuple[BudgetExplanation, ...] = ()
    message: Explanation | None = None
