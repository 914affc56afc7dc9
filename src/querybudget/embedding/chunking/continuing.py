"""Joins a turn that goes on in the middle of a sentence with what is before it.

A task that is sent in pieces, one with each turn, would be read in pieces, and each would seem to
stay with the subject of the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from querybudget.adapters.base import Channel, Segment

JOINED = 400
"""Characters before a piece that are read with it, at most."""

ENDS = frozenset(".!?:;\n\u3002\uff01\uff1f\uff1a\u0964\u06d4\u2026\"'\u201d)]}>`")
"""Signs with which a sentence or another whole ends."""


Found: TypeAlias = tuple[Segment, int, tuple[int, ...] | None]
"""A segment of a call, the number by which it is remembered, and what is remembered of it; None if
it is new."""


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


def continued(found: list[Found]) -> list[Found]:
    """Return segments; a new one that goes on in a sentence is joined with what is before it."""
    said = Channel.SAID
    first = next(
        (n for n, one in enumerate(found) if one[2] is None and one[0].channel is said), -1
    )
    if first < 0:
        return found
    turns, last = _turns_before(found, first)
    kept = found[:first]
    for segment, mark, digests in found[first:]:
        piece = turns.piece(segment)
        if piece is None or digests is not None:
            one = segment
        elif kept[last][2] is not None:
            one = piece
        elif last + 1 < len(kept):  # an answer is between them: turns, and not prompts of an array
            del kept[last]
            one = Segment(said, piece.text)
        else:
            one = segment
        if segment.channel is said:
            last = len(kept)
        kept.append((one, mark, digests))
    return kept


def _turns_before(found: Sequence[Found], place: int) -> tuple[Turns, int]:
    """Return turns that have followed what is before a place, and where the last of it was said.

    Only as much of its end as a piece can be joined with is followed.
    """
    ends, size, last = list[Segment](), 0, -1
    while place and size < JOINED:
        place -= 1
        segment = found[place][0]
        if segment.channel is Channel.SAID:
            ends.append(segment)
            size += len(segment.text)
            last = max(last, place)
    turns = Turns()
    for segment in reversed(ends):
        turns.piece(segment)
    return turns, last
