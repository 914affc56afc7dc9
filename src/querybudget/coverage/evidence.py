"""From a stream of new ground to evidence that it is a sweep, and what the evidence consists of.

Theory of operation. `features` turns a stream's sums into rates. Each rate is compared with that of
honest callers after as much new ground, and weighted. What is said is added up within five views
that fail independently: persistence (whether a caller stays on a subject), wording (how new the
words are), manner (how it is phrased), abilities (what the model has to be able to do, and how
diverse that is) and direction (what it is about, along directions in the embedding that were
fitted). Each view is capped, and the strongest of them adds little unless the others agree: no
single view can make a caller suspect.

A stream is looked at when it has grown by a quarter. Evidence is the mean of two looks in turn, so
it has to hold while new ground comes in. The newest `PART` chunks are judged apart,
again two parts in turn: a sweep that begins after honest calls, or among them, is plain there long
before it is in the whole. For a caller's own score, both count a little more than the first looks
(`ADDED`). `SUSPECT` and `CERTAIN` are stated as errors over a whole life, all looks
together: see `querybudget.coverage.fitted`.

The weights are a logistic regression on the rates of labelled prompts, fitted by tools/score.
docs/research.md says how, and how well it does on sources that it has not seen.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import log
from operator import mul
from typing import Final

from querybudget.coverage.fitted import (
    ALLOWANCE,
    BIAS,
    CAP,
    CERTAIN,
    CLIP,
    FLOOR,
    MEAN,
    SPREAD,
    SUSPECT,
    WEIGHT,
)
from querybudget.coverage.reason import Reason
from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.coverage.stream import ABILITIES, LEANINGS, PART, SHOWN, SUMS, Stream
from querybudget.coverage.style import STYLE_FEATURES

LOOKS: Final = (
    *(4, 6, 8, 12, 16, 20, 25, 32, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400),
    *(500, 630, 800),
)
"""Chunks of new ground at which a stream is looked at. The first few are for groups alone."""

FED_MARGIN = 1.0
"""How much more evidence, in log-odds, what is fed to the model needs: honest documents are of more
kinds than what honest callers say."""

FIRST_LOOK: Final = 32
"""Chunks of new ground before which no caller is suspect."""

SETTLED: Final = 63
"""Chunks of new ground from which on a stream's rates vary little."""

ADDED, ADDED_TO_NEWEST = 0.25, 0.1
"""What is added for a caller's own score, in log-odds, to the evidence of a stream that is
`SETTLED`, and to that of newest chunks. Honest callers are most extreme at their first looks: with
one threshold for all looks, the first ones would use up the error that a whole life may have."""

ROAMED: Final = 100
"""Chunks of new ground from which on nearness to the call before is believed less: see
`_without_drift`."""

BELIEVED: Final = 1.0
"""How much less evidence nearness may then still make, in log-odds."""

LAST_CURVE: Final = 400
"""Chunks from which on the honest curves are taken as flat."""

VIEWS: Final = {
    "persistence": ("near", "alike", "persistence"),
    "wording": ("words_new", "words"),
    "manner": STYLE_FEATURES,
    "abilities": (
        *(f"ability_{number}" for number in range(ABILITIES)),
        "ability_entropy",
        "ability_number",
        "no_ability",
    ),
    "direction": tuple(f"leaning_{number}" for number in range(LEANINGS)),
}
"""Each view and its features."""

FEATURES: Final = tuple(name for names in VIEWS.values() for name in names)
"""The weighted features, in order."""

CERTAIN_SCORE = 1_000_000
"""Score of `CERTAIN` evidence, which no honest source reached."""

HIGHEST_SCORE = 1_500_000

SLOPE = 120_000
"""What one unit of evidence (log-odds) more adds to a score below `SUSPECT_SCORE`."""

ENOUGH_STEPS = 2
"""Chunks of one step, on average, up to which steps count in full against a caller."""

_CURVES = 64  # numbers of chunks whose curves are kept
_UNIT = 127 * 127
_MIDDLE = log(50)
_FIRST_STYLE = SUMS.index(STYLE_FEATURES[0])
_FIRST_ABILITY = SUMS.index("ability_0")
_FIRST_LEANING = SUMS.index("leaning_0")
_ABILITY_SUMS: Final = tuple(f"ability_{number}" for number in range(ABILITIES))
_RANGES: Final = {
    view: (FEATURES.index(names[0]), FEATURES.index(names[-1]) + 1) for view, names in VIEWS.items()
}
_OF_PART: Final = {**_RANGES, "persistence": (0, 1), "wording": (4, 5)}
"""A part has no sum of vectors, and does not know which of its words are new in it."""


