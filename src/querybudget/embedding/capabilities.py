"""Which capabilities of a model a prompt asks for, known by examples.

Every capability is a direction in the embedding, found by ridge regression: examples of it against
the examples of the others and against the codebook's cells, which stand for all that is asked
otherwise. So one example more costs nothing when a prompt comes in, and three examples do. A prompt
is of every capability whose direction it follows further than a threshold; of none, or of several.

The threshold is found on the examples themselves, each judged by a direction that it took no part
in (leave-one-out, which ridge regression has in closed form).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import yaml

from querybudget.errors import SetupError
from querybudget.text import listed, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from querybudget.embedding.codebook import Codebook

__all__ = ["Directions", "examples_of", "shipped_examples"]

_RIDGE = 10.0
"""Of the regression, in examples: the most telling on prompts of known kinds, between 3 and 30."""

_MISSED = 0.7
"""What a missed example counts against a prompt of another kind taken for one, in the threshold."""

_LEAST, _SHARE, _MOST = 0.01, 0.02, 0.2
"""Shares of all cells: the least that a capability claims, what each example may claim for it, and
what all of them may claim together. So few examples, none of which knows the others, do not claim
nothing, nor half of what there is."""


@functools.cache
def shipped_examples() -> Mapping[str, tuple[str, ...]]:
    """Example prompts of the shipped capabilities, by name, in the shipped order."""
    text = files("querybudget.embedding").joinpath("data/capabilities.yaml").read_text("utf-8")
    return {name: tuple(examples) for name, examples in yaml.safe_load(text).items()}


def examples_of(name: str, own: Sequence[str] = ()) -> tuple[str, ...]:
    """The examples that a capability is known by: the policy's own, or the shipped ones.

    Raises:
        SetupError: It has no examples and is not a shipped one.
    """
    if own:
        return tuple(own)
    shipped = shipped_examples()
    if name not in shipped:
        raise SetupError(
            f"expected examples for the capability `{name}`{nearest(name, shipped)}, or one of"
            f" {listed(shipped)}"
        )
    return shipped[name]


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """Directions and thresholds of some capabilities, for the vectors of one codebook.

    Attributes:
        mean: The codebook's.
        towards: One row for each capability.
        thresholds: How far along its row a vector must lie.
    """

    mean: NDArray[np.float32]
    towards: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    @classmethod
    def fit(cls, examples: Sequence[NDArray[np.float32]], codebook: Codebook) -> Directions:
        """Find them.

        Args:
            examples: Unit vectors of each capability's examples, in the order of the bits.
            codebook: Of the same embedding.
        """
        kinds = np.concatenate([np.full(len(one), n) for n, one in enumerate(examples)])
        prompts = _centred(np.concatenate(examples), codebook.mean).astype(np.float64)
        others = codebook.fine.reshape(-1, codebook.dimensions).astype(np.float64)
        share = len(prompts) / len(others)  # all cells count as much as all examples
        inner = prompts.T @ prompts + share * (others.T @ others)
        inverse = np.linalg.inv(inner + _RIDGE * np.eye(codebook.dimensions))
        wanted = (kinds[:, None] == np.arange(len(examples))).astype(np.float64)
        towards = inverse @ (prompts.T @ wanted)
        pull = np.einsum("nd,de,ne->n", prompts, inverse, prompts)[:, None]
        alone = (prompts @ towards - pull * wanted) / (1 - pull)
        background = others @ towards
        thresholds = [
            _threshold(alone[kinds == kind, kind], alone[kinds != kind, kind], background[:, kind])
            for kind in range(len(examples))
        ]
        return cls(
            codebook.mean, towards.T.astype(np.float32), np.array(thresholds, dtype=np.float32)
        )

    def bits(self, vector: NDArray[np.float32]) -> int:
        """Bit n is set where the prompt of this vector is of the n-th capability."""
        centred = vector - self.mean
        needed = self.thresholds * np.sqrt(centred.dot(centred))
        follows = self.towards.dot(centred) >= needed
        return int.from_bytes(np.packbits(follows, bitorder="little").tobytes(), "little")

    def many(self, vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
        """What `bits` says of many vectors, as columns."""
        follows = _centred(vectors, self.mean) @ self.towards.T >= self.thresholds
        follows[~vectors.any(axis=1)] = False
        return np.asarray(follows, np.bool_)


def _centred(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = vectors - mean
    lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred))
    return np.asarray(centred / np.maximum(lengths, 1e-12)[:, None], np.float32)


def _threshold(
    own: NDArray[np.float64], other: NDArray[np.float64], background: NDArray[np.float64]
) -> float:
    """Where examples missed, others taken and cells taken weigh least together."""
    tried = np.sort(np.concatenate((own, other)))
    missed = np.searchsorted(np.sort(own), tried) / len(own)
    taken = _reaching(background, tried)
    if len(other):
        taken = (taken + _reaching(other, tried)) / 2
    best = tried[np.argmin(_MISSED * missed + taken)]
    most = min(_SHARE * len(own), _MOST)
    return float(np.clip(best, *np.quantile(background, (1 - most, 1 - _LEAST))))


def _reaching(scores: NDArray[np.float64], tried: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - np.searchsorted(np.sort(scores), tried) / len(scores)
