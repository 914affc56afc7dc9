"""Turns all middlewares of this process off: `querybudget.testing.unlimited` sets it."""

from __future__ import annotations

__all__ = ["BYPASS", "Bypass"]


class Bypass:
    """Counts the requests to let everything through.

    Attributes:
        unlimited: A count, so that requests may overlap; 0 in service.
    """

    __slots__ = ("unlimited",)

    def __init__(self) -> None:
        self.unlimited = 0


BYPASS = Bypass()
