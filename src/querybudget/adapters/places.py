"""Adapters of a request whose path can be read in several ways."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from querybudget.adapters.base import Adapter, Call, Dialect, Meter, Target
from querybudget.adapters.combined import most_of
from querybudget.adapters.readings import TooMuchError
from querybudget.errors import BodyError


class At:
    """Reads requests as another adapter does, at one reading of their path.

    Args:
        adapter: Reads body and answer.
        path: The reading.
    """

    def __init__(self, adapter: Adapter, path: str) -> None:
        self._adapter = adapter
        self._path = path
        self.dialect: Dialect = adapter.dialect

    def parse(self, target: Target, body: bytes, /) -> Call:
        return self._adapter.parse(replace(target, path=self._path), body)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._adapter.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return self._adapter.degrade(body)


_UNLIKE = "Expected a path that every server reads alike."

MOST_PLACES = 3
"""Adapters of one request that read its body. With more, no body of it is valid."""


class AnyOf:
    """Reads requests as each of several adapters does: any of them may be the server's.

    A call is the most of each figure. A body is not valid if they read it as different operations.

    Args:
        adapters: At least two. The answer is read as the first of them does.
    """

    def __init__(self, adapters: Sequence[Adapter]) -> None:
        self._adapters = tuple(adapters)
        self.dialect: Dialect = adapters[0].dialect

    def parse(self, target: Target, body: bytes, /) -> Call:
        if len(self._adapters) > MOST_PLACES:
            raise BodyError(_UNLIKE)
        calls: list[Call] = []
        problems: list[BodyError] = []
        for adapter in self._adapters:
            try:
                calls.append(adapter.parse(target, body))
            except TooMuchError:
                raise
            except BodyError as error:
                problems.append(error)
        if not calls:
            raise problems[0]
        if len({call.operation for call in calls}) > 1:
            raise BodyError(_UNLIKE)
        return most_of(calls)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._adapters[0].meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        for adapter in self._adapters:
            body = adapter.degrade(body)
        return body