def features(stream: Stream) -> list[float]:
    """Return a stream's rates, in the order of `FEATURES`."""
    return _rates(stream.sums, sum(map(mul, stream.point_sum, stream.point_sum)))


def _rates(sums: Sequence[int], squared: int) -> list[float]:
    """Return the rates of sums, and of the squared length of the sum of all vectors."""
    count, followed, near, length, words_new, words = sums[:_FIRST_STYLE]
    nearness = near / (followed or 1) / _UNIT
    alike = (squared - length) / (count * (count - 1) or 1) / _UNIT
    rates = [
        nearness,
        alike,
        nearness - alike,
        log((words_new + 1) / (words + 1)),
        log(1 + words / count),
    ]
    rates += [total / count for total in sums[_FIRST_STYLE:_FIRST_ABILITY]]
    shares = [total / count for total in sums[_FIRST_ABILITY:_FIRST_LEANING]]
    *abilities, none = shares
    whole = sum(shares) or 1
    entropy = -sum(share / whole * log(share / whole) for share in shares if share)
    rates += [*abilities, entropy, sum(abilities), none]
    rates += [total / count for total in sums[_FIRST_LEANING:]]
    return rates


def views(stream: Stream) -> dict[str, float]:
    """Return the evidence of each view, in log-odds, between `FLOOR` and `CAP`."""
    return _views(stream.sums, features(stream), _RANGES)


def _without_drift(stream: Stream, found: dict[str, float]) -> dict[str, float]:
    """Return views in which nearness to the call before hardly hides how far apart all calls are.

    Whoever sends each prompt after the one most like it is always near, and has been everywhere in
    the end. So what is believed is what the view would be if steps led to any of the chunks, but
    for `BELIEVED`. Before `ROAMED` chunks nobody has been in many places.

    Args:
        stream: The stream.
        found: Its views.
    """
    if stream.chunks < ROAMED:
        return found
    alike = features(stream)[1]
    name = "persistence"
    anywhere = _views(stream.sums, [alike, alike, 0.0], {name: _RANGES[name]})[name]
    return {**found, name: max(found[name], anywhere - BELIEVED)}


def views_of_part(sums: Sequence[int]) -> dict[str, float]:
    """Return the same of a stream's newest chunks, by their sums alone."""
    return _views(sums, _rates(sums, 0), _OF_PART)


