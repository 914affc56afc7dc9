"""Answering HTTP requests: an admitted one until it is settled, and a refused one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from querybudget.adapters.base import Dialect, Meter, Usage, settled_usage
from querybudget.adapters.usage_headers import USAGE_HEADERS, HeaderMeter
from querybudget.asgi.body import SHORT_BODY, Received, is_long
from querybudget.asgi.encodings import (
    DamagedError,
    Decoder,
    accepting_decodable,
    decoder_for,
    parse_codings,
)
from querybudget.asgi.open_calls import OpenCalls
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send
from querybudget.asgi.usage_event import WithoutUsageEvent, ask_of_stream
from querybudget.limiter import Admission, AdmissionView, Limiter, Outcome, Refusal
from querybudget.limiter.request_ids import REQUEST_ID_HEADERS, safe_id
from querybudget.limiter.route import Route
from querybudget.refusals import (
    Answer,
    answer,
    blocked,
    headers_for,
    nameless,
    request_id_header,
    store_down,
    too_many_delayed,
    unpriced,
)

STATE_KEY = "querybudget"
"""The member of a scope's ``state`` that shows an application its call."""

UNAUTHENTICATED = frozenset({401, 403, 407})
OURS = (b"x-ratelimit-", b"anthropic-ratelimit-", b"ratelimit")
"""Prefixes of headers that the middleware sets; the application's are removed."""

_PASSED, _TYPE, _CODING, _TOLD, _DROPPED = range(5)
_NOTED = {b"content-type": _TYPE, b"content-encoding": _CODING}
_USES = dict.fromkeys(USAGE_HEADERS, _TOLD) | _NOTED
_ANSWERED, _OK = Outcome.ANSWERED, 200


def refusal_of(limiter: Limiter, admission: Admission, dialect: Dialect) -> Answer:
    """Return the answer to a refused call, in the client's dialect."""
    request_id = admission.named
    if admission.refusal is Refusal.BLOCKED:
        return blocked(dialect, request_id=request_id)
    if admission.nameless:
        return nameless(dialect, request_id=request_id)
    if admission.refusal is Refusal.UNPRICED:
        return unpriced(admission.call.model, dialect, request_id=request_id)
    if admission.decision is None:
        return store_down(dialect, request_id=request_id)
    if admission.refusal is Refusal.TOO_MANY_DELAYED:
        return too_many_delayed(dialect, request_id=request_id, wait=admission.delay)
    return answer(
        admission.decision,
        dialect,
        limiter.policy.refusals,
        admission.at,
        disclosed=admission.disclosed,
        request_id=request_id,
    )


def dialect_of(scope: Scope, path: str) -> Dialect:
    """Return the dialect that the sender of a request no adapter reads probably expects."""
    if any(name == b"anthropic-version" for name, _ in scope.get("headers", ())):
        return Dialect.ANTHROPIC
    return Dialect.OPENAI if path.startswith("/v1/") else Dialect.PROBLEM


async def send_answer(refusal: Answer, send: Send, kind: str = "http.response") -> None:
    """Send an answer of the middleware; `kind` is the prefix of its message types."""
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": refusal.headers})
    await send({"type": f"{kind}.body", "body": refusal.body})


