"""Names that calls say and callers can make up, such as system prompts: which of them are shared.

If each name had an account, a caller could make up names to get new budgets, and to fill the store.
So a name counts from its second caller on. Each process remembers by itself who has used a name,
and only of callers who are verified.
"""

from __future__ import annotations

from collections import deque

REMEMBERED = 8_192
"""Names remembered that are shared, and names that may come to be."""

EACH = 32
"""Names remembered of one caller that no other has used, so that it pushes out no others'."""


class SharedNames:
    """The names that more than one verified caller has used.

    Args:
        size: Names kept of each kind, shared or not.
        keeps: Whether a shared name stays for good; once all places are taken, none is added.
    """

    def __init__(self, size: int = REMEMBERED, *, keeps: bool = False) -> None:
        self._size = size
        self._keeps = keeps
        self._first: dict[str, str] = {}
        self._names: dict[str, deque[str]] = {}
        self._shared: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._shared

    def is_shared(self, name: str, caller: str) -> bool:
        """Return True if a name has, with this one, a second caller."""
        return name in self._shared or self._first.get(name, caller) != caller

    def note(self, name: str, caller: str) -> bool:
        """Note that a verified caller has used a name; return True if it is shared from now on."""
        if name in self._shared:
            return False
        first = self._first.get(name)
        if first is None:
            self._put(name, caller)
            return False
        if first == caller or (self._keeps and len(self._shared) >= self._size):
            return False
        self._drop(name)
        if len(self._shared) >= self._size:
            del self._shared[next(iter(self._shared))]
        self._shared[name] = None
        return True

    def _put(self, name: str, caller: str) -> None:
        if len(self._names.get(caller, ())) >= EACH:
            self._drop(self._names[caller][0])
        elif len(self._first) >= self._size:
            self._drop(next(iter(self._first)))
        self._first[name] = caller
        self._names.setdefault(caller, deque()).append(name)

    def _drop(self, name: str) -> None:
        caller = self._first.pop(name)
        names = self._names[caller]
        names.remove(name)
        if not names:
            del self._names[caller]
