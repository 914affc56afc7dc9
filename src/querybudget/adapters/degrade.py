"""Asking for less: rewrite a request's body so that its answer reveals less of the model.

Members that do not change stay byte for byte as they were sent. A body that is not a JSON object
stays as it is. Nothing is added that a server may not know, except the limit on output, which every
server knows.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw

from querybudget.adapters.request import BOM

OUTPUT = 512
"""Most output tokens of a degraded answer."""

LOW_EFFORTS = frozenset({b"null", b'"none"', b'"minimal"', b'"low"'})
"""Reasoning efforts, as JSON, that are low enough to stay."""

Members = dict[str, Raw]
"""An object's members, each as JSON."""

_MEMBERS = msgspec.json.Decoder(Members)
_NUMBER: msgspec.json.Decoder[float] = msgspec.json.Decoder(int | float, strict=False)
_ENCODER = msgspec.json.Encoder()
_NULL = Raw(b"null")


def rewrite(body: bytes, change: Callable[[Members], None]) -> bytes:
    """Change an object's members.

    Args:
        body: JSON; a leading UTF-8 byte order mark is allowed.
        change: Changes the members in place. It must not raise.

    Returns:
        The new body; `body` itself if nothing changed or it is not a JSON object.
    """
    try:
        members = _MEMBERS.decode(body.removeprefix(BOM))
    except (ValueError, RecursionError):
        return body
    before = members.copy()
    change(members)
    return body if members == before else _ENCODER.encode(members)


def within(members: Members, name: str, change: Callable[[Members], None]) -> None:
    """Change the members of an object that is itself a member, if it is present."""
    if name in members:
        value = bytes(members[name])
        changed = rewrite(value, change)
        if changed is not value:
            members[name] = Raw(changed)


def put(members: Members, name: str, value: bytes) -> None:
    """Replace a member's value, if it is present and not null."""
    if _present(members, name):
        members[name] = Raw(value)


def drop(members: Members, *names: str) -> None:
    """Remove members."""
    for name in names:
        members.pop(name, None)


def single(members: Members, *names: str) -> None:
    """Set counts to 1, if they are present and not null."""
    for name in names:
        if _present(members, name) and _number(members[name]) != 1:
            members[name] = Raw(b"1")


def bound(members: Members, *names: str, otherwise: str = "", limit: int = OUTPUT) -> None:
    """Lower a number, usually of tokens, to a limit.

    Args:
        members: Changed in place.
        names: Names that the number may have; each one present is lowered. 0 and below count as no
            limit.
        otherwise: The name to add if none is present; empty to add nothing.
        limit: The limit.
    """
    present = [name for name in names if _present(members, name)]
    for name in present:
        number = _number(members[name])
        if number is None or not 0 < number <= limit:
            members[name] = Raw(b"%d" % limit)
    if otherwise and not present:
        members[otherwise] = Raw(b"%d" % limit)


def lower_effort(members: Members, name: str) -> None:
    """Lower a reasoning effort to ``low``, the lowest that every model accepts."""
    if bytes(members.get(name, _NULL)) not in LOW_EFFORTS:
        put(members, name, b'"low"')


def _present(members: Members, name: str) -> bool:
    return name in members and members[name] != _NULL


def _number(value: Raw) -> float | None:
    try:
        return _NUMBER.decode(value)
    except ValueError:
        return None
