"""Histories, small enough that every edge is met often."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from querybudget.testing.contracts.fixtures import KINDS, RATES
from querybudget.testing.contracts.strategies import (
    bucket_quota,
    bucket_quotas,
    observations,
    quota,
    quotas,
    responses,
    uneven,
)

__all__ = [
    "KINDS",
    "RATES",
    "START",
    "Step",
    "bucket_quota",
    "bucket_quotas",
    "histories",
    "observations",
    "quota",
    "quotas",
    "responses",
    "steps",
    "uneven",
]

START = 1_000_000_000


@dataclass(frozen=True)
class Step:
    """Wait, then ask for `amount` (at least `minimum` of it), and later use `used` of it.

    `lasts` is how many steps later the call is settled; None: its settle is lost.
    """

    pause: int
    amount: int
    minimum: int
    used: int
    lasts: int | None


@st.composite
def steps(draw: st.DrawFn, *, debt: bool = False) -> Step:
    amount = draw(st.integers(0, 45))
    minimum = draw(st.integers(0, amount)) if debt else amount
    used = draw(st.integers(0, 90 if debt else amount))
    pause = draw(st.one_of(st.integers(0, 3), st.integers(0, 130)))
    return Step(pause, amount, minimum, used, draw(st.none() | st.integers(0, 5)))


def histories(*, debt: bool = False) -> st.SearchStrategy[list[Step]]:
    return st.lists(steps(debt=debt), min_size=1, max_size=40)
