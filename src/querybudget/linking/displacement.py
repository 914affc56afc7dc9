"""Displacement: an account begins within minutes after another was slowed and has stopped.

The defence brings this about itself: an operator of many accounts goes on with the next one. How
much it weighs follows from how many accounts begin in as many minutes anyway.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from math import exp, log

from querybudget.linking.candidates import Candidate

WITHIN = 30
"""Minutes within which the next account begins."""

MOST = 8
"""Accounts that one may have been replaced by, at most: those that began first."""


def replacements(members: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    """Return pairs of accounts, by their numbers: one that stopped, and one that began then.

    Args:
        members: All of a tie; or all there are.
    """
    begins = sorted((member.began, number) for number, member in enumerate(members))
    for number, member in enumerate(members):
        if not member.slowed or member.established:
            continue
        start = bisect_left(begins, (member.seen, -1))
        end = bisect_right(begins, (member.seen + WITHIN, len(members)))
        for began, other in begins[start : min(end, start + MOST)]:
            if other != number and began > member.slowed and not members[other].established:
                yield number, other


def weight(members: Sequence[Candidate]) -> float:
    """Return how much such a pair weighs, in nats.

    It is minus the logarithm of what is expected after one account that stopped; or of the chance
    that as many of all that stopped are followed, if that is less. Of twenty accounts that were
    slowed and stopped, one is soon followed by somebody.
    """
    begins = [member.began for member in members if not member.established]
    if not begins:
        return 0.0
    span = max(begins) - min(begins) + 1
    expected = len(begins) * WITHIN / max(span, WITHIN)
    if expected >= 1:
        return 0.0
    stopped = sum(1 for member in members if member.slowed and not member.established)
    followed = len({one for one, _ in replacements(members)})
    return min(-log(expected), -log(_at_least(followed, stopped * expected)))


def _at_least(count: int, mean: float) -> float:
    """Return the chance that a Poisson number is at least `count`; never zero."""
    term, below = exp(-mean), 0.0
    for number in range(count):
        below += term
        term *= mean / (number + 1)
    return max(1 - below, 1e-9)
