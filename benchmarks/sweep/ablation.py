"""The score without one of its signals, or with the weights of another fit.

A signal is left out by setting its weight to zero; the threshold and all other weights stay the
same. tools/score fits and evaluates a score without a signal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from querybudget.coverage import score

__all__ = ["replaced_weights", "signals", "without_signal"]


def signals(*, quick: bool) -> tuple[str, ...]:
    """Return the score's views, then their features; those of manner only as a view.

    Args:
        quick: Only the views.
    """
    views = score.VIEWS
    if quick:
        return tuple(views)
    return (*views, *(f for view, features in views.items() if view != "manner" for f in features))


@contextmanager
def without_signal(signal: str) -> Iterator[None]:
    """Score without this view or feature inside the context."""
    names = score.VIEWS.get(signal, (signal,))
    weights = tuple(
        (0.0,) * len(weight) if name in names else weight
        for name, weight in zip(score.FEATURES, vars(score)["WEIGHT"], strict=True)
    )
    with replaced_weights({"WEIGHT": weights}):
        yield


@contextmanager
def replaced_weights(constants: Mapping[str, Any]) -> Iterator[None]:
    """Score with other weights than the shipped ones inside the context.

    Args:
        constants: Names in `querybudget.coverage.weights` and their values.

    Raises:
        KeyError: The score has no such constant.
    """
    before = {name: vars(score)[name] for name in constants}
    try:
        for name, value in constants.items():
            setattr(score, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(score, name, value)
