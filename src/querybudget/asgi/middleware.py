"""`QueryBudgetMiddleware`, and the path of a request through it.

It is pure ASGI. The constructor does no I/O and needs no event loop: the policy file is read and
the store opened when the server starts (lifespan), or at the first request, in the process that
serves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from querybudget.adapters.base import Adapter, Call, Dialect, Target
from querybudget.adapters.reading import read_call
from querybudget.asgi.body import SHORT_BODY, call_of, header, is_long
from querybudget.asgi.exporting import Exporters
from querybudget.asgi.health import READS, send_health
from querybudget.asgi.intake import INTAKE_ERRORS, Intake, refused_body, unread
from querybudget.asgi.lifespan import serve_lifespan
from querybudget.asgi.open_calls import OpenCalls
from querybudget.asgi.responder import (
    Responder,
    dialect_of,
    refusal_of,
    send_answer,
)
from querybudget.asgi.stages import DelayQueue, apply_stage
from querybudget.asgi.types import ASGIApp, Receive, Scope, Send
from querybudget.asgi.websocket import WebSocketSession
from querybudget.errors import SetupError
from querybudget.events import Hook, checked_hooks
from querybudget.limiter import Limiter
from querybudget.limiter.matching import LONGEST_KEY
from querybudget.limiter.request_ids import new_request_id
from querybudget.limiter.route import Route
from querybudget.limiter.scopes import is_preflight, method_of, path_of, paths_of, target_of
from querybudget.paths import LONGEST, is_too_long
from querybudget.policy.model import Policy
from querybudget.policy.routes import Unknown
from querybudget.refusals import Answer, for_message, no_route, path_too_long, readable_by
from querybudget.stores import Clock, Store

ENVIRONMENT = "QUERYBUDGET_POLICY"
"""The environment variable that names the policy file if no policy is passed."""


class Bypass:
    """Turns all middlewares of this process off: `querybudget.testing.unlimited` sets it.

    Attributes:
        unlimited: Number of blocks of code that ask for this, since they may overlap; 0 in service.
    """

    unlimited = 0


BYPASS = Bypass()

_CODING = b"content-encoding"


class QueryBudgetMiddleware:
    """Gives every caller of an ASGI application a budget.

    Args:
        app: The application.
        policy: A policy, a mapping, or the path of a YAML file; by default, the file that
            ``QUERYBUDGET_POLICY`` names.
        store: A store, or the URL of one; by default, the policy's.
        clock: µs since the epoch; by default, the system's.
        hooks: Called with one `DecisionEvent` for each call.
        limiter: An existing limiter, instead of all of the above.

    Raises:
        SetupError: There is a limiter and one of the arguments that it replaces, or a hook cannot
            be called.
        PolicyError: A policy passed as a mapping is wrong. A file is read when the server starts.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: Policy | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        store: Store | str | None = None,
        clock: Clock | None = None,
        hooks: Sequence[Hook] = (),
        limiter: Limiter | None = None,
    ) -> None:
        self._hooks = checked_hooks(hooks)
        replaced = any(argument is not None for argument in (policy, store, clock))
        if limiter is not None and (replaced or self._hooks):
            raise SetupError(
                "expected `limiter` alone: pass `policy`, `store`, `clock` and `hooks` to the"
                " Limiter itself"
            )
        self.app = app
        self._policy = Policy.load(policy) if isinstance(policy, Mapping) else policy
        self._store = store
        self._clock = clock
        self._limiter = limiter
        self._ready: Limiter | None = None
        self._calls = OpenCalls()
        self._delays = DelayQueue(calls=self._calls)
        self._intake = Intake()
        self._exporters: Exporters | None = None if limiter is None else Exporters(limiter)

    @property
    def limiter(self) -> Limiter:
        """The limiter, created on first use.

        Raises:
            PolicyError: The policy is wrong.
            SetupError: There is no policy, or the store does not exist.
        """
        if self._limiter is None:
            self._limiter = self._make_limiter()
        return self._limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http" and not BYPASS.unlimited:
            # Some servers add a body's trailers to their list, when budgets are found already.
            scope["headers"] = [*scope["headers"]]
            limiter, path = self._ready or self._begin(), scope["path"]
            answers = self._calls.background.answers
            if len(path) <= LONGEST_KEY and not answers and not scope.get("root_path"):
                method = scope.get("method", "")
                route = limiter.matcher.ordinary(method, path)
                if route is not None:
                    await self._call(limiter, route, method, path, scope, receive, send)
                    return
            await self._watched(limiter, path, scope, receive, send)
        elif kind == "websocket" and not BYPASS.unlimited:
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await serve_lifespan(self.app, scope, receive, send, self._begin, self._calls)
        else:
            await self.app(scope, receive, send)

    def _watched(
        self, limiter: Limiter, path: str, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Return what serves a request whose answer may be that of an earlier call."""
        if len(path) > LONGEST:  # before anything reads it
            return self._refuse(path_too_long, scope, "", send)
        if self._calls.background.answers:
            scope, send = self._calls.background.watched(scope, send)
        return self._looked_at(limiter, scope, receive, send)

    def _looked_at(
        self, limiter: Limiter, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        """Return what serves a request that is none of a model, or may be taken for several."""
        method, paths = method_of(scope), paths_of(scope)
        path = paths[0]
        if path and path == limiter.policy.health and method in READS:
            return send_health(limiter, send)
        exporters = self._exporters
        if exporters is not None and path and path == exporters.path and method in READS:
            return exporters.scraped(scope, send)
        if is_too_long(path):
            return self._refuse(path_too_long, scope, path, send)
        route = limiter.matcher.route(method, *paths)
        if route is None or (method == "OPTIONS" and is_preflight(scope)):
            return self.app(scope, receive, send)
        if route.unknown is Unknown.REFUSE:
            limiter.unknown.refused(method, path)
            return self._refuse(no_route, scope, path, send)
        return self._call(limiter, route, method, path, scope, receive, send)

    async def _call(
        self,
        limiter: Limiter,
        route: Route,
        method: str,
        path: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Decide a request that budgets apply to, and serve it if it is admitted."""
        adapter, received, call = route.adapter, None, None
        try:
            try:
                if adapter is not None:
                    asked = (method, path)
                    received = await self._intake.read(limiter, route, asked, scope, receive)
                    if received.gone:
                        return
                    texts = route.examined or limiter.reporter.wants_texts
                    target = target_of(scope, path, texts=texts)
                    if len(received.body) <= SHORT_BODY and _CODING not in received.headers:
                        call = read_call(adapter, target, received.body)
                    else:
                        limit = limiter.policy.body.limit
                        call = await _read_long(adapter, target, scope, received.body, limit)
                caller = limiter.rules.caller_for(scope)
                admission = await limiter.admit_call(caller, route, method, path, call)
                staged: Scope | None = scope
                if admission.stage and adapter is not None and received is not None:
                    delays = self._delays
                    staged = await apply_stage(limiter, admission, adapter, received, scope, delays)
            finally:
                if received is not None and received.held:
                    self._intake.free(received)
        except INTAKE_ERRORS as problem:
            refused = refused_body(problem, limiter, _dialect(route), new_request_id())
            await self._send(unread(refused, scope), scope, send)
            return
        if admission.refusal is not None:
            refused = refusal_of(limiter, admission, _dialect(route))
            await self._send(for_message(refused, admission.call.message_id), scope, send)
        elif staged is not None:
            responder = Responder(limiter, route, admission, receive, send, self._calls, received)
            await responder.run(self.app, staged)

    async def _refuse(
        self, answer: Callable[..., Answer], scope: Scope, path: str, send: Send
    ) -> None:
        """Refuse a request of which nothing but its path is looked at."""
        refused = answer(dialect_of(scope, path), request_id=new_request_id())
        await self._send(refused, scope, send)

    async def _send(self, refused: Answer, scope: Scope, send: Send) -> None:
        cors = self.limiter.policy.refusals.cors
        await send_answer(readable_by(refused, cors, header(scope, b"origin")), send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        limiter = self._ready or self._begin()
        if len(scope["path"]) > LONGEST or is_too_long(path_of(scope)):
            await send({"type": "websocket.close", "code": 1008})
            return
        paths = paths_of(scope)
        route, path = limiter.route_for("WEBSOCKET", *paths), paths[0]
        if route is None:
            await self.app(scope, receive, send)
            return
        caller = limiter.caller_for(scope)
        session = WebSocketSession(limiter, route, caller, path, receive, send, self._calls)
        await session.run(self.app, scope)

    def _begin(self) -> Limiter:
        """Return the limiter, where it can work: it does in an event loop of asyncio alone."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise SetupError(
                "querybudget runs on asyncio, and this is another event loop: start the server with"
                " its worker for asyncio or uvloop"
            ) from None
        self._ready = self.limiter
        return self._ready

    def _make_limiter(self) -> Limiter:
        policy = self._policy if self._policy is not None else os.environ.get(ENVIRONMENT)
        if not policy:
            raise SetupError(
                f"no policy: pass a policy to QueryBudgetMiddleware, or set {ENVIRONMENT} to the"
                " path of a YAML file"
            )
        loaded = policy if isinstance(policy, Policy) else Policy.load(policy)
        limiter = Limiter(loaded, store=self._store, clock=self._clock, hooks=self._hooks)
        self._exporters = Exporters(limiter)
        return limiter


async def _read_long(
    adapter: Adapter, target: Target, scope: Scope, body: bytes, limit: int
) -> Call:
    """Return what a body asks that may be long or compressed: in a thread, if it is long."""
    if is_long(scope, body):
        return await asyncio.to_thread(call_of, adapter, target, scope, body, limit)
    return call_of(adapter, target, scope, body, limit)


def _dialect(route: Route) -> Dialect:
    return route.adapter.dialect if route.adapter else Dialect.PROBLEM
