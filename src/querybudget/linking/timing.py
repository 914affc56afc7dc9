"""Synchronised timing: accounts that call in the same minutes, whatever the hour.

Offices, classes and time zones make accounts call in the same hours, so hours say nothing. Within
the hours in which both call, two strangers meet in a bin as often as chance has it. A timetable is
no evidence either: what runs each hour at the same minute meets all that does so too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import log

from querybudget.coverage.trace import BINS
from querybudget.linking.candidates import Candidate

HOUR = 4
"""Bins of an hour."""

FEWEST = 8
"""Bins in which an account must have called."""

ALIKE = 0.5
"""Share of the bins of either of two accounts that they must have in common."""

TIMETABLE = 0.8
"""Share of an account's bins at one place within the hour, from which on it keeps a timetable."""

BAND = 32
"""Bins by which accounts that may be synchronised are found: eight hours."""

IN_BAND = 3
"""Bins that must be the same in one band."""


def pairs(members: Sequence[Candidate]) -> Iterator[tuple[int, int]]:
    """Return pairs of accounts that called in the same bins for eight hours, by their numbers.

    Each account is in at most one pair for each band, so the pairs are as many as the accounts.
    """
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, member in enumerate(members):
        for band in bands(member):
            found[band].append(number)
    for numbers in found.values():
        yield from pairwise(numbers)


def bands(member: Candidate) -> list[tuple[int, int]]:
    """Return the bands of an account in which it called often enough: which, and in which bins."""
    patterns: dict[int, int] = defaultdict(int)
    for at in member.bins():
        patterns[at // BAND] |= 1 << at % BAND
    return [band for band in patterns.items() if band[1].bit_count() >= IN_BAND]


def synchrony(one: Candidate, other: Candidate) -> float:
    """Return how much the timing of two accounts says that they act together, in nats."""
    first = max(one.last, other.last) - BINS
    a, b = ({at for at in each.bins() if at > first} for each in (one, other))
    met = len(a & b)
    if min(len(a), len(b)) < FEWEST or met < ALIKE * len(a | b):
        return 0.0
    if _keeps_a_timetable(a) or _keeps_a_timetable(b):
        return 0.0
    ours, theirs = (Counter(at // HOUR for at in each) for each in (a, b))
    chance = sum(count * theirs[hour] for hour, count in ours.items()) / HOUR
    return met * log(met / chance) - (met - chance) if met > chance else 0.0


def _keeps_a_timetable(bins: set[int]) -> bool:
    """Return True if most bins are at one place within their hours, and few hours are whole."""
    ((_, most),) = Counter(at % HOUR for at in bins).most_common(1)
    return most >= TIMETABLE * len(bins)
