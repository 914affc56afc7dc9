"""The score with one of its signals left out, or fitted on other corpora.

A signal is left out by weighing it with nothing; threshold and all other weights stay. What a fit
without it would do is for tools/score to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from querybudget.coverage import score

__all__ = ["calibrated", "signals", "without"]


def signals(*, quick: bool) -> tuple[str, ...]:
    """The score's views, then their features; those of the manner of asking only together.

    Args:
        quick: Only the views.
    """
    views = score.VIEWS
    if quick:
        return tuple(views)
    return (*views, *(f for view, features in views.items() if view != "manner" for f in features))


@contextmanager
def without(signal: str) -> Iterator[None]:
    """Judge without this view or feature while inside."""
    names = score.VIEWS.get(signal, (signal,))
    weights = tuple(
        (0.0,) * len(weight) if name in names else weight
        for name, weight in zip(score.FEATURES, vars(score)["WEIGHT"], strict=True)
    )
    with calibrated({"WEIGHT": weights}):
        yield


@contextmanager
def calibrated(constants: Mapping[str, Any]) -> Iterator[None]:
    """Judge by other numbers than the shipped ones while inside.

    Args:
        constants: Names of `querybudget.coverage.weights` and their values.

    Raises:
        KeyError: The score has no such number.
    """
    before = {name: vars(score)[name] for name in constants}
    try:
        for name, value in constants.items():
            setattr(score, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(score, name, value)
