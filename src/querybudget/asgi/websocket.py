"""One WebSocket, whose handshake and received messages are calls.

The handshake holds its lease as long as the connection is open. Each message received counts as one
request, with tokens estimated from its size, for every model that the address or a message until
then has named; messages sent until the next one are its answer. A
refused handshake is answered with 429 if the server supports that (the ``websocket.http.response``
extension) and otherwise closed before it is accepted. A refused message closes the connection with
1013, "try again later", or with 1008 if trying again would not help.
"""

from __future__ import annotations

import asyncio
import re

from msgspec.structs import replace

from querybudget.adapters.base import MAX_MODELS, Call, Dialect, Target, Usage
from querybudget.adapters.model_names import Models, models_of
from querybudget.asgi.open_calls import OpenCalls
from querybudget.asgi.responder import refusal_of, send_answer
from querybudget.asgi.types import ASGIApp, Message, Receive, Scope, Send
from querybudget.errors import BodyError
from querybudget.limiter import Admission, Limiter, Outcome, Refusal
from querybudget.limiter.plans import Caller
from querybudget.limiter.route import Route
from querybudget.limiter.scopes import paths_of, target_of
from querybudget.refusals import Close, close
from querybudget.units import MICRO

UNAVAILABLE = Close(1013, "rate limits are temporarily unavailable")
BLOCKED = Close(1008, "this caller is blocked")
LONGEST_READ = 64 * 1024
"""Characters of a message in which names of models are looked for. A longer one that may name one
counts for every model."""

_MODEL = re.compile(r'"model"\s*+:\s*+"([^"\\]*+)"', re.IGNORECASE)  # as Go's readers ignore it
_NAMED = re.compile(r'"model"|\\u00', re.IGNORECASE)
_RESOURCE = "models/"
"""How Gemini's messages begin the name of a model; budgets and prices name it without."""

_NUL = b"\0"
_ESCAPE = re.compile(r"\\(?:u00([2-7][0-9A-Fa-f])|/)")
HANDSHAKE = Call(Dialect.PROBLEM, "handshake", stream=True, generates=False)


def message_call(size: int) -> Call:
    """Return the call that a received message of `size` bytes is."""
    return Call(Dialect.PROBLEM, "message", stream=True, input_bytes=size)


def models_asked(target: Target) -> Models:
    """Return the models that the path and the query of a handshake name, as far as they count."""
    try:
        return models_of(target, None)
    except BodyError:  # more than are told apart
        return Models()


def models_said(message: Message) -> tuple[str, ...] | None:
    """Return each ``model`` that a message names in JSON, wherever it is, once.

    None of a message that is longer than `LONGEST_READ`, if it may name one.
    """
    text = _said(message)
    if len(text) > LONGEST_READ:
        return None if _NAMED.search(text) else ()
    if "\\" in text:
        text = _ESCAPE.sub(lambda found: chr(int(found[1] or "2f", 16)), text)
    names = (name.removeprefix(_RESOURCE) for name in _MODEL.findall(text))
    return tuple(dict.fromkeys(filter(None, names)))


def _said(message: Message) -> str:
    """Return a message's text. Of UTF-16 and UTF-32, which Python's ``json`` reads, its ASCII."""
    payload: bytes | None = message.get("bytes")
    if payload is None:
        return message.get("text") or ""
    return payload.replace(_NUL, b"").decode(errors="replace")


