"""Which callers the application has verified, and what verifies one."""

from __future__ import annotations

from querybudget.adapters.base import Call, Usage
from querybudget.identity import ANONYMOUS
from querybudget.limiter.conditions import SHOW_NOTHING

REMEMBERED = 100_000
"""Callers remembered as verified. One that is forgotten is verified by its next answer."""

VOUCHED = frozenset({"user", "claim", "header"})
"""Kinds of resolvers whose names a caller cannot make up: a proxy or the application's own
authentication has verified them before the middleware runs."""


class Verified:
    """Identities that the application has verified in this process, a bounded number of them.

    Args:
        sources: What `Identity.source` can be.
        size: Identities remembered; the first to come is the first to go.
    """

    def __init__(self, sources: tuple[str, ...], size: int = REMEMBERED) -> None:
        self.vouch(sources)
        self._size = size
        self._keys: dict[str, None] = {}

    def vouch(self, sources: tuple[str, ...]) -> None:
        """Take what `Identity.source` can be from now on."""
        self._vouched = frozenset(s for s in sources if s.partition(":")[0] in VOUCHED)

    def has(self, key: str, source: str) -> bool:
        """Return True if an identity is verified, by its source or by an answer."""
        return key in self._keys or source in self._vouched

    def add(self, key: str) -> None:
        """Remember an identity, unless callers share it."""
        if key in self._keys or key == ANONYMOUS:
            return
        if len(self._keys) >= self._size:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = None


def verifies(call: Call, usage: Usage) -> bool:
    """Return True if an answered call shows that its caller was let in.

    A page that is answered to everybody uses no tokens. Nor does an error that comes with a good
    status: its text is not an answer's, and it reports no usage.

    Args:
        call: What was asked.
        usage: What a meter read of the answer.
    """
    if call.operation in SHOW_NOTHING or call.operation == "message":
        return False
    reported = usage.input > 0 and not usage.estimated
    return reported or usage.output > 0 or not call.generates
