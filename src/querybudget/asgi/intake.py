"""Bodies that do not arrive at once: in time, within bounds, and after the budgets that need none.

A body that its server hands over whole, in one message, costs nothing here. Any other is read under
a time-out into one buffer, and counted among all the bodies that this process holds before its
application has them. One that is long or slow first asks the budgets whose decision needs no body:
a caller who is over a limit is refused unread, and a lease bounds how many bodies are open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Protocol

import msgspec

from querybudget.adapters.base import Dialect
from querybudget.asgi.body import BodyTooLarge, Received, check_declared
from querybudget.asgi.responder import refusal_of
from querybudget.asgi.types import Message, Receive, Scope
from querybudget.limiter import Admission, Limiter, Outcome
from querybudget.limiter.route import Route
from querybudget.refusals import Answer, body_slow, body_too_large, no_room
from querybudget.units import SECOND

AT_ONCE = 64 * 1024
"""Bytes of a body that may arrive before any budget is asked."""

PATIENCE = SECOND
"""µs that a body may take before the budgets are asked that need none."""

EMPTY_MESSAGES = 1_000
"""Messages without a byte, in one body, after which it is refused: they could go on for ever."""

RETRY = SECOND
"""µs after which a caller may try again whose body found no room."""

SHARE = 8
"""One identity may hold this part of what all bodies may hold, and one body of any size allowed."""


class BodySlowError(Exception):
    """A body did not arrive within the policy's time-out."""


class NoRoomError(Exception):
    """The bodies of all callers, or of this one, hold as much as they may.

    Attributes:
        own: Whether it is this caller who holds too much.
    """

    def __init__(self, *, own: bool = False) -> None:
        super().__init__()
        self.own = own


class RefusedUnreadError(Exception):
    """A budget refuses the call, whatever its body is.

    Attributes:
        admission: What was decided.
    """

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self.admission = admission


INTAKE_ERRORS = (BodyTooLarge, BodySlowError, NoRoomError, RefusedUnreadError)
"""Why a body is not read, or not to its end."""


def refused_body(problem: Exception, limiter: Limiter, dialect: Dialect, request_id: str) -> Answer:
    """Return the answer to a request whose body is refused, for one of `INTAKE_ERRORS`."""
    settings = limiter.policy.body
    match problem:
        case RefusedUnreadError():
            return refusal_of(limiter, problem.admission, dialect)
        case NoRoomError():
            return no_room(dialect, request_id=request_id, wait=RETRY, own=problem.own)
        case BodySlowError():
            return body_slow(settings.timeout, dialect, request_id=request_id)
        case _:
            return body_too_large(settings.limit, dialect, request_id=request_id)


def unread(refused: Answer, scope: Scope) -> Answer:
    """Close the connection after an answer, as the rest of the body may still come."""
    if str(scope.get("http_version", "1.1")).startswith("1"):
        headers = [*refused.headers, (b"connection", b"close")]
        return msgspec.structs.replace(refused, headers=headers)
    return refused  # HTTP/2 and later reset the stream alone


class Timer(Protocol):
    """What `asyncio.loop.call_later` returns."""

    def cancel(self) -> None:
        """Do not call it any more."""
        ...


After = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after a number of seconds."""


def after(seconds: float, call: Callable[[], None]) -> Timer:
    """Call a function after some seconds, by the event loop's time."""
    return asyncio.get_running_loop().call_later(seconds, call)


