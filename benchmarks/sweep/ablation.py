"""The score without one of its views.

A view is left out by setting its weights to zero; the threshold and all other weights stay the
same. tools/score fits and evaluates a score without a view.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from querybudget.coverage import evidence

__all__ = ["signals", "without_signal"]


def signals() -> tuple[str, ...]:
    """Return the names of the score's views."""
    return tuple(evidence.VIEWS)


@contextmanager
def without_signal(signal: str) -> Iterator[None]:
    """Score without this view inside the context."""
    names = evidence.VIEWS[signal]
    before = evidence.__dict__["WEIGHT"]
    weights = tuple(
        (0.0,) * len(weight) if name in names else weight
        for name, weight in zip(evidence.FEATURES, before, strict=True)
    )
    evidence.__dict__["WEIGHT"] = weights
    try:
        yield
    finally:
        evidence.__dict__["WEIGHT"] = before
