"""Joins a turn that goes on in the middle of a sentence with what is before it.

A task that is sent in pieces, one with each turn, would be read in pieces, and each would seem to
stay with the subject of the one before it.
"""

from __future__ import annotations

from querybudget.adapters.base import Channel, Segment

JOINED = 400
"""Characters before a piece that are read with it, at most."""

ENDS = frozenset(".!?:;\n\u3002\uff01\uff1f\uff1a\u0964\u06d4\u2026\"'\u201d)]}>`")
"""Signs with which a sentence or another whole ends."""


class Piece(Segment, frozen=True, array_like=True, gc=False):
    """What goes on where an earlier turn ended, with what is before it."""


class Turns:
    """Follows what is said in one call, turn by turn."""

    def __init__(self) -> None:
        self._before = ""

    def piece(self, segment: Segment) -> Piece | None:
        """Return a segment with what is before it; None if it does not go on there.

        It goes on if what is before it ends with no sign, and it begins with no capital letter.

        Args:
            segment: The next one of the call.
        """
        if segment.channel is not Channel.SAID:
            return None
        before, self._before = self._before, segment.text
        if not before or before[-1] in ENDS or segment.text[:1].isupper():
            return None
        self._before = before[-JOINED:] + segment.text
        return Piece(Channel.SAID, self._before)
