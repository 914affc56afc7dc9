"""The one switch of the edge: `querybudget.testing.unlimited` turns it, every middleware asks."""

from __future__ import annotations

__all__ = ["BYPASS", "Bypass"]


class Bypass:
    """How many have asked that everything be let through.

    Attributes:
        unlimited: A count, so that those who ask may overlap; 0 in service.
    """

    __slots__ = ("unlimited",)

    def __init__(self) -> None:
        self.unlimited = 0


BYPASS = Bypass()
"""Of this process."""
