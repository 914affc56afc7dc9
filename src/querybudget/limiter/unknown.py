"""Log each path once that takes requests with a body and that no adapter reads."""

from __future__ import annotations

import logging

from querybudget.redact import shown

logger = logging.getLogger("querybudget")

MOST = 200
"""Paths that are named in the log of one process."""

LONGEST = 100
"""Characters of a path in the log."""


class UnknownPaths:
    """Logs each path once that no adapter reads: its answers may cost tokens nobody counts."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def answered(self, method: str, path: str) -> None:
        """Say that such a request was answered, and counted as one request and no tokens."""
        if self._first(path):
            logger.warning(
                "%s %s was answered and no route reads it: it counts as one request and as no"
                " tokens; give it a route, exempt it, or set `unknown: refuse`%s",
                shown(method),
                quoted(path),
                self._last(),
            )

    def refused(self, method: str, path: str) -> None:
        """Say that such a request was refused."""
        if self._first(path):
            logger.warning(
                "%s %s is refused: no route reads it, and the policy says `unknown: refuse`%s",
                shown(method),
                quoted(path),
                self._last(),
            )

    def _first(self, path: str) -> bool:
        name = path[:LONGEST]
        if name in self._known or len(self._known) >= MOST:
            return False
        self._known.add(name)
        return True

    def _last(self) -> str:
        return " (other paths are not named any more)" if len(self._known) == MOST else ""


def quoted(path: str) -> str:
    """Return a path for a log: cut, in quotes, and in ASCII without control characters."""
    return ascii(path[:LONGEST]) + ("..." if len(path) > LONGEST else "")