class Responder:
    """Runs the application for one admitted call, meters its answer and settles the call.

    Every message is passed on at once. ``http.response.start`` is changed once, to add headers;
    body messages are never changed, except that an event which the client did not ask for is taken
    out of a stream.
    """

    def __init__(
        self,
        limiter: Limiter,
        route: Route,
        admission: Admission,
        receive: Receive,
        send: Send,
        calls: OpenCalls,
        received: Received | None = None,
    ) -> None:
        self._limiter = limiter
        self._route = route
        self._admission = admission
        self._receive = receive
        self._send = send
        self._calls = calls
        self._received = received

    # What few answers need is not set for each.
    _status = 0
    _meter: Meter | None = None
    _feed: Callable[[bytes], None] | None = None
    _gone = False
    _shown: Meter | None = None
    _opaque = False
    _told: tuple[tuple[bytes, bytes], ...] = ()
    _without_usage: WithoutUsageEvent | None = None

    def _ask_for_usage(self, received: Received, scope: Scope) -> Scope:
        """Ask for the usage of a stream, where it counts; return the scope for the application."""
        asked = ask_of_stream(
            self._limiter.policy, self._admission, self._route.adapter, received, scope
        )
        if asked is None:
            return scope
        self._without_usage = without = WithoutUsageEvent()
        self._send = without.sending(self._send)
        return asked

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application, then settle, even if it fails or is cancelled."""
        admission, received, failed = self._admission, self._received, False
        self._calls.add(self)
        self._limiter.renewals.add(admission)
        try:
            if received is not None:
                if admission.call.stream:
                    if len(received.body) > SHORT_BODY and is_long(scope, received.body):
                        scope = await asyncio.to_thread(self._ask_for_usage, received, scope)
                    else:
                        scope = self._ask_for_usage(received, scope)
                received.body = b""  # only the application needs it from now on
                if b"accept-encoding" in received.headers:
                    scope = accepting_decodable(scope)
            scope["state"] = RequestState(scope.get("state"), AdmissionView(admission))
            await app(scope, self.receive, self.send)
        except Exception:
            failed = True
            raise
        finally:
            if not admission.settled:
                await self._settle(failed=failed)
            if admission.settling is not None:
                # A server that stops waits for this task, if for nothing else.
                await asyncio.wait((admission.settling,))

    async def end(self) -> None:
        """Settle the call at what it has used until now, if it is open."""
        if not self._admission.settled:
            await self._settle(failed=False)

    async def receive(self) -> Message:
        """ASGI's `receive`: note whether the client has disconnected."""
        received = self._received
        if received is not None and received.messages:
            message = received.messages.popleft()
        else:
            message = await self._receive()
        if message["type"] == "http.disconnect":
            if not self._gone and self._meter is not None:
                self._shown = Shown(self._meter)
            self._gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI's `send`: pass on every message at once, in order.

        It returns what the server's `send` returns: a coroutine for each piece would cost time.
        """
        kind = message["type"]
        if kind == "http.response.body":
            feed = self._feed
            if feed is not None and (body := message.get("body")):
                feed(body)
            if not message.get("more_body") and not self._admission.settled:
                return self._send_last(message)
        elif kind == "http.response.start" and not self._status:
            message = self._start(message)
        return self._send(message)

    async def _send_last(self, message: Message) -> None:
        """Settle before the client knows that the answer is complete.

        So its next call finds the lease free.
        """
        if self._meter is not None:
            self._meter.end()
        await self._settle(failed=False)
        await self._send(message)

    def _start(self, message: Message) -> Message:
        status: int = message["status"]
        self._status = status
        good = status == _OK or 200 <= status < 300  # noqa: PLR2004 - HTTP's own
        headers: list[tuple[bytes, bytes]] = []
        content_type = encoding = b""
        for pair in message.get("headers", ()):
            use = _use_of(pair[0])
            if use == _TYPE:
                content_type = pair[1]
            elif use == _CODING:
                encoding += b"," + pair[1]  # several headers are one list
            elif use == _TOLD:
                self._told += ((pair[0].lower(), pair[1]),)
            elif use:
                continue
            headers.append(pair)
        if good:
            self._begin_metering(content_type, encoding)
        if self._limiter.reporter.on:
            message = self._with_id(message, headers)
        if self._without_usage is not None:
            headers = self._without_usage.start(headers)
            message = {**message, "headers": headers}
        admission = self._admission
        if admission.decision is None or not (good or _shows_figures(status)):
            return message
        added = headers_for(
            admission.decision,
            admission.call.dialect,
            self._limiter.policy.refusals,
            admission.at,
            admission.disclosed,
        )
        return {**message, "headers": headers + added} if added else message

    def _with_id(self, message: Message, headers: list[tuple[bytes, bytes]]) -> Message:
        """Tell the caller our id of the request, if neither the application nor a proxy has one.

        Events have it, so that an operator finds the call by what the caller quotes.
        """
        admission = self._admission
        ids = (safe_id(value) for name, value in headers if name.lower() in REQUEST_ID_HEADERS)
        admission.answer_id = next(filter(None, ids), "")
        if admission.answer_id or admission.sent_id:
            return message
        named = request_id_header(admission.call.dialect), admission.named.encode()
        headers.append(named)
        if self._without_usage is not None:
            return message  # its headers are these
        return {**message, "headers": [*message.get("headers", ()), named]}

    def _begin_metering(self, content_type: bytes, encoding: bytes) -> None:
        """Meter a good answer, if anything needs to know what it used."""
        route = self._route
        if route.unknown is not None:
            self._limiter.unknown.answered(self._admission.method, self._admission.path)
        adapter = route.adapter
        if adapter is None or not self._limiter.reads(self._admission):
            return
        codings = parse_codings(encoding) if encoding else ()
        decoder = decoder_for(codings) if codings else None
        if codings and decoder is None:
            # Charged at the estimate: otherwise requesting such a coding would make answers free.
            self._opaque = True
            return
        meter = adapter.meter(self._admission.call, content_type.decode("latin-1"))
        if self._told:
            meter = HeaderMeter(meter, self._told)
        self._meter = meter
        self._feed = self._decoding(decoder, meter.feed) if decoder else meter.feed

    def _decoding(self, decoder: Decoder, feed: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Feed what chunks decode to. An answer that cannot be decoded costs the estimate."""

        def feed_chunk(chunk: bytes) -> None:
            try:
                for piece in decoder.decode(chunk):
                    feed(piece)
            except DamagedError:
                self._meter, self._feed, self._opaque = None, None, True

        return feed_chunk

    def _settle(self, *, failed: bool) -> Awaitable[object]:
        self._calls.discard(self)
        admission, status, usage = self._admission, self._status, None
        outcome = _ANSWERED if status == _OK else _outcome(status, failed=failed)
        if outcome is _ANSWERED and self._route.adapter is not None:
            if admission.call.background:
                return self._settle_unless_kept()
            usage = self._usage()
        return self._limiter.settle_call(admission, outcome, usage, status)

    async def _settle_unless_kept(self) -> None:
        if not await self._keeps():
            usage = self._usage()
            await self._limiter.settle_call(self._admission, _ANSWERED, usage, self._status)

    async def _keeps(self) -> bool:
        """Keep the call open if its answer is still being made; return True if it is."""
        adapter = self._route.adapter
        return adapter is not None and await self._calls.background.keep(
            self._limiter, self._admission, adapter, self._meter
        )

    def _usage(self) -> Usage:
        admission = self._admission
        estimate = admission.estimate.usage
        meter = self._meter
        if meter is None:
            output = estimate.output if self._opaque else 0
            return Usage(input=estimate.input, output=output, estimated=True)
        if self._gone and not (meter.complete and meter.usage()):
            meter = self._shown or _NOTHING_SHOWN  # nobody reads what came after
        return settled_usage(
            admission.call,
            meter,
            estimate.input,
            admission.estimate.bytes_per_token,
            output_estimate=estimate.output,
        )


