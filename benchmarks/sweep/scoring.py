"""Which fit scores a caller: one that has seen no text of its source.

The weights of the score are constants of modules, as ``coverage.evidence.WEIGHT``. A fit is other
values for them. `scored_with` puts a fit in their place; experiments in which callers of several
sources meet change it with every call.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from querybudget.coverage import evidence

__all__ = ["SHIPPED", "Fit", "Fits", "current", "read_fits", "score_with", "scored_with"]


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights of one fit.

    Attributes:
        name: Its name; observations of different fits are not the same.
        unseen: Sources that it has not seen.
        constants: ``module.CONSTANT`` in `querybudget`, and the value.
    """

    name: str
    unseen: frozenset[str] = frozenset()
    constants: Mapping[str, Any] = field(default_factory=dict[str, Any])


SHIPPED = Fit("shipped")


@dataclass(frozen=True)
class Fits:
    """Fits that left sources out, and the sources that the shipped weights have seen."""

    fits: tuple[Fit, ...] = ()
    seen: frozenset[str] = frozenset()

    def of(self, sources: Iterable[str]) -> Fit:
        """Return a fit that has seen none of the sources: the shipped one if that has not.

        Without such a fit it is the one that has seen fewest of them.
        """
        wanted = self.seen.intersection(sources)
        if not wanted:
            return SHIPPED
        best = max(self.fits, key=lambda fit: len(wanted & fit.unseen), default=SHIPPED)
        return best if wanted & best.unseen else SHIPPED

    def unseen(self, sources: Iterable[str]) -> bool:
        """Whether the fit that `of` returns has seen none of the sources."""
        wanted = self.seen.intersection(sources)
        return wanted <= self.of(wanted).unseen


def read_fits(path: Path | None, seen: frozenset[str]) -> Fits:
    """Read fits as `benchmarks.sweep.folds` writes them.

    Args:
        path: The file; None for the shipped weights alone.
        seen: Sources of the corpora that the shipped weights were fitted on.
    """
    if path is None:
        return Fits(seen=seen)
    listed: Sequence[Mapping[str, Any]] = json.loads(path.read_bytes())["fits"]
    return Fits(
        tuple(
            Fit(f"fit {n}", frozenset(one["unseen"]), one["constants"])
            for n, one in enumerate(listed)
        ),
        seen,
    )


@dataclass
class _State:
    """What is in place in this process, and the shipped values of what was replaced."""

    fit: Fit = SHIPPED
    shipped: dict[str, Any] = field(default_factory=dict[str, Any])
    converted: dict[tuple[Fit, str], Any] = field(default_factory=dict[tuple[Fit, str], Any])
    """Values of fits in the types of the shipped ones: callers of many fits may take turns."""


_state = _State()


def current() -> Fit:
    """Return the fit in place."""
    return _state.fit


def score_with(fit: Fit) -> None:
    """Put a fit in place of whichever is.

    Raises:
        AttributeError: There is no such constant.
    """
    if fit.name == _state.fit.name:
        return
    for name, value in _state.shipped.items():
        _set(name, value)
    _state.shipped.clear()
    for name, value in fit.constants.items():
        shipped = _get(name)
        _state.shipped[name] = shipped
        if (fit, name) not in _state.converted:
            _state.converted[fit, name] = _like(shipped, value)
        _set(name, _state.converted[fit, name])
    evidence.forget_curves()
    _state.fit = fit


@contextmanager
def scored_with(fit: Fit) -> Iterator[None]:
    """Score with a fit inside the context."""
    before = _state.fit
    score_with(fit)
    try:
        yield
    finally:
        score_with(before)


def _get(name: str) -> Any:  # noqa: ANN401 - a constant of any type
    module, _, constant = name.rpartition(".")
    return getattr(import_module(f"querybudget.{module}"), constant)


def _set(name: str, value: Any) -> None:  # noqa: ANN401 - the same
    module, _, constant = name.rpartition(".")
    setattr(import_module(f"querybudget.{module}"), constant, value)


def _like(shipped: Any, value: Any) -> Any:  # noqa: ANN401 - the same
    """Return a value as JSON has it in the type of the shipped one."""
    if isinstance(shipped, np.ndarray):
        return np.asarray(value, shipped.dtype)
    if isinstance(shipped, dict):
        return {type(next(iter(shipped)))(key): _tuples(one) for key, one in value.items()}
    return _tuples(value)


def _tuples(value: Any) -> Any:  # noqa: ANN401 - the same
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
