"""Paths on which the body says what is asked, and paths on which no model is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw

from querybudget.adapters.base import Adapter, Call, Dialect, Meter, Target, Usage
from querybudget.adapters.combined import most_of
from querybudget.adapters.lax import Json
from querybudget.adapters.members import fold, folded, read_object
from querybudget.adapters.metering import AnswerTotals, answer_meter
from querybudget.adapters.native import Native
from querybudget.adapters.native_answer import native_meter
from querybudget.adapters.opaque import opaque_in
from querybudget.adapters.prompt import Prompt
from querybudget.adapters.request import BOM, read_body
from querybudget.adapters.segment_names import Kind

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])


class _Named(msgspec.Struct):
    model: str | None = None


_NAMED = msgspec.json.Decoder(_Named)


class ByMember:
    """Reads a request by the adapter of the one member that tells APIs apart.

    Which member the server reads is not known, so a request is also read as `otherwise` does, which
    counts all of it; the most of each figure counts. One with none of these members, or with
    several, is read in that way alone.

    Args:
        adapters: Folded names of members to adapters.
        otherwise: For every other request.
    """

    dialect: Dialect = Dialect.PROBLEM

    def __init__(self, adapters: Mapping[str, Adapter], otherwise: Native) -> None:
        self._adapters = adapters
        self._otherwise = otherwise

    def parse(self, target: Target, body: bytes, /) -> Call:
        prompt = Prompt(read_object(body, "a JSON object for a model"))
        chosen = self._chosen(prompt.members.keys())
        if chosen is self._otherwise:
            return self._otherwise.call(target, prompt)
        if isinstance(chosen, Native):
            call = chosen.call(target, prompt)
        else:
            call = chosen.parse(target, body)
        whole = self._otherwise.call(target, prompt, texts=False)
        return most_of((call, whole))

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return native_meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        try:
            members = _MEMBERS.decode(body.removeprefix(BOM))
        except (ValueError, RecursionError):
            return self._otherwise.degrade(body)
        return self._chosen(map(fold, members)).degrade(body)

    def _chosen(self, members: Iterable[str]) -> Adapter:
        names = self._adapters.keys() & members
        return self._adapters[names.pop()] if len(names) == 1 else self._otherwise


class Uncounted:
    """Reads requests that no model answers, such as tokenizing: one request and no tokens."""

    def __init__(self, operation: str, dialect: Dialect) -> None:
        self._operation = operation
        self.dialect: Dialect = dialect

    def parse(self, _target: Target, body: bytes, /) -> Call:
        named = read_body(_NAMED, body, f"a JSON object for {self._operation}")
        return Call(self.dialect, self._operation, named.model or "", generates=False)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return answer_meter(call, content_type, _nothing, _nothing)

    def degrade(self, body: bytes, /) -> bytes:
        return body


class Nested:
    """Reads requests that are deeper in a body: Gemini's ``batch.input_config.requests``.

    A body without them names a file of requests instead. It is one request of no tokens: the file
    was uploaded before.

    Args:
        inner: Reads the object at the end of the way.
        steps: Folded names that lead to it.
    """

    def __init__(self, inner: Adapter, *steps: str) -> None:
        self._inner = inner
        self._steps = steps
        self.dialect: Dialect = inner.dialect

    def parse(self, target: Target, body: bytes, /) -> Call:
        document: Json = read_object(body, "a batch of requests")
        value = document
        for step in self._steps:
            value = next(iter(folded(value).get(step, ())), None)
        if not isinstance(value, dict):
            named = tuple(opaque_in(Kind.REFERENCE, document))
            return Call(self.dialect, "other", generates=False, opaque=named)
        return self._inner.parse(target, msgspec.json.encode(value))

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._inner.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return body


def _nothing(_data: bytes, totals: AnswerTotals) -> None:
    totals.usage = Usage()
    totals.complete = True
