"""`drive`: an ASGI server of one connection that can cut it off anywhere.

It checks that the application keeps to the protocol, suspends wherever a real server may, and can
hang up or cancel at each of those places. Run it once for each place to try every interruption.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from anyio.lowlevel import checkpoint

from querybudget.asgi.types import ASGIApp, Message, Scope
from querybudget.testing.answer_rules import AnswerRules, ends
from querybudget.testing.own_loop import in_own_loop


@dataclass
class Driven:
    """What happened when an application served one connection.

    Attributes:
        sent: Every message that reached the client, in order.
        log: ``receive:TYPE`` and ``send:TYPE`` in order; the application under test may append
            entries of its own.
        awaits: Number of times the application was suspended, so where `cancel_at` can cancel.
        cut: Whether the application was cancelled before it was done.
        error: The exception that the application raised; None if it returned.
    """

    sent: list[Message] = field(default_factory=list[Message])
    log: list[str] = field(default_factory=list[str])
    awaits: int = 0
    cut: bool = False
    error: BaseException | None = None

    @property
    def status(self) -> int:
        """The answer's status; 0 if none was started."""
        starts = [m for m in self.sent if m["type"] == "http.response.start"]
        return int(starts[0]["status"]) if starts else 0

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers by name in lower case; repeated values are joined by commas."""
        found: dict[str, str] = {}
        for message in self.sent:
            if message["type"] == "http.response.start":
                for name, value in message.get("headers", ()):
                    key, text = name.decode("latin-1").lower(), value.decode("latin-1")
                    found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    @property
    def chunks(self) -> list[bytes]:
        """The bodies of the answer's body messages, including empty ones."""
        return [m.get("body", b"") for m in self.sent if m["type"] == "http.response.body"]

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The answer's body, decoded."""
        return msgspec.json.decode(self.body)


def http_scope(
    path: str = "/v1/chat/completions",
    *,
    method: str = "POST",
    headers: Mapping[str, str] | Sequence[tuple[bytes, bytes]] = (),
    key: str = "",
    **members: Any,  # noqa: ANN401 - a scope holds whatever servers put there
) -> Scope:
    """Return the scope of an HTTP request.

    Args:
        path: The request's path.
        method: The request's method.
        headers: By name, or as pairs of bytes.
        key: Sent as ``Authorization: Bearer``, unless empty.
        members: Members of the scope to add or replace.
    """
    pairs = (
        [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        if isinstance(headers, Mapping)
        else list(headers)
    )
    if key:
        pairs.append((b"authorization", f"Bearer {key}".encode("latin-1")))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": pairs,
        "client": ("192.0.2.1", 50_000),
        "server": ("testserver", 80),
        "extensions": {},
        "state": {},
        **members,
    }


