"""From a body to a call, whatever the body is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b

from querybudget.adapters.base import UNREADABLE, Adapter, Call, Dialect, Opaque, Target
from querybudget.adapters.combined import most_of
from querybudget.adapters.media import forms_of, is_usual
from querybudget.adapters.readings import TooMuchError, readings
from querybudget.errors import BodyError

MAX_VALUES = 500_000
"""Most commas, brackets and braces, wherever they stand, of a body that is read. Each may begin
a value, which takes far more memory and time than its bytes; no model's prompt has so many."""

MANY_TEXTS = 65_536
LEAST_TEXT = 16
"""Bytes of a body for each text in it, in one with more than `MANY_TEXTS`. Each is kept as a
segment; clients send longer ones."""


def read_call(adapter: Adapter, target: Target, body: bytes) -> Call:
    """Return what a request asks, for any body.

    A body that the adapter cannot read, or that servers do not all read alike, is read once more in
    each of the ways that servers have (`readings`). So is one of another type than JSON
    (`forms_of`). Otherwise such a body would bypass the budgets.

    Args:
        adapter: The adapter of the path.
        target: Where the request is sent.
        body: The body, decompressed.

    Returns:
        The call; the most of each figure, where the readings differ. Its operation is `UNREADABLE`
        if no reading succeeds, or the body has more than `MAX_VALUES` values, or too many tiny
        texts. The application then answers the request with its own error.
    """
    if _has_too_many_values(body):
        return unreadable_call(adapter.dialect, body)
    if not is_usual(target.headers):
        return _most(_read_forms, adapter, target, body)
    try:
        return adapter.parse(target, body)
    except TooMuchError:
        return unreadable_call(adapter.dialect, body)
    except BodyError:
        return _most(_read_odd, adapter, target, body)


def _most(
    read: Callable[[Adapter, Target, bytes], list[Call]],
    adapter: Adapter,
    target: Target,
    body: bytes,
) -> Call:
    """Return the most of what a body may ask, in all the ways that `read` knows."""
    try:
        calls = read(adapter, target, body)
    except TooMuchError:
        calls = []
    return most_of(calls) if calls else unreadable_call(adapter.dialect, body)


def _read_odd(adapter: Adapter, target: Target, body: bytes) -> list[Call]:
    return [call for call, _ in _read_each(adapter, target, body)]


def _read_forms(adapter: Adapter, target: Target, body: bytes) -> list[Call]:
    """Return what a body asks that is not JSON in UTF-8 by its type; nothing if nobody reads it."""
    calls: list[Call] = []
    try:
        forms = dict.fromkeys(forms_of(target, body))
    except BodyError:
        return calls
    for place, form in forms:
        try:
            calls.append(adapter.parse(place, form))
        except TooMuchError:
            raise
        except BodyError:
            calls += [call for call, _ in _read_each(adapter, place, form)]
    return calls


def degrade_call(adapter: Adapter, target: Target, body: bytes) -> bytes | None:
    """Return a decompressed body asking for less; None if there is nothing to reduce.

    Where servers differ about a body, all of them are given one of its readings.
    """
    if _has_too_many_values(body):
        return None
    try:
        adapter.parse(target, body)
    except TooMuchError:
        return None
    except BodyError:
        # The last has members in their own spelling, so every server reads them.
        try:
            strict = [body, *(reading for _, reading in _read_each(adapter, target, body))][-1]
        except TooMuchError:
            return None
    else:
        strict = body
    degraded = adapter.degrade(strict)
    return None if degraded is body else degraded


def _read_each(adapter: Adapter, target: Target, body: bytes) -> Iterator[tuple[Call, bytes]]:
    """Yield each reading of a body that the adapter can read, and what it asks."""
    for reading in readings(body):
        try:
            yield adapter.parse(target, reading), reading
        except TooMuchError:
            raise
        except BodyError:
            continue


def _has_too_many_values(body: bytes) -> bool:
    if len(body) > 2 * MANY_TEXTS and _has_tiny_texts(body):
        return True
    return len(body) > MAX_VALUES and len(body) - len(body.translate(None, b",[{")) > MAX_VALUES


def _has_tiny_texts(body: bytes) -> bool:
    quotes = body.count(b'"')
    if quotes <= 2 * MANY_TEXTS:
        return False
    names = body.count(b'":')
    if b"\\" in body:
        quotes -= body.count(b'\\"')
        names -= body.count(b'\\":')
    texts = quotes // 2 - names
    return texts > MANY_TEXTS and len(body) < LEAST_TEXT * texts


def unreadable_call(dialect: Dialect, body: bytes, size: int | None = None) -> Call:
    """Return the call of a body that cannot be read.

    Nothing that it may hold has more tokens: each of its bytes counts as one, besides as text.

    Args:
        dialect: The format of a refusal.
        body: The body, as far as it could be decoded.
        size: Most bytes that it may stand for; its own size by default.
    """
    digest = blake2b(body, digest_size=16).hexdigest()
    size = len(body) if size is None else size
    return Call(
        dialect,
        UNREADABLE,
        input_bytes=size,
        input_tokens=size,
        opaque=(Opaque(UNREADABLE, digest),),
    )
