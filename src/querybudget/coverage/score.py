"""From sums to a score: how much a stream of calls looks like a sweep, and why.

Theory of operation. `features` turns sums into three dozen rates that do not depend on how many
identities were added up. Each is compared with what honest callers show after the same number of
calls (rarefaction: coverage grows with n for everybody, and curves cross), and weighed. Evidence is
added up within four views that fail independently: coverage (which buckets), persistence (whether
calls stay on a subject), wording (how new the words are), manner (how it is asked). No view may
add more than its cap, so no single one can flag anybody.

The weights, the honest curves, the caps and the scale are fitted by a script on labelled corpora
and stand in `querybudget.coverage.weights`; docs/research.md says on which, and how well it
does on corpora it has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

import msgspec

from querybudget.coverage.sketch import SUMS
from querybudget.coverage.style import TRAITS
from querybudget.coverage.weights import (
    BIAS,
    CAP,
    CLIP,
    FLOOR,
    MEAN,
    POOL_SUSPECT,
    SPREAD,
    SUSPECT,
    WEIGHT,
)

__all__ = [
    "CHECKPOINTS",
    "FEATURES",
    "LIFE",
    "VIEWS",
    "Reason",
    "evidence",
    "features",
    "judge",
    "judge_pool",
    "reasons",
]

CHECKPOINTS: Final = frozenset(
    (16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000)
)
"""Numbers of calls at which a stream is judged."""

LIFE = 1024
"""Calls after which a sketch is begun anew."""

FEATURES = (
    "coarse_new",
    "coarse_once",
    "concentration",
    "cells_new",
    "alike",
    "same",
    "near",
    "persistence",
    "words_new",
    "words",
    "repeats",
    *TRAITS,
)
"""What is weighed, in order. All are rates."""

VIEWS = {
    "coverage": ("coarse_new", "coarse_once", "concentration", "cells_new", "alike"),
    "persistence": ("same", "near", "persistence", "repeats"),
    "wording": ("words_new", "words"),
    "manner": TRAITS,
}
"""Each view and its features."""

SUSPECT_SCORE = 650_000
"""The score of `SUSPECT` evidence: where the default price passes 2."""

SLOPE = 120_000
"""What one more unit of evidence (log-odds) adds to the score."""

HIGHEST = 1_500_000

_UNIT = 127 * 127
_FIRST_TRAIT = SUMS.index(TRAITS[0])
_FEWEST, _EARLIEST = min(CHECKPOINTS), 4
_MIDDLE = log(100)
_PLACES = {view: tuple(map(FEATURES.index, names)) for view, names in VIEWS.items()}


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One view, and what it adds to the score.

    Attributes:
        signal: Name of the view, or of a feature.
        share: What it adds (or, below zero, takes away), in millionths of the score.
    """

    signal: str
    share: int


def features(sums: Sequence[int]) -> list[float]:
    """The rates that are weighed, in the order of `FEATURES`."""
    queries, squared, followed, new, once, coarse, same, cells, near, spread, length = sums[:11]
    words_new, words, repeats = sums[11:_FIRST_TRAIT]
    after = followed or 1
    concentration = coarse / squared
    near_by = near / after / _UNIT
    alike = (spread - length) / (squared - queries or 1) / _UNIT
    rates = [
        log((new + 0.5) / queries),
        once / queries,
        log(concentration),
        log((cells + 0.5) / queries),
        alike,
        same / after - concentration,
        near_by,
        near_by - alike,
        log((words_new + 1) / (words + 1)),
        log(1 + words / queries),
        repeats / queries,
    ]
    rates += [fact / queries for fact in sums[_FIRST_TRAIT:]]
    return rates


def evidence(sums: Sequence[int], members: int = 1) -> dict[str, float]:
    """What each view says, in log-odds, at most `CAP` and at least `FLOOR` each."""
    rates = features(sums)
    along = log(max(sums[0] / members, _EARLIEST))
    bend = along * along
    tilt = (along - _MIDDLE) / 2
    said: dict[str, float] = {}
    for view, places in _PLACES.items():
        total = 0.0
        for place in places:
            mean, spread, weight = MEAN[place], SPREAD[place], WEIGHT[place]
            width = max(spread[0] + spread[1] * along + spread[2] * bend, spread[3])
            apart = (rates[place] - mean[0] - mean[1] * along - mean[2] * bend) / width
            total += max(-CLIP, min(CLIP, apart)) * (weight[0] + weight[1] * tilt)
        said[view] = max(FLOOR, min(CAP, total))
    return said


def judge(sums: Sequence[int]) -> int:
    """The score of an identity's sketch, in millionths."""
    if sums[0] < _FEWEST:
        return 0
    return _scaled(BIAS + sum(evidence(sums).values()), SUSPECT)


def judge_pool(sums: Sequence[int], members: int) -> int:
    """The score of a pool, in millionths: of its average identity, judged by the number of them.

    Identities of which there are fewer than four calls each, on average, tell nothing yet.
    """
    if members == 1:
        return judge(sums)
    if sums[0] < max(_FEWEST, _EARLIEST * members):
        return 0
    needed = next(needed for most, needed in POOL_SUSPECT if members <= most or not most)
    return _scaled(BIAS + sum(evidence(sums, members).values()), needed)


def reasons(sums: Sequence[int], members: int = 1) -> tuple[Reason, ...]:
    """What each view adds to the score, strongest first; empty while there is too little."""
    if sums[0] < _FEWEST:
        return ()
    said = evidence(sums, members)
    found = [Reason(view, round(SLOPE * value)) for view, value in said.items()]
    return tuple(sorted(found, key=lambda reason: -reason.share))


def _scaled(total: float, suspect: float) -> int:
    return max(0, min(HIGHEST, SUSPECT_SCORE + round(SLOPE * (total - suspect))))
