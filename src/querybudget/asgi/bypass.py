"""The one switch of the edge: `querybudget.testing.unlimited` turns it, every middleware asks."""

from __future__ import annotations

__all__ = ["SWITCH", "Switch"]


class Switch:
    """How many have asked that everything be let through.

    Attributes:
        unlimited: A count, so that those who ask may overlap; 0 in service.
    """

    __slots__ = ("unlimited",)

    def __init__(self) -> None:
        self.unlimited = 0


SWITCH = Switch()
"""Of this process."""