class WebSocketSession:
    """Counts the handshake and messages of one WebSocket."""

    def __init__(
        self,
        limiter: Limiter,
        route: Route,
        caller: Caller,
        path: str,
        receive: Receive,
        send: Send,
        calls: OpenCalls,
    ) -> None:
        self._limiter = limiter
        self._route = route
        self._caller = caller
        self._path = path
        self._receive = receive
        self._send = send
        self._calls = calls
        self._models = Models()
        self._too_many = False  # models, for all of them to be known
        self._handshake: Admission | None = None
        self._turn: Admission | None = None
        self._sent = 0
        self._status = 0

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Run the application, then settle, even if it fails or is cancelled."""
        self._models = models_asked(target_of(scope, self._path))
        admission = await self._admit(self._route, self._of_models(HANDSHAKE))
        if admission.refusal is not None:
            await self._refuse_handshake(admission, scope)
            return
        failed = False
        self._handshake = admission
        self._limiter.renewals.add(admission)
        self._calls.add(self)
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            failed = True
            raise
        finally:
            await self._settle(failed=failed)
            if admission.settling is not None:
                await asyncio.wait((admission.settling,))

    async def end(self) -> None:
        """Settle the handshake and the message that is open."""
        await self._settle(failed=False)

    async def receive(self) -> Message:
        """ASGI's `receive`. A refused message does not reach the application."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        await self._end_turn(goes_on=True)
        self._follow_policy()
        said = models_said(message)
        self._note_models(said or ())
        call = self._of_models(message_call(_size(message)))
        call.any_model = call.any_model or said is None
        admission = await self._admit(self._route.messages or self._route, call)
        if admission.refusal is not None:
            return await self._refuse_message(admission)
        self._turn, self._sent = admission, 0
        self._limiter.renewals.add(admission)
        return message

    async def send(self, message: Message) -> None:
        """ASGI's `send`: pass on every message at once, unchanged."""
        kind = message["type"]
        if kind == "websocket.send":
            self._sent += _size(message)
        elif kind == "websocket.accept":
            self._status = 101
        elif kind == "websocket.http.response.start":
            self._status = message["status"]
        elif kind == "websocket.close" and not self._status:
            self._status = 403
        await self._send(message)

    def _follow_policy(self) -> None:
        """Let a policy that was loaded since decide the next messages."""
        limiter, scope = self._limiter, self._caller.scope
        if self._route.rules is limiter.rules:
            return
        route = limiter.route_for("WEBSOCKET", *paths_of(scope))
        if route is not None:
            self._route, self._caller = route, limiter.caller_for(scope)

    def _note_models(self, said: tuple[str, ...]) -> None:
        """Note the models that a message names: later ones may be for any of them."""
        if said:
            first, *others = dict.fromkeys(
                filter(None, (self._models.first, *self._models.others, *said))
            )
            self._too_many = self._too_many or len(others) >= MAX_MODELS
            self._models = Models(first, tuple(others[: MAX_MODELS - 1]))

    def _of_models(self, call: Call) -> Call:
        first, others = self._models.first, self._models.others
        return replace(call, model=first, other_models=others, any_model=self._too_many)

    async def _admit(self, route: Route, call: Call) -> Admission:
        return await self._limiter.admit_call(self._caller, route, "WEBSOCKET", self._path, call)

    async def _settle(self, *, failed: bool) -> None:
        self._calls.discard(self)
        await self._end_turn()
        if self._handshake is not None:
            refused = self._status in {401, 403} or (failed and not self._status)
            outcome = Outcome.FAILED if refused else Outcome.ANSWERED
            usage = Usage(estimated=True)
            await self._limiter.settle_call(self._handshake, outcome, usage, self._status)

    async def _end_turn(self, *, goes_on: bool = False) -> None:
        """Settle the last message, which shows that the caller was let in if the talk goes on."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        turn.verified = turn.verified or (goes_on and self._sent > 0)
        output = -(-self._sent * MICRO // turn.estimate.bytes_per_token)
        usage = Usage(input=turn.estimate.usage.input, output=output, estimated=True)
        await self._limiter.settle_call(turn, Outcome.ANSWERED, usage, self._status)

    async def _refuse_message(self, admission: Admission) -> Message:
        closing = self._closing(admission)
        await self._send(
            {"type": "websocket.close", "code": closing.code, "reason": closing.reason}
        )
        return {"type": "websocket.disconnect", "code": closing.code, "reason": closing.reason}

    def _closing(self, admission: Admission) -> Close:
        if admission.refusal is Refusal.BLOCKED:
            return BLOCKED
        settings = self._limiter.policy.refusals
        return close(admission.decision, settings) if admission.decision else UNAVAILABLE

    async def _refuse_handshake(self, admission: Admission, scope: Scope) -> None:
        if "websocket.http.response" in (scope.get("extensions") or {}):
            refusal = refusal_of(self._limiter, admission, Dialect.PROBLEM)
            await send_answer(refusal, self._send, "websocket.http.response")
        else:
            blocked = admission.refusal is Refusal.BLOCKED
            code = BLOCKED.code if blocked else UNAVAILABLE.code
            await self._send({"type": "websocket.close", "code": code})


def _size(message: Message) -> int:
    """Return the bytes of a message's payload, as UTF-8 if it is text."""
    payload: bytes | None = message.get("bytes")
    text: str | None = message.get("text")
    return len(payload) if payload is not None else len((text or "").encode())