class Shown:
    """What a meter had read when the client hung up. It is not fed any more.

    Args:
        meter: The meter; None if the answer had not begun.
    """

    __slots__ = ("_usage", "complete", "output_bytes")

    def __init__(self, meter: Meter | None) -> None:
        self._usage = meter.usage() if meter is not None else None
        self.output_bytes = meter.output_bytes if meter is not None else 0
        self.complete = meter is not None and meter.complete

    def feed(self, chunk: bytes, /) -> None:
        """Ignore what comes later."""

    def end(self) -> None:
        """Ignore the end, too."""

    def usage(self) -> Usage | None:
        """Return the usage reported until then."""
        return self._usage


_NOTHING_SHOWN = Shown(None)


class RequestState(dict[str, Any]):
    """A request's copy of its server's state, which holds the view of its call.

    Servers may share one state between the requests of a connection, so the view must not go into
    it. What the application sets goes into both, so that a middleware outside still finds it.
    """

    __slots__ = ("_shared",)

    def __init__(self, shared: dict[str, Any] | None, view: AdmissionView) -> None:
        shared = {} if shared is None else shared
        super().__init__(shared, **{STATE_KEY: view})
        self._shared = shared

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        self._shared[key] = value

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._shared.pop(key, None)


@lru_cache(256)  # an application sends few headers of other names
def _use_of(header: bytes) -> int:
    """Return what becomes of a header of an answer: also noted, or dropped."""
    name = header.lower()
    return _DROPPED if name.startswith(OURS) else _USES.get(name, _PASSED)


def _shows_figures(status: int) -> bool:
    """Return True if the application rejected a request that counts."""
    return 400 <= status < 429 and status not in UNAUTHENTICATED  # noqa: PLR2004 - HTTP's own


def _outcome(status: int, *, failed: bool) -> Outcome:
    """Return the outcome of an answer with this status; 0 if there was no answer."""
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
        return _ANSWERED
    if not status:
        return Outcome.FAILED if failed else _ANSWERED
    if status in UNAUTHENTICATED or status == 429 or status >= 500:  # noqa: PLR2004
        return Outcome.FAILED
    return Outcome.REJECTED
