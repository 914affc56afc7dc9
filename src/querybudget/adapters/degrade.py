"""Asking for less: a request's body rewritten, so that its answer shows less of the model.

What is not touched stays byte for byte as it was sent. A body that is no JSON object is left alone.
Nothing is added that a server may not know, but the bound on output, which every server does.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

__all__ = ["OUTPUT", "Members", "bound", "calm", "drop", "one", "put", "rewrite", "within"]

OUTPUT = 512
"""Tokens that a degraded answer may have."""

Members = dict[str, Raw]
"""An object's members, each as JSON."""

CALM = frozenset({b"null", b'"none"', b'"minimal"', b'"low"'})
"""Efforts of reasoning that are let be, as JSON."""

_MEMBERS = msgspec.json.Decoder(Members)
_NUMBER: msgspec.json.Decoder[float] = msgspec.json.Decoder(int | float, strict=False)
_ENCODER = msgspec.json.Encoder()
_BOM = b"\xef\xbb\xbf"
_NULL = Raw(b"null")


def rewrite(body: bytes, change: Callable[[Members], None]) -> bytes:
    """Change an object's members.

    Args:
        body: JSON; a leading UTF-8 byte order mark is allowed, as servers do.
        change: Changes the members in place. It must not raise.

    Returns:
        The new body; `body` itself where nothing changed, or where it is no JSON object.
    """
    try:
        members = _MEMBERS.decode(body.removeprefix(_BOM))
    except (ValueError, RecursionError):
        return body
    before = members.copy()
    change(members)
    return body if members == before else _ENCODER.encode(members)


def within(members: Members, name: str, change: Callable[[Members], None]) -> None:
    """Change the members of an object that is itself a member; nothing where there is none."""
    if name in members:
        value = bytes(members[name])
        changed = rewrite(value, change)
        if changed is not value:
            members[name] = Raw(changed)


def put(members: Members, name: str, value: bytes) -> None:
    """Give a member another value, where it has one."""
    if name in members and _given(members[name]):
        members[name] = Raw(value)


def drop(members: Members, *names: str) -> None:
    """Take members away."""
    for name in names:
        members.pop(name, None)


def one(members: Members, *names: str) -> None:
    """Ask for one where more are asked for."""
    for name in names:
        if name in members and _given(members[name]) and _number(members[name]) != 1:
            members[name] = Raw(b"1")


def bound(members: Members, *names: str, otherwise: str = "", most: int = OUTPUT) -> None:
    """Bound a number, mostly of tokens.

    Args:
        members: Changed in place.
        names: What the bound may be called; each that is given is lowered. 0 and below is none.
        otherwise: What to call it where no name is given; empty to add none.
        most: The bound.
    """
    found = False
    for name in names:
        if name not in members or not _given(members[name]):
            continue
        found = True
        asked = _number(members[name])
        if asked is None or not 0 < asked <= most:
            members[name] = Raw(b"%d" % most)
    if otherwise and not found:
        members[otherwise] = Raw(b"%d" % most)


def calm(members: Members, name: str) -> None:
    """Lower an effort of reasoning to ``low``, which is the least that every model takes."""
    if bytes(members.get(name, _NULL)) not in CALM:
        put(members, name, b'"low"')


def _given(value: Raw) -> bool:
    return value != _NULL


def _number(value: Raw) -> float | None:
    try:
        return _NUMBER.decode(value)
    except ValueError:
        return None
