"""Promises of adapters: reading requests and asking for less."""

from __future__ import annotations

import contextlib

import msgspec

from querybudget.adapters.base import Call, Target
from querybudget.adapters.generic import Generic
from querybudget.adapters.readers import READERS
from querybudget.adapters.reading import degrade_call, read_call
from querybudget.adapters.readings import readings
from querybudget.errors import BodyError
from querybudget.policy.routes import GenericRoute
from tests.fuzz.pieces import Pieces

GENERIC = Generic(
    GenericRoute(
        path="/generate",
        model="/model",
        prompt=("/prompt", "/parts/0/text"),
        max_output="/options/max",
        stream="/stream",
        choices="/n",
        input_usage="/usage/in",
        output_usage="/usage/out",
        text="/text",
    )
)
ADAPTERS = (*READERS.values(), GENERIC)
TYPES = (
    b"application/json",
    b"",
    b"multipart/form-data; boundary=x",
    b"application/x-www-form-urlencoded",
    b'multipart/form-data; boundary="a b"',
)
PATHS = ("/v1/chat/completions", "/openai/deployments/m/x", "/v1beta/models/a:generateContent", "/")


def target(pieces: Pieces) -> Target:
    kind = pieces.choice(TYPES)
    return Target(pieces.choice(PATHS), "model=a", [(b"content-type", kind)] if kind else [])


def check(call: Call) -> None:
    """Numbers are small enough to be multiplied by prices, and texts are Unicode."""
    for name, value in msgspec.to_builtins(call).items():
        if isinstance(value, int):
            assert 0 <= value < 2**40, name
    assert call.items >= 1
    assert call.choices >= 1
    call.model.encode()


def requests(data: bytes) -> None:
    pieces = Pieces(data)
    adapter, place, body = pieces.choice(ADAPTERS), target(pieces), pieces.rest()
    with contextlib.suppress(BodyError):
        check(adapter.parse(place, body))
    check(read_call(adapter, place, body))


def degrading(data: bytes) -> None:
    pieces = Pieces(data)
    adapter, place, body = pieces.choice(ADAPTERS), target(pieces), pieces.rest()
    assert isinstance(adapter.degrade(body), bytes)
    less = degrade_call(adapter, place, body)
    if less is None:
        return
    after = read_call(adapter, place, less)
    try:
        call = adapter.parse(place, body)
    except BodyError:  # servers read it differently, and are now given one of its readings
        return
    assert (after.operation, after.model, after.items) == (call.operation, call.model, call.items)
    assert (after.template, after.stream) == (call.template, call.stream)
    assert after.choices <= call.choices
    assert after.images == call.images
    again = degrade_call(adapter, place, less)
    assert again is None or degrade_call(adapter, place, again) is None


def servers(data: bytes) -> None:
    """Each reading is strict JSON, and reads as itself."""
    found = list(readings(data))
    assert len(found) <= 3
    for reading in found:
        msgspec.json.decode(reading)
        assert len(list(readings(reading))) == 1
