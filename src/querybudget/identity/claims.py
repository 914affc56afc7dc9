"""Callers as outer middleware has verified them: its user, and the claims of its token.

Nothing is verified here. The scope's ``user``, ``auth`` and ``state`` are written by the server's
own middleware, and nothing that the client sent is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast
from uuid import UUID

from querybudget.identity.identity import Resolver, Scope

_NAMES = ("identity", "id", "sub", "display_name")
_STATE = ("claims", "jwt", "token")


def user() -> Resolver:
    """The user in ``scope["user"]``, as outer authentication middleware has set it.

    Text or a number is the name itself. The name of an object (Starlette's ``BaseUser``) or a
    mapping is the first of ``identity``, ``id``, ``sub`` and ``display_name`` that is text, an
    integer or a UUID. A user with a false ``is_authenticated`` is not identified. A property that
    raises counts as missing, or as false.

    Returns:
        A resolver of account names.
    """

    def resolve(scope: Scope) -> str | None:
        account = scope.get("user")
        if account is None:
            return None
        if name := _name(account):
            return name
        if not _field(account, "is_authenticated", missing=True):
            return None
        return next((name for part in _NAMES if (name := _name(_field(account, part)))), None)

    return resolve


def claim(path: str) -> Resolver:
    """A claim of a token that outer middleware has verified.

    The claim is read from the first of these places that has it: ``scope["auth"]``,
    ``scope["auth"].claims``, ``scope["user"]``, ``scope["user"].claims``, and ``claims``, ``jwt``
    and ``token`` in ``scope["state"]``. Mappings are read by key, objects by public attribute. The
    path is first tried as one key (``https://example.com/org``), then step by step.

    Args:
        path: ``sub``, or ``org.id`` for a claim within a claim.

    Returns:
        A resolver of the claim's value if that is text, an integer or a boolean.
    """
    texts = claim_texts(path)

    def resolve(scope: Scope) -> str | None:
        values = texts(scope)
        return values[0] or None if len(values) == 1 else None

    return resolve


def claim_texts(path: str) -> Callable[[Scope], tuple[str, ...]]:
    """The values of a claim as texts: one for a single value, several for a list, else none."""
    steps = tuple(path.split("."))

    def values(scope: Scope) -> tuple[str, ...]:
        for holder in _holders(scope):
            value = _field(holder, path)
            if value is None and len(steps) > 1:
                value = _nested(holder, steps)
            if value is not None:
                return _texts(value)
        return ()

    return values


def _holders(scope: Scope) -> list[object]:
    holders: list[object] = []
    for holder in (scope.get("auth"), scope.get("user")):
        if holder is not None:
            holders.append(holder)
            claims = _field(holder, "claims")
            if claims is not None:
                holders.append(claims)
    state = scope.get("state")
    if state or (state is not None and type(state) is not dict):
        found = [_field(state, name) for name in _STATE]
        holders += [claims for claims in found if claims is not None]
    return holders


def _nested(holder: object, steps: tuple[str, ...]) -> object:
    for step in steps:
        if holder is None:
            return None
        holder = _field(holder, step)
    return holder


def _field(holder: object, name: str, *, missing: object = None) -> object:
    if type(holder) is dict or isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name, missing)
    if name.startswith("_"):
        return missing
    try:
        return getattr(holder, name, missing)
    except Exception:  # noqa: BLE001  a property of a foreign class may raise anything
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