class Intake:
    """The bodies of one middleware that its application does not have yet.

    Args:
        after: Sets a timer.

    Attributes:
        held: Bytes of all of them.
    """

    __slots__ = ("_after", "_finishing", "_held_by", "_reading", "held")

    def __init__(self, after: After = after) -> None:
        self._after = after
        self._held_by = Counter[str]()
        self._reading: dict[_Reading, None] = {}
        self._finishing = set[asyncio.Task[None]]()
        self.held = 0

    async def read(
        self, limiter: Limiter, route: Route, call: tuple[str, str], scope: Scope, receive: Receive
    ) -> Received:
        """Read a request's body to its end. `free` says that the application has it.

        Args:
            limiter: Decides calls.
            route: The request's.
            call: Its method and path.
            scope: Its scope.
            receive: ASGI's `receive`.

        Raises:
            BodyTooLarge: The body has more bytes than the policy allows, or its headers say so, or
                it has too many messages without a byte.
            BodySlowError: It did not arrive in time.
            NoRoomError: Too much is held already.
            RefusedUnreadError: A budget refuses the call.
        """
        limit = limiter.policy.body.limit
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if b"content-length" in headers:
            check_declared(headers, limit)
        steps: Any = receive().__await__()
        begun: _Begun | None = None
        message: Message | None = None
        try:
            begun = _Begun(steps, next(steps))
        except StopIteration as done:  # it need not wait
            first: Message = done.value
            if not first.get("more_body"):
                body: bytes = first.get("body", b"")
                if len(body) > limit:
                    raise BodyTooLarge from None
                return Received(first, body, receive, headers)
            message = first
        reading = _Reading(self, limiter, route, call, scope)
        return await reading.run(begun, message, receive, self._after)

    def hold(self, reading: _Reading, size: int) -> None:
        """Count more bytes of a body, if need be instead of the one that has been read longest.

        Raises:
            NoRoomError: Its caller holds too much, or it is itself the one read longest.
        """
        settings = reading.limiter.policy.body
        self._count(reading, size)
        if self._held_by[reading.identity] > max(settings.limit, settings.in_flight // SHARE):
            raise NoRoomError(own=True)
        while self.held > settings.in_flight:
            oldest = next(iter(self._reading), reading)
            if oldest is reading:
                raise NoRoomError
            self._reading.pop(oldest)
            self._count(oldest, -oldest.held)
            oldest.stop(NoRoomError())

    def begin(self, reading: _Reading) -> None:
        """Note that a body is being read."""
        self._reading[reading] = None

    def leave(self, reading: _Reading) -> None:
        """Note that a body is not read any more."""
        self._reading.pop(reading, None)

    def end(self, reading: _Reading, received: Received | None) -> None:
        """Note that a body was read, and is held until `free`; None if nobody needs it."""
        if received is None or received.gone:
            self._count(reading, -reading.held)
        else:
            received.held, received.identity = reading.held, reading.identity

    async def finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for some work, which goes on if this is cancelled."""
        task = asyncio.ensure_future(work)
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        await asyncio.shield(task)

    def free(self, received: Received) -> None:
        """Note that the application has a body, or that nobody needs it any more."""
        if received.held:
            self._add(received.identity, -received.held)
            received.held = 0

    def _count(self, reading: _Reading, size: int) -> None:
        reading.held += size
        self._add(reading.identity, size)

    def _add(self, identity: str, size: int) -> None:
        self.held += size
        self._held_by[identity] += size
        if not self._held_by[identity]:
            del self._held_by[identity]


class _Reading:
    """One body that is being read."""

    def __init__(
        self, intake: Intake, limiter: Limiter, route: Route, call: tuple[str, str], scope: Scope
    ) -> None:
        self.limiter = limiter
        self.held = 0
        self._intake = intake
        self._route = route
        self._method, self._path = call
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._caller = limiter.caller_for(scope)
        self.identity = self._caller.identity.key
        self._bound = asyncio.timeout(None)
        self._problem: Exception | None = None
        self._door: asyncio.Task[Admission] | None = None
        self._over = False

    async def run(
        self, begun: _Begun | None, message: Message | None, receive: Receive, after: After
    ) -> Received:
        """Read to the end.

        Args:
            begun: The first message, under way; None if it is there.
            message: The first message; None if it is under way.
            receive: ASGI's `receive`, for the messages after it.
            after: Sets a timer.
        """
        timeout = self.limiter.policy.body.timeout
        timers = (
            after(PATIENCE / SECOND, self._ask),
            after(timeout / SECOND, lambda: self.stop(BodySlowError())),
        )
        received: Received | None = None
        self._intake.begin(self)
        try:
            async with self._bound:
                received = await self._read(await begun if begun else message, receive)
        except TimeoutError:
            if self._problem is None:
                raise
        finally:
            self._over = True
            for timer in timers:
                timer.cancel()
            await self._end(received)
        if self._problem is not None or received is None:
            raise self._problem or BodySlowError
        return received

    async def _end(self, received: Received | None) -> None:
        self._intake.leave(self)
        kept: Received | None = None
        try:
            if self._door is not None:
                await self._intake.finish(self._give_back(self._door))
            kept = None if self._problem else received
        finally:
            self._intake.end(self, kept)

    def stop(self, problem: Exception) -> None:
        """End the reading with a problem, wherever it is."""
        if self._problem is None and not self._over:
            self._problem = problem
            self._bound.reschedule(asyncio.get_running_loop().time())

    async def _read(self, message: Message | None, receive: Receive) -> Received:
        buffer, empty, limit = bytearray(), 0, self.limiter.policy.body.limit
        while message is not None and message["type"] == "http.request":
            piece = message.get("body", b"")
            buffer += piece
            empty += not piece
            if len(buffer) > limit or empty > EMPTY_MESSAGES:
                raise BodyTooLarge
            self._intake.hold(self, len(piece))
            if not message.get("more_body"):
                return _whole(message, buffer, receive, self._headers)
            if len(buffer) > AT_ONCE and self._door is None:
                self._ask()
                await asyncio.sleep(0)  # a store in this process decides before the next message
            message = await receive()
        return Received(message or {"type": "http.disconnect"}, b"", receive, self._headers)

    def _ask(self) -> None:
        """Ask the budgets that need no body, once."""
        if self._door is None and self._route.before_body is not None:
            self._door = asyncio.ensure_future(self._enter(self._route.before_body))
            self._door.add_done_callback(self._decided)

    async def _enter(self, door: Route) -> Admission:
        admission = await self.limiter.admit_call(self._caller, door, self._method, self._path)
        admission.quiet = True  # the event is that of the call as a whole
        return admission

    def _decided(self, door: asyncio.Task[Admission]) -> None:
        if door.cancelled():
            return
        if (error := door.exception()) is not None:
            self.stop(error if isinstance(error, Exception) else BodySlowError())
        elif door.result().refusal is not None:
            self.stop(RefusedUnreadError(door.result()))

    async def _give_back(self, door: asyncio.Task[Admission]) -> None:
        """Give back what was held for the body, so that the call is decided as a whole."""
        if not door.done():
            door.cancel()
            await asyncio.wait((door,))
        if door.cancelled() or door.exception() is not None:
            return
        admission = door.result()
        await self.limiter.settle_call(admission, Outcome.FAILED)
        if admission.settling is not None:
            await asyncio.wait((admission.settling,))


def _whole(
    last: Message, buffer: bytearray, receive: Receive, headers: Mapping[bytes, bytes]
) -> Received:
    """Return a body as its only message had it, or else as one message."""
    body: bytes = last.get("body", b"")
    if len(body) < len(buffer):
        body = bytes(buffer)
        last = {"type": "http.request", "body": body, "more_body": False}
    return Received(last, body, receive, headers)


class _Begun:
    """An awaitable that was begun, and has to wait, to be awaited now."""

    def __init__(self, steps: Any, pending: object) -> None:  # noqa: ANN401 - iterators, with `throw` or not
        self._steps = steps
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, Message]:
        try:
            while True:
                try:
                    yield self._pending
                except BaseException as error:
                    if not hasattr(self._steps, "throw"):  # some servers' futures have none
                        raise
                    self._pending = self._steps.throw(error)
                else:
                    self._pending = next(self._steps)
        except StopIteration as done:
            message: Message = done.value
            return message
