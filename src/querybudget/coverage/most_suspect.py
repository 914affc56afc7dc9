"""Which chunks of a call are judged among its caller's newest: of a packed call, the most suspect.

Whoever hides a task among records of something else, new each time, would have as much of these
judged. So of a call that packs several items only those count as newest that show most of a sweep,
if each is about something else than the items beside it. Sections of one task are judged as a
whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from operator import mul
from typing import Final

from querybudget.coverage.evidence import weights_of_shown
from querybudget.coverage.observation import Chunk
from querybudget.coverage.stream import product, shown

JUDGED: Final = 0.25
"""Share of a packed call's chunks that are judged, if these are apart from those beside them."""

NEAR: Final = 127 * 127 // 5
"""Product of two chunks from which on they are about the same: 20 % of the largest."""


def judged(chunks: Sequence[Chunk], items: Sequence[int]) -> list[bool]:
    """Return for each chunk of a call whether it is among the newest ones of its caller.

    Args:
        chunks: Those that entered new ground, in order.
        items: The item that each belongs to; empty if all belong to one.
    """
    if len(set(items)) < 2:  # noqa: PLR2004 - several
        return [True] * len(chunks)
    shows = _shows(chunks)
    least = sorted(shows)[-ceil(len(chunks) * JUDGED)]
    found = [each >= least and _is_apart(chunks, items, n) for n, each in enumerate(shows)]
    return found if any(found) else [True] * len(chunks)


def are_tasks(chunks: Sequence[Chunk]) -> bool:
    """Return whether most of what is fed shows more of a sweep than of honest callers.

    A list in a document says something, and a list of tasks asks for it.
    """
    shows = _shows(chunks)
    return 2 * sum(show > 0 for show in shows) > len(shows)


def _shows(chunks: Sequence[Chunk]) -> list[float]:
    """Return what each chunk adds to the evidence, by itself."""
    weights = weights_of_shown()
    return [sum(map(mul, weights, shown(chunk))) for chunk in chunks]


def _is_apart(chunks: Sequence[Chunk], items: Sequence[int], number: int) -> bool:
    """Return whether a chunk is about something else than what is beside it in other items."""
    return all(
        product(chunks[number].point, chunks[n].point) < NEAR
        for n in (number - 1, number + 1)
        if 0 <= n < len(chunks) and items[n] != items[number]
    )
