"""Ground: accounts that share it out, and an account that goes on where another has stopped.

Honest accounts meet on the ground that is popular. Parts of one sweep meet less often than as many
honest accounts would: each goes where the others have not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from querybudget.linking.candidates import Candidate

FEWEST = 10
"""Accounts that must have ground in common with nobody before that says anything."""

HONEST = 50
"""Established accounts from which on it is known which ground is popular."""

APART = 0.6
"""Share of the meetings of as many honest accounts, up to which accounts share out the ground."""

MOST = 0.8
"""Share of a tie's accounts that must keep apart."""

MET = 3
"""Cells that an account must have in common with the one that it replaces."""

_AT_ONCE = 1_000

Popularity = NDArray[np.float64]
"""For each cell: the share of all that established accounts have covered."""


def popularity(members: Sequence[Candidate]) -> Popularity | None:
    """Return how popular each cell is among established accounts; None if these are too few."""
    honest = [member for member in members if member.established]
    if len(honest) < HONEST:
        return None
    counts: Popularity = _counts(honest) + 0.5  # a cell that none has entered is not impossible
    counts /= counts.sum()
    return counts


def shared_out(members: Sequence[Candidate], popular: Popularity) -> list[float]:
    """Return for each account how much it says that these share out the ground, in nats.

    An account that meets the others rarely may only have unusual interests, so nearly all of them
    have to. And an honest one among parts of a sweep meets them rarely, on the ground that is
    popular: its own must be unpopular.
    """
    counts = _counts(members)
    total = counts.sum()
    meetings = float((popular * popular).sum())
    weights: list[float] = []
    for start in range(0, len(members), _AT_ONCE):
        bits = _bits(members[start : start + _AT_ONCE])
        sizes = bits.sum(axis=1)
        unpopular = bits @ popular <= APART * sizes * meetings
        met = bits @ counts - sizes
        chance = np.where(unpopular, sizes * (total - sizes) * meetings, 0)
        weights += [_rarer(*pair) for pair in zip(met.tolist(), chance.tolist(), strict=True)]
    apart = sum(weight > 0 for weight in weights)
    if apart < FEWEST or apart < MOST * len(members):
        return [0.0] * len(members)
    return weights


def taken_up(before: Candidate, after: Candidate, popular: Popularity) -> float:
    """Return how much an account seems to go on where another has stopped, in nats."""
    (a,), (b,) = _bits([before]), _bits([after])
    met = int((a * b).sum())
    chance = float(a.sum() * (b * popular).sum())
    if met < MET or met <= chance:
        return 0.0
    return met * log(met / chance) - (met - chance)


def _rarer(met: float, chance: float) -> float:
    """Return the weight of so few meetings; 0 if they are not clearly fewer."""
    if met > APART * chance:
        return 0.0
    return chance - met + (met * log(met / chance) if met else 0.0)


def _counts(members: Sequence[Candidate]) -> Popularity:
    """Return how many of the accounts have entered each cell."""
    total = np.zeros(8 * len(members[0].cells), np.float64)
    for start in range(0, len(members), _AT_ONCE):
        total += _bits(members[start : start + _AT_ONCE]).sum(axis=0)
    return total


def _bits(members: Sequence[Candidate]) -> NDArray[np.float64]:
    joined = b"".join(member.cells for member in members)
    bits = np.unpackbits(np.frombuffer(joined, np.uint8)).reshape(len(members), -1)
    return bits.astype(np.float64)
