"""Arrival times in µs on the virtual clock, drawn from a name and a class alone.

Persons ask in sessions, one per conversation, within their waking hours, with seconds to minutes
between two prompts. Applications and gateways ask day and night in a daily rhythm, three times as
often at noon as at midnight. The prompts per day of each identity are drawn evenly in the logarithm
between the bounds below, because real callers differ, and plain rate limits depend on that. A sweep
asks evenly round the clock.
"""

from __future__ import annotations

import math
import random

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.corpora import PERSONS, Identity
from querybudget.units import SECOND

__all__ = ["BEGIN", "DAY", "Times", "arrivals", "evenly"]

Times = NDArray[np.int64]

BEGIN = 1_767_571_200 * SECOND
"""Monday, 5 January 2026, midnight UTC."""

DAY = 86_400 * SECOND
HOUR = DAY // 24

PER_DAY = {PERSONS: (5, 60)}
"""Minimum and maximum of prompts a day; other classes have `BUSY`."""

BUSY = (100, 2_000)


def arrivals(identity: Identity) -> Times:
    """Return when an honest identity sends each of its prompts, strictly ascending."""
    draw = random.Random(f"arrivals {identity.name}")
    low, high = PER_DAY.get(identity.kind, BUSY)
    per_day = math.exp(draw.uniform(math.log(low), math.log(high)))
    if identity.kind == PERSONS:
        return _in_sessions(identity.sessions, per_day, draw)
    return _with_daily_rhythm(len(identity.prompts), per_day, draw)


def evenly(count: int, per_day: float, *, begin: int = BEGIN, first: float = 0) -> Times:
    """Return `count` times at even gaps; the first is `first` gaps after `begin`."""
    gap = DAY / per_day
    return (begin + gap * (first + np.arange(count))).astype(np.int64)


def _in_sessions(sessions: tuple[int, ...], per_day: float, draw: random.Random) -> Times:
    wakes = draw.uniform(6, 10)
    awake = draw.uniform(13, 16)
    at, today = float(BEGIN + wakes * HOUR), 0.0
    times = np.empty(len(sessions), np.int64)
    before = sessions[0]
    for number, session in enumerate(sessions):
        gap = draw.lognormvariate(math.log(45), 1) * SECOND
        if session != before:
            gap += draw.expovariate(1) * 1.5 * HOUR
        before, today = session, today + 1
        at += gap
        midnight = (at - BEGIN) // DAY
        asleep = at > BEGIN + midnight * DAY + (wakes + awake) * HOUR
        if asleep or today > per_day * draw.uniform(0.6, 1.6):
            later = midnight if at < BEGIN + midnight * DAY + wakes * HOUR else midnight + 1
            at = BEGIN + later * DAY + (wakes + draw.expovariate(1)) * HOUR
            today = 1
        times[number] = at
    return _strictly(times)


def _with_daily_rhythm(count: int, per_day: float, draw: random.Random) -> Times:
    at = float(BEGIN + draw.uniform(0, 24) * HOUR)
    times = np.empty(count, np.int64)
    for number in range(count):
        phase = 2 * math.pi * ((at - BEGIN) % DAY) / DAY
        busy = per_day * (1 - math.cos(phase) / 2)
        at += draw.expovariate(1) * DAY / busy
        times[number] = at
    return _strictly(times)


def _strictly(times: Times) -> Times:
    steps = np.arange(len(times))
    return np.asarray(np.maximum.accumulate(times - steps) + steps, np.int64)
