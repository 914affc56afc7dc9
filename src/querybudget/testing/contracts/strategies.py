"""Hypothesis strategies for quotas, responses and observations, small enough to meet every edge."""

from __future__ import annotations

from hypothesis import strategies as st

from querybudget.coverage import BucketResponse, Observation, Stage, Suspects
from querybudget.ledger import Line
from querybudget.testing.contracts.fixtures import KINDS, quota_of, seen
from querybudget.units import MICRO, Algorithm, Quota, Unit

CYCLE = (50, 83, 27)


def uneven(now: int) -> tuple[int, int]:
    """Return the bounds of the period at `now`: 50, 83 and 27 µs long, in turn."""
    start = now - now % sum(CYCLE)
    for length in CYCLE:
        if now < start + length:
            return start, start + length
        start += length
    raise AssertionError(now)


def quota(
    algorithm: Algorithm, limit: int, window: int = 100, burst: int = 0, name: str = "budget"
) -> Quota:
    """Return a quota of `limit` µ-units in `window` µs, or of `limit` leases."""
    whole = limit * MICRO if algorithm is Algorithm.LEASE else limit
    return quota_of(algorithm, whole, name, window=window, burst=burst, bounds=uneven)


def quotas(*algorithms: Algorithm, name: str = "budget") -> st.SearchStrategy[Quota]:
    """Draw small quotas of these kinds of window; by default of any but buckets."""
    return st.builds(
        quota,
        st.sampled_from(algorithms or KINDS),
        st.integers(1, 40),
        st.sampled_from((1, 7, 59, 60, 61, 100, 119, 120, 600, 1000)),
        st.sampled_from((0, 0, 1, 5, 60)),
        st.just(name),
    )


def bucket_quota(limit: int, window: int = 150, name: str = "breadth") -> Quota:
    """Return a quota of `limit` buckets."""
    return quota_of(Algorithm.SLIDING, limit * MICRO, name, window=window, unit=Unit.BUCKETS)


def bucket_quotas(name: str = "breadth") -> st.SearchStrategy[Quota]:
    """Draw small quotas of buckets."""
    windows = st.sampled_from((1, 15, 100, 150, 450))
    return st.builds(bucket_quota, st.integers(1, 8), windows, st.just(name))


@st.composite
def responses(draw: st.DrawFn) -> BucketResponse:
    """Draw responses to strain: prices and stages."""
    starts = sorted(draw(st.lists(st.integers(1, MICRO), min_size=3, max_size=3)))
    known = zip((Stage.SLOW, Stage.DEGRADE, Stage.REFUSE), starts, strict=True)
    return BucketResponse(
        free=draw(st.sampled_from((0, 300_000, 500_000))),
        cap=draw(st.sampled_from((MICRO, 3 * MICRO, 10 * MICRO))),
        stages=tuple(stage for stage in known if draw(st.booleans())),
        scored=draw(st.booleans()),
        suspects=draw(st.sampled_from((None, None, None, Suspects()))),
    )


def observations(highest: int = 9) -> st.SearchStrategy[Observation]:
    """Draw observations of few buckets, so that buckets repeat."""
    cells = st.lists(st.integers(0, highest), max_size=3, unique=True)
    return cells.map(lambda drawn: seen(*drawn))


def draw_line(
    data: st.DataObject,
    quota: Quota,
    partition: str,
    response: BucketResponse | None,
    *,
    shadow: bool,
) -> Line:
    """Draw a line of a quota: of any amount, and sometimes in shadow if it may be."""
    shadow = shadow and data.draw(st.booleans())
    if quota.algorithm is Algorithm.LEASE:
        return Line(partition, quota, MICRO, MICRO, shadow)
    if quota.unit is Unit.BUCKETS:
        weight = data.draw(st.sampled_from((MICRO, MICRO, 3 * MICRO)))
        return Line(partition, quota, weight, weight, shadow, response)
    amount = data.draw(st.integers(0, quota.capacity + 3))
    minimum = data.draw(st.just(amount) | st.integers(0, amount))
    return Line(partition, quota, amount, minimum, shadow)
