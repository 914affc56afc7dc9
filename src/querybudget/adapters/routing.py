"""From a path to the adapter that reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING

from querybudget.adapters.base import (
    SESSION,
    UNREADABLE,
    Adapter,
    Call,
    Dialect,
    Meter,
    Target,
)
from querybudget.policy import servers
from querybudget.policy.routes import GenericRoute

if TYPE_CHECKING:
    from querybudget.policy.routes import Server

WITHOUT_BODY = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "TRACE", "WEBSOCKET"})
"""Methods whose requests ask no model. Any other may carry a body to a route that takes it."""

MODEL = "{model}"
"""What stands for a model's name in the pattern of a route."""

_LAST = re.compile(r"[/:]")
_WILD = re.compile(r"[*?\[\]]")
_DEFAULT_OPERATION = "generic"
_KEPT = frozenset({SESSION, UNREADABLE})
"""Operations that decide which budgets apply, so that a route's name does not replace them."""


def carries_body(method: str) -> bool:
    """Return whether requests of a method, in upper case, may ask a model."""
    return method not in WITHOUT_BODY


class InPath:
    """Reads requests as another adapter does, with what the route says besides.

    Args:
        adapter: Reads body and answer.
        model: The model's name in the path; empty if it is not there. The body's counts too.
        operation: The route's name; empty for the adapter's own.
    """

    def __init__(self, adapter: Adapter, model: str, operation: str) -> None:
        self._adapter = adapter
        self._model = model
        self._operation = operation
        self.dialect: Dialect = adapter.dialect

    def parse(self, target: Target, body: bytes, /) -> Call:
        call = self._adapter.parse(target, body)
        if self._model and self._model != call.model:
            named = dict.fromkeys((call.model, *call.other_models))
            call.other_models = tuple(name for name in named if name not in {"", self._model})
            call.model = self._model
        if self._operation and call.operation not in _KEPT:
            call.operation = self._operation
        return call

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._adapter.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return self._adapter.degrade(body)


def routed(route: GenericRoute, path: str) -> Adapter | None:
    """Return the adapter of a route if its pattern matches the path, otherwise None."""
    pattern = route.path.replace(MODEL, "*")
    if not fnmatchcase(path, pattern):
        path = path.rstrip("/")
        if not fnmatchcase(path, pattern):
            return None
    model = model_in(route.path, path) if MODEL in route.path else ""
    adapter = _adapter(route)
    operation = route.operation if route.read and route.operation != _DEFAULT_OPERATION else ""
    return InPath(adapter, model, operation) if model or operation else adapter


def _adapter(route: GenericRoute) -> Adapter:
    # Imported here: together, the adapters are the largest part of what a server loads.
    if route.read:
        from querybudget.adapters.readers import READERS  # noqa: PLC0415

        return READERS[route.read]
    from querybudget.adapters.generic import Generic  # noqa: PLC0415

    return Generic(route)


def model_in(pattern: str, path: str) -> str:
    """Return what stands in the path where the pattern has ``{model}``.

    The pattern, with a wildcard in its place, matches the path.
    """
    before, _, after = pattern.partition(MODEL)
    left, right = _WILD.split(before)[-1], _WILD.split(after)[0]
    start = (path.find(left) if left != before else 0) + len(left)
    end = path.find(right, start) if right != after else len(path) - len(right)
    return path[start:end] if right or right == after else path[start:]


class RouteTable:
    """Routes by the last word of their patterns, so that few are tried for one path."""

    def __init__(self, routes: Sequence[GenericRoute]) -> None:
        self._by_word: dict[str, list[tuple[int, GenericRoute]]] = {}
        self._others: list[tuple[int, GenericRoute]] = []
        for place, route in enumerate(routes):
            word = _LAST.split(route.path)[-1]
            # A pattern that ends in a wildcard, or in a part of a word, fits any last word.
            fits_any = _WILD.search(word) or MODEL in word
            table = self._others if fits_any else self._by_word.setdefault(word, [])
            table.append((place, route))

    def find(self, path: str) -> Adapter | None:
        """Return the adapter of the first route whose pattern matches; None without one."""
        word = _LAST.split(path.rstrip("/"))[-1]
        candidates = self._others + self._by_word.get(word, [])
        for _, route in sorted(candidates, key=_place):
            if (adapter := routed(route, path)) is not None:
                return adapter
        return None


def _place(entry: tuple[int, GenericRoute]) -> int:
    return entry[0]


@cache
def native_routes(names: tuple[Server, ...]) -> RouteTable:
    """Return the routes of servers, and after them those that mean the same on every server."""
    default = servers.server_file(servers.DEFAULT).routes
    return RouteTable((*servers.routes(names), *default))
