"""One admitted HTTP request: from its way to the application until its budget is settled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from querybudget.adapters.base import Adapter, Meter, Usage, settled_usage
from querybudget.asgi.body import Inflate
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.limiter.matching import Route
from querybudget.refusals import headers_for

__all__ = ["Responder"]

UNAUTHENTICATED = frozenset({401, 403, 407})
OURS = (b"x-ratelimit-", b"anthropic-ratelimit-", b"ratelimit")
"""Prefixes of headers that are ours to say: the application's own would contradict them."""

PLAIN = frozenset({b"", b"identity"})
"""Content-Encodings that change nothing. An answer in one that we cannot read is charged as it was
foreseen: otherwise asking for it would make it free."""

_ANSWERED = Outcome.ANSWERED


class Responder:
    """Passes every message on at once, and reads the answer as it goes by.

    ``http.response.start`` is touched once, to add headers; body messages are not touched at all.
    """

    __slots__ = (
        "_admission",
        "_feed",
        "_gone",
        "_limiter",
        "_meter",
        "_opaque",
        "_receive",
        "_route",
        "_send",
        "_status",
    )

    def __init__(
        self, limiter: Limiter, route: Route, admission: Admission, receive: Receive, send: Send
    ) -> None:
        self._limiter = limiter
        self._route = route
        self._admission = admission
        self._receive = receive
        self._send = send
        self._status = 0
        self._meter: Meter | None = None
        self._feed: Callable[[bytes], None] | None = None
        self._gone = False
        self._opaque = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Let the application answer, then settle: also when it fails, or is cancelled."""
        failed = False
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            failed = True
            raise
        finally:
            if not self._admission.settled:
                await self._settle(failed=failed)

    async def receive(self) -> Message:
        """ASGI's `receive`, which notices that the client has hung up."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone, self._feed = True, None
        return message

    async def send(self, message: Message) -> None:
        """ASGI's `send`: the same messages, in the same order, each at once."""
        kind = message["type"]
        if kind == "http.response.body":
            if self._feed is not None and (body := message.get("body")):
                self._feed(body)
            if not message.get("more_body") and not self._admission.settled:
                # Before the client can know that the answer is complete: its next call finds the
                # lease free.
                await self._settle(failed=False)
        elif kind == "http.response.start" and not self._status:
            message = self._start(message)
        await self._send(message)

    def _start(self, message: Message) -> Message:
        status: int = message["status"]
        self._status = status
        good = 200 <= status < 300  # noqa: PLR2004 - HTTP's own
        headers: list[tuple[bytes, bytes]] = []
        content_type = encoding = b""
        for pair in message.get("headers", ()):
            name = pair[0].lower()
            if name == b"content-type":
                content_type = pair[1]
            elif name == b"content-encoding":
                encoding = pair[1]
            elif name.startswith(OURS):
                continue
            headers.append(pair)
        if good and self._route.adapter is not None and self._limiter.reads(self._admission):
            self._begin_metering(self._route.adapter, content_type, encoding)
        if not good and (status in UNAUTHENTICATED or not 400 <= status < 429):  # noqa: PLR2004
            return message
        added = self._figures()
        return {**message, "headers": headers + added} if added else message

    def _begin_metering(self, adapter: Adapter, content_type: bytes, encoding: bytes) -> None:
        inflates = Inflate.takes(encoding)
        if not inflates and encoding.strip().lower() not in PLAIN:
            self._opaque = True
            return
        meter = self._meter = adapter.meter(self._admission.call, content_type.decode("latin-1"))
        if not self._gone:
            inflated = partial(_feed_inflated, Inflate(encoding), meter) if inflates else None
            self._feed = inflated or meter.feed

    def _figures(self) -> list[tuple[bytes, bytes]]:
        """Budget headers: not for a 401 or 403, redirects or failures."""
        admission, settings = self._admission, self._limiter.policy.refusals
        if admission.decision is None:
            return []
        return headers_for(
            admission.decision,
            admission.call.dialect,
            settings,
            admission.at,
            admission.plan.private,
        )

    async def _settle(self, *, failed: bool) -> None:
        outcome = _outcome(self._status, failed=failed)
        usage = self._usage() if outcome is _ANSWERED else None
        await self._limiter.settle(self._admission, outcome, usage, self._status)

    def _usage(self) -> Usage:
        admission = self._admission
        estimate = admission.estimate.usage
        if self._meter is None:
            output = estimate.output if self._opaque else 0
            return Usage(input=estimate.input, output=output, estimated=True)
        return settled_usage(
            admission.call,
            self._meter,
            estimate.input,
            admission.estimate.bytes_per_token,
            output_estimate=estimate.output,
        )


def _feed_inflated(inflate: Inflate, meter: Meter, chunk: bytes) -> None:
    meter.feed(inflate.feed(chunk))


def _outcome(status: int, *, failed: bool) -> Outcome:
    """What an answer with this status came to; 0 where the application gave none."""
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
        return _ANSWERED
    if not status:
        return Outcome.FAILED if failed else _ANSWERED
    if status in UNAUTHENTICATED or status == 429 or status >= 500:  # noqa: PLR2004
        return Outcome.FAILED
    return Outcome.REJECTED
