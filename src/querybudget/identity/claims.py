"""What ran further out and verified: the user it found, the claims it read.

Nothing is verified here, and nothing of what the client sent is looked at: the scope's ``user``,
``auth`` and ``state`` are written by the server's own middleware.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from uuid import UUID

from querybudget.identity.identity import Resolver, Scope

__all__ = ["claim", "claim_texts", "user"]

_NAMES = ("identity", "id", "sub", "display_name")
_STATE = ("claims", "jwt", "token")


def user() -> Resolver:
    """``scope["user"]``, as authentication further out left it.

    A text or a number is the name itself. Of an object (Starlette's ``BaseUser``) or a mapping it
    is the first of ``identity``, ``id``, ``sub`` and ``display_name`` that is a text, a whole
    number or a UUID. Whoever says ``is_authenticated`` and means no is nobody. A property that
    raises counts as missing, and as no.

    Returns:
        A resolver of account names.
    """

    def resolve(scope: Scope) -> str | None:
        found = scope.get("user")
        if found is None:
            return None
        if name := _name(found):
            return name
        if not _field(found, "is_authenticated", missing=True):
            return None
        return next((name for part in _NAMES if (name := _name(_field(found, part)))), None)

    return resolve


def claim(path: str) -> Resolver:
    """A claim of a token that was verified further out.

    It is looked for in these places, and the first that has it wins: ``scope["auth"]``,
    ``scope["auth"].claims``, ``scope["user"]``, ``scope["user"].claims``, and ``claims``, ``jwt``
    and ``token`` in ``scope["state"]``. Mappings are looked into by key, objects by public
    attribute. A path is tried as one key first (``https://example.com/org``), then step by step.

    Args:
        path: ``sub``, or ``org.id`` for a claim within a claim.

    Returns:
        A resolver of the claim's value where that is a text, a whole number or a boolean.
    """
    texts = claim_texts(path)

    def resolve(scope: Scope) -> str | None:
        found = texts(scope)
        return found[0] or None if len(found) == 1 else None

    return resolve


def claim_texts(path: str) -> Callable[[Scope], tuple[str, ...]]:
    """What a claim says, as texts: one for a single value, several for a list, else none.

    Args:
        path: As for `claim`.
    """
    steps = tuple(path.split("."))

    def read(scope: Scope) -> tuple[str, ...]:
        for holder in _holders(scope):
            found = _field(holder, path)
            if found is None and len(steps) > 1:
                found = _walk(holder, steps)
            if found is not None:
                return _texts(found)
        return ()

    return read


def _holders(scope: Scope) -> Iterator[object]:
    for name in ("auth", "user"):
        holder = scope.get(name)
        if holder is not None:
            yield holder
            claims = _field(holder, "claims")
            if claims is not None:
                yield claims
    state = scope.get("state")
    if state is not None:
        yield from (found for name in _STATE if (found := _field(state, name)) is not None)


def _walk(holder: object, steps: tuple[str, ...]) -> object:
    for step in steps:
        if holder is None:
            return None
        holder = _field(holder, step)
    return holder


def _field(holder: object, name: str, *, missing: object = None) -> object:
    if isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name, missing)
    if name.startswith("_"):
        return missing
    try:
        return getattr(holder, name, missing)
    except Exception:  # noqa: BLE001  a property of somebody else's class may raise anything
        return None


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple | set | frozenset):
        values = cast("list[object]", value)
        return tuple(text for item in values if (text := _text(item)) is not None)
    text = _text(value)
    return () if text is None else (text,)


def _name(value: object) -> str | None:
    return None if isinstance(value, bool) else _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | UUID) else None