def _views(
    sums: Sequence[int], rates: Sequence[float], ranges: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    curves = _curves(min(max(sums[0], LOOKS[0]), LAST_CURVE))
    result: dict[str, float] = {}
    for view, (start, stop) in ranges.items():
        total = 0.0
        for rate, (level, slope, bend, width, weight) in zip(
            rates[start:stop], curves[start:stop], strict=True
        ):
            deviation = (rate - level - slope - bend) / width
            total += max(-CLIP, min(CLIP, deviation)) * weight
        result[view] = max(FLOOR, min(CAP, total))
    if result["persistence"] > 0:
        result["persistence"] *= _followed(*sums[:2])
    return result


@lru_cache(_CURVES)
def _curves(count: int) -> tuple[tuple[float, float, float, float, float], ...]:
    """Return of each feature what honest callers show after so many chunks, and its weight.

    Streams are looked at after few different numbers of chunks.

    Returns:
        Of each in the order of `FEATURES`: three terms whose sum is its mean, its spread, and its
        weight.
    """
    along = log(count)
    squared, tilt = along * along, (along - _MIDDLE) / 2
    return tuple(
        (
            mean[0],
            mean[1] * along,
            mean[2] * squared,
            max(spread[0] + spread[1] * along + spread[2] * squared, spread[3]),
            weight[0] + weight[1] * tilt,
        )
        for mean, spread, weight in zip(MEAN, SPREAD, WEIGHT, strict=True)
    )


def forget_curves() -> None:
    """Forget what is kept of the weights once they are replaced: experiments have several fits."""
    _curves.cache_clear()


def _followed(count: int, followed: int) -> float:
    """Return how much the steps from call to call say of a stream, from 0 to 1.

    A call may bring many chunks, as documents do, and each call is one step. So a few calls that
    read much do not show that a caller jumps.
    """
    return min(1.0, ENOUGH_STEPS * followed / max(1, count - 1))


def weights_of_shown() -> list[float]:
    """Return what one more of each sum of `SHOWN` adds to the evidence of `PART` chunks."""
    return _weights_of_shown(SPREAD, WEIGHT)


@lru_cache(maxsize=1)
def _weights_of_shown(
    spreads: tuple[tuple[float, ...], ...], weights: tuple[tuple[float, ...], ...]
) -> list[float]:
    along = log(PART)
    found = dict.fromkeys(SHOWN, 0.0)
    for name, spread, weight in zip(FEATURES, spreads, weights, strict=True):
        width = max(spread[0] + spread[1] * along + spread[2] * along * along, spread[3])
        slope = (weight[0] + weight[1] * (along - _MIDDLE) / 2) / width
        for one in _ABILITY_SUMS if name == "ability_number" else (name,):
            if one in found:
                found[one] += slope / PART
    return [*found.values()]


def combined(found: dict[str, float]) -> float:
    """Return the evidence of all views together, in log-odds.

    What the strongest view adds to the others is at most `ALLOWANCE`.
    """
    strongest = max(found.values())
    return BIAS + sum(found.values()) - max(0.0, strongest - ALLOWANCE)


def look(stream: Stream, part: Sequence[int] = (), *, fed: bool = False) -> tuple[Reason, ...]:
    """Update a stream's evidence if it has grown enough since its last look.

    Args:
        stream: The stream.
        part: Sums of its newest chunks, if these are a full part.
        fed: Whether it is what is fed.

    Returns:
        What each view adds to the score, strongest first; empty if it was not time to look.
    """
    found: dict[str, float] = {}
    passed = bisect_right(LOOKS, stream.chunks)
    reached = LOOKS[passed - 1] if passed else 0
    if reached > stream.looked:
        found = views(stream) if fed else _without_drift(stream, views(stream))
        now = round(1_000 * combined(found))
        stream.evidence = now if not stream.looked else (now + stream.last_evidence) // 2
        stream.last_evidence, stream.looked = now, reached
    if part:
        found = _newest(stream, part) or found
    reasons = [Reason(view, round(SLOPE * value)) for view, value in found.items()]
    return tuple(sorted(reasons, key=lambda reason: -reason.share))


def next_look(stream: Stream) -> int:
    """Return after how many chunks more, at least one, a stream is to be looked at."""
    chunks = stream.chunks
    passed = bisect_right(LOOKS, chunks)
    return LOOKS[passed] - chunks if passed < len(LOOKS) else 1


def _newest(stream: Stream, part: Sequence[int]) -> dict[str, float]:
    """Judge a full part.

    Returns:
        The evidence of each view if the stream is most suspect by its newest chunks.
    """
    found = views_of_part(part)
    if stream.chunks >= SETTLED:  # each chunk may be near the last one and all of them far apart
        found["persistence"] = max(0.0, found["persistence"])
    now = round(1_000 * combined(found))
    if stream.last_part is not None:
        stream.newest = (now + stream.last_part) // 2
    stream.last_part = now
    if stream.newest is None or suspicion(stream) > _of_newest(stream.newest):
        return {}
    return found


def suspicion(stream: Stream, *, fed: bool = False) -> int:
    """Return the evidence behind a caller's score, in thousandths of log-odds.

    It is that of all of a stream or of its newest chunks, whichever is more, each with what is
    added to it.

    Args:
        stream: The stream.
        fed: Whether it is what is fed. That needs `FED_MARGIN` more, and nothing is added to it.
    """
    if fed:
        return stream.evidence - round(1_000 * FED_MARGIN)
    whole = stream.evidence + round(1_000 * ADDED) * (stream.looked >= SETTLED)
    return whole if stream.newest is None else max(whole, _of_newest(stream.newest))


def _of_newest(evidence: int) -> int:
    return evidence + round(1_000 * ADDED_TO_NEWEST)


def newer(stream: Stream, newest: Sequence[int]) -> int:
    """Return the evidence of a stream or of its newest chunks, whichever is more; in thousandths.

    Args:
        stream: The stream.
        newest: Sums of its newest chunks.
    """
    return max(stream.evidence, round(1_000 * combined(views_of_part(newest))))


def score(evidence: int) -> int:
    """Return the score of evidence in thousandths of log-odds, in millionths.

    It is `SUSPECT_SCORE` at `SUSPECT` and `CERTAIN_SCORE` at `CERTAIN`.
    """
    beyond = evidence / 1_000 - SUSPECT
    slope = (CERTAIN_SCORE - SUSPECT_SCORE) / (CERTAIN - SUSPECT) if beyond > 0 else SLOPE
    return max(0, min(HIGHEST_SCORE, SUSPECT_SCORE + round(slope * beyond)))
