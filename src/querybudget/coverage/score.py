"""From sums to a score: how much a stream of calls looks like a sweep, and why.

Theory of operation. `features` turns sums into three dozen rates that do not depend on how many
identities were added up. Each rate is compared with that of honest callers after the same number
of calls (rarefaction: coverage grows with n for everyone, and curves cross) and weighted. Evidence
is added up within four views that fail independently: coverage (which buckets), persistence
(whether calls stay on a subject), wording (how new the words are) and manner (how the prompts are
phrased). The contribution of each view is capped, so that no single view can flag a caller.

The weights, the honest curves, the caps and the scale are fitted by tools/score on labelled
corpora and stored in `querybudget.coverage.weights`. docs/research.md lists the corpora, and how
well the score does on corpora that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

from querybudget.coverage.reason import Reason
from querybudget.coverage.sketch import SUMS
from querybudget.coverage.style import STYLE_FEATURES
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

CHECKPOINTS: Final = frozenset(
    (16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000)
)
"""Numbers of calls at which a stream is scored."""

MAX_CALLS = 1024
"""Calls after which a new sketch starts."""

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
    *STYLE_FEATURES,
)
"""The weighted features, in order. All are rates."""

VIEWS = {
    "coverage": ("coarse_new", "coarse_once", "concentration", "cells_new", "alike"),
    "persistence": ("same", "near", "persistence", "repeats"),
    "wording": ("words_new", "words"),
    "manner": STYLE_FEATURES,
}
"""Each view and its features."""

SUSPECT_SCORE = 650_000
"""The score of `SUSPECT` evidence: where the default price passes 2."""

SLOPE = 120_000
"""How much one more unit of evidence (log-odds) adds to the score."""

HIGHEST = 1_500_000

_UNIT = 127 * 127
_FIRST_STYLE = SUMS.index(STYLE_FEATURES[0])
_MIN_CALLS, _MIN_MEMBER_CALLS = min(CHECKPOINTS), 4
_MIDDLE = log(100)
_INDEXES = {view: tuple(map(FEATURES.index, names)) for view, names in VIEWS.items()}


def features(sums: Sequence[int]) -> list[float]:
    """Return the rates that are weighted, in the order of `FEATURES`."""
    queries, squared, followed, new, once, coarse, same, cells, near, spread, length = sums[:11]
    words_new, words, repeats = sums[11:_FIRST_STYLE]
    after = followed or 1
    concentration = coarse / squared
    nearness = near / after / _UNIT
    alike = (spread - length) / (squared - queries or 1) / _UNIT
    rates = [
        log((new + 0.5) / queries),
        once / queries,
        log(concentration),
        log((cells + 0.5) / queries),
        alike,
        same / after - concentration,
        nearness,
        nearness - alike,
        log((words_new + 1) / (words + 1)),
        log(1 + words / queries),
        repeats / queries,
    ]
    rates += [total / queries for total in sums[_FIRST_STYLE:]]
    return rates


def evidence(sums: Sequence[int], members: int = 1) -> dict[str, float]:
    """Return the evidence of each view, in log-odds, between `FLOOR` and `CAP`."""
    rates = features(sums)
    log_calls = log(max(sums[0] / members, _MIN_MEMBER_CALLS))
    squared = log_calls * log_calls
    tilt = (log_calls - _MIDDLE) / 2
    result: dict[str, float] = {}
    for view, indexes in _INDEXES.items():
        total = 0.0
        for index in indexes:
            mean, spread, weight = MEAN[index], SPREAD[index], WEIGHT[index]
            width = max(spread[0] + spread[1] * log_calls + spread[2] * squared, spread[3])
            deviation = (rates[index] - mean[0] - mean[1] * log_calls - mean[2] * squared) / width
            total += max(-CLIP, min(CLIP, deviation)) * (weight[0] + weight[1] * tilt)
        result[view] = max(FLOOR, min(CAP, total))
    return result


def identity_score(sums: Sequence[int]) -> int:
    """Return the score of an identity's sketch, in millionths."""
    if sums[0] < _MIN_CALLS:
        return 0
    return _scaled(BIAS + sum(evidence(sums).values()), SUSPECT)


def pool_score(sums: Sequence[int], members: int) -> int:
    """Return the score of a pool, in millionths, from the sums of its identities, added up.

    It is that of the average identity, on a scale that depends on the number of identities. A pool
    with fewer than four calls per identity on average is not scored yet.
    """
    if members == 1:
        return identity_score(sums)
    if sums[0] < max(_MIN_CALLS, _MIN_MEMBER_CALLS * members):
        return 0
    suspect = next(suspect for limit, suspect in POOL_SUSPECT if members <= limit or not limit)
    return _scaled(BIAS + sum(evidence(sums, members).values()), suspect)


def reasons(sums: Sequence[int], members: int = 1) -> tuple[Reason, ...]:
    """Return each view's share of the score, strongest first; empty with too few calls."""
    if sums[0] < _MIN_CALLS:
        return ()
    shares = [Reason(view, round(SLOPE * value)) for view, value in evidence(sums, members).items()]
    return tuple(sorted(shares, key=lambda reason: -reason.share))


def _scaled(total: float, suspect: float) -> int:
    return max(0, min(HIGHEST, SUSPECT_SCORE + round(SLOPE * (total - suspect))))
