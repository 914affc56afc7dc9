"""Quotas and histories, small enough that every edge is met often."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from querybudget.coverage import Response, Stage, Visit
from querybudget.quota import MICRO, Algorithm, Quota, Unit

RATES = (Algorithm.SLIDING, Algorithm.GCRA, Algorithm.CALENDAR)
KINDS = (*RATES, Algorithm.LEASE)
START = 1_000_000_000
CYCLE = (50, 83, 27)


def uneven(now: int) -> tuple[int, int]:
    """Periods of 50, 83 and 27 µs, in turn."""
    start = now - now % sum(CYCLE)
    for length in CYCLE:
        if now < start + length:
            return start, start + length
        start += length
    raise AssertionError(now)


def quota(
    algorithm: Algorithm, limit: int, window: int = 100, burst: int = 0, name: str = "budget"
) -> Quota:
    lease = algorithm is Algorithm.LEASE
    return Quota(
        name=name,
        unit=Unit.CONCURRENT if lease else Unit.TOKENS,
        limit=limit * MICRO if lease else limit,
        window=0 if lease else window,
        algorithm=algorithm,
        burst=burst or (limit * MICRO if lease else limit),
        bounds=uneven if algorithm is Algorithm.CALENDAR else None,
    )


def quotas(*algorithms: Algorithm, name: str = "budget") -> st.SearchStrategy[Quota]:
    return st.builds(
        quota,
        st.sampled_from(algorithms or KINDS),
        st.integers(1, 40),
        st.sampled_from((1, 7, 59, 60, 61, 100, 119, 120, 600, 1000)),
        st.sampled_from((0, 0, 1, 5, 60)),
        st.just(name),
    )


@dataclass(frozen=True)
class Step:
    """Wait, then ask for `amount` (at least `least` of it), and later use `used` of it.

    `lasts` is how many steps later the call is settled; None: its settle is lost.
    """

    pause: int
    amount: int
    least: int
    used: int
    lasts: int | None


@st.composite
def steps(draw: st.DrawFn, *, debt: bool = False) -> Step:
    amount = draw(st.integers(0, 45))
    least = draw(st.integers(0, amount)) if debt else amount
    used = draw(st.integers(0, 90 if debt else amount))
    pause = draw(st.one_of(st.integers(0, 3), st.integers(0, 130)))
    return Step(pause, amount, least, used, draw(st.none() | st.integers(0, 5)))


def histories(*, debt: bool = False) -> st.SearchStrategy[list[Step]]:
    return st.lists(steps(debt=debt), min_size=1, max_size=40)


def breadth(limit: int, window: int = 150, name: str = "breadth") -> Quota:
    """A budget of `limit` buckets."""
    return Quota(name, Unit.BUCKETS, limit * MICRO, window, Algorithm.DISTINCT, limit * MICRO)


def breadths(name: str = "breadth") -> st.SearchStrategy[Quota]:
    windows = st.sampled_from((1, 15, 100, 150, 450))
    return st.builds(breadth, st.integers(1, 8), windows, st.just(name))


@st.composite
def responses(draw: st.DrawFn) -> Response:
    begins = sorted(draw(st.lists(st.integers(1, MICRO), min_size=3, max_size=3)))
    known = zip((Stage.SLOW, Stage.DEGRADE, Stage.REFUSE), begins, strict=True)
    return Response(
        free=draw(st.sampled_from((0, 300_000, 500_000))),
        cap=draw(st.sampled_from((MICRO, 3 * MICRO, 10 * MICRO))),
        stages=tuple(stage for stage in known if draw(st.booleans())),
        scored=draw(st.booleans()),
    )


def visits(most: int = 9) -> st.SearchStrategy[Visit]:
    """Few buckets, so that they are met again."""
    cells = st.lists(st.integers(0, most), max_size=3, unique=True)
    return cells.map(lambda found: Visit(tuple(sorted(found))))