def request(body: object = b"", *, pieces: int = 1) -> list[Message]:
    """Return the messages that carry a request's body.

    Args:
        body: Bytes; anything else is encoded as JSON.
        pieces: Number of messages.
    """
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    size = max(1, -(-len(data) // pieces))
    cut = [data[start : start + size] for start in range(0, len(data), size)] or [b""]
    last = len(cut) - 1
    return [
        {"type": "http.request", "body": piece, "more_body": index < last}
        for index, piece in enumerate(cut)
    ]


async def drive(  # noqa: PLR0913 - a keyword for each interruption
    app: ASGIApp,
    scope: Scope,
    messages: Sequence[Message] = (),
    *,
    disconnect_at: int | None = None,
    disconnect_after: int | None = None,
    cancel_at: int | None = None,
    cancel_in_turn: int | None = None,
    level: bool = False,
    log: list[str] | None = None,
) -> Driven:
    """Serve one connection to an application, on asyncio.

    A test on trio may await it too: the application is then served in an event loop of asyncio's
    own, in a thread.

    After `messages`, ``receive`` waits as a server's does: it returns a disconnect when the client
    has hung up or the answer is complete.

    Args:
        app: The application.
        scope: The connection's scope.
        messages: What the client sends, in order.
        disconnect_at: The call of ``receive``, counted from 0, by which the client has hung up.
        disconnect_after: Number of messages after which the client hangs up; later messages are
            dropped, as servers do.
        cancel_at: The suspension, counted from 0, at which the application is cancelled.
        cancel_in_turn: The turn of the event loop, counted from 0, in which it is cancelled; so
            also while it waits for another task.
        level: Cancel through an `anyio.CancelScope`, which cancels every later suspension too.
        log: A log to append to.

    Raises:
        AssertionError: The application broke the protocol.
    """
    driven = Driven(log=[] if log is None else log)
    cutter = _Cutter(driven, cancel_at)

    async def serve() -> None:
        server = _Server(driven, scope, messages, disconnect_at, disconnect_after, cutter)
        await _serve(app, server, cancel_in_turn, level=level)

    if _is_on_asyncio():
        await serve()
        return driven
    served = in_own_loop(serve())
    try:
        await anyio.to_thread.run_sync(served.result, abandon_on_cancel=True)
    finally:
        served.cancel()
    return driven


def _is_on_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _serve(app: ASGIApp, server: _Server, cancel_in_turn: int | None, *, level: bool) -> None:
    driven, cutter = server.driven, server.cutter
    task = asyncio.create_task(_run(app, server, level=level))
    if cancel_in_turn is not None:
        for _ in range(cancel_in_turn + 1):  # It starts in the first turn.
            await asyncio.sleep(0)
        if not task.done():
            cutter.cut()
    try:
        await asyncio.wait({task})
    finally:
        task.cancel()  # if the test itself was cancelled
    driven.error = asyncio.CancelledError() if task.cancelled() else task.exception()
    server.check()


async def _run(app: ASGIApp, server: _Server, *, level: bool) -> None:
    with anyio.CancelScope() as scope:
        server.cutter.start(scope if level else None)
        await _Counted(_as_coroutine(app(server.scope, server.receive, server.send)), server.cutter)


async def _as_coroutine(running: Awaitable[None]) -> None:
    await running


class _Cutter:
    """Counts the application's suspensions, including those of its child tasks in this server."""

    def __init__(self, driven: Driven, at: int | None) -> None:
        self._driven = driven
        self._at = at
        self._task: asyncio.Task[Any] | None = None
        self._scope: anyio.CancelScope | None = None

    def start(self, scope: anyio.CancelScope | None) -> None:
        self._task, self._scope = asyncio.current_task(), scope

    @property
    def outside(self) -> bool:
        """Whether a child task runs, whose suspensions `_Counted` does not see."""
        return asyncio.current_task() is not self._task

    def count(self) -> None:
        if self._driven.awaits == self._at:
            self.cut()
        self._driven.awaits += 1

    def cut(self) -> None:
        self._driven.cut = True
        if self._scope is not None:
            self._scope.cancel()
        elif self._task is not None:
            self._task.cancel()


class _Counted:
    """Awaits a coroutine and counts its suspensions."""

    def __init__(self, running: Coroutine[Any, Any, None], cutter: _Cutter) -> None:
        self._running = running
        self._cutter = cutter

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._running.__await__()
        thrown: BaseException | None = None
        while True:
            try:
                pending = steps.throw(thrown) if thrown else steps.send(None)
            except StopIteration:
                return
            self._cutter.count()
            thrown = None
            try:
                yield pending
            except BaseException as error:  # noqa: BLE001 - thrown into the application
                thrown = error


class _Server:
    """The server's side of one connection."""

    def __init__(
        self,
        driven: Driven,
        scope: Scope,
        messages: Sequence[Message],
        disconnect_at: int | None,
        disconnect_after: int | None,
        cutter: _Cutter,
    ) -> None:
        self.cutter = cutter
        self.driven = driven
        self.scope = scope
        self._messages = messages
        self._received = 0
        self._disconnect_at = disconnect_at
        self._disconnect_after = disconnect_after
        self._over = asyncio.Event()
        self._gone = disconnect_after == 0
        self._faults: list[str] = []
        self._rules = AnswerRules(self._faults) if scope["type"] == "http" else None

    async def receive(self) -> Message:
        number, self._received = self._received, self._received + 1
        await self._suspend()
        if self._disconnect_at is not None and number >= self._disconnect_at:
            self._hang_up()
        if not self._gone and number < len(self._messages):
            message = self._messages[number]
        else:
            if not self._gone:
                await self._over.wait()
            message = _goodbye(self.scope["type"])
        self.driven.log.append(f"receive:{message['type']}")
        return message

    async def send(self, message: Message) -> None:
        await self._suspend()
        if not self._gone:
            self.driven.sent.append(message)
            self.driven.log.append(f"send:{message['type']}")
            if self._rules is not None:
                self._rules.see(message)
            if ends(message):
                self._over.set()
            if len(self.driven.sent) == self._disconnect_after:
                self._hang_up()
        await self._suspend()

    def check(self) -> None:
        if self._rules is not None and self.driven.error is None:
            self._rules.finish(complete=not (self.driven.cut or self._gone))
        if self._faults:
            raise AssertionError("the application broke the protocol: " + "; ".join(self._faults))

    async def _suspend(self) -> None:
        if self.cutter.outside:
            self.cutter.count()
        await checkpoint()

    def _hang_up(self) -> None:
        self._gone = True
        self._over.set()


def _goodbye(kind: str) -> Message:
    if kind == "lifespan":
        return {"type": "lifespan.shutdown"}
    if kind == "websocket":
        return {"type": "websocket.disconnect", "code": 1006}
    return {"type": "http.disconnect"}
