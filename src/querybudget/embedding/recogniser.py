"""Recognises what the vectors of chunks show: capabilities, and how far they lean to sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from querybudget.coverage.leaning import DIRECTIONS, EMBEDDING
from querybudget.embedding.capabilities import (
    Directions,
    Heuristic,
    examples_of,
    heuristics,
    shipped_examples,
)
from querybudget.embedding.codebook import Codebook, products
from querybudget.policy.model import Capability

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LEANING = 127
"""Largest element of `Chunk.leaning`, either way."""


class Recognised(msgspec.Struct, frozen=True, gc=False):
    """What one vector shows.

    Attributes:
        abilities: Bits of the shipped capabilities.
        capabilities: Bits of the policy's.
        leaning: `Chunk.leaning`.
    """

    abilities: int
    capabilities: int
    leaning: tuple[int, ...]


class Recogniser:
    """Recognises the shipped capabilities, and those of a policy.

    Args:
        capabilities: The policy's, in the order of their bits.
        codebook: A codebook of the embedding, without a key.

    Attributes:
        examples: Texts whose vectors `fit` needs.
        fitted: Whether it has been fitted; until then it recognises no capability.

    Raises:
        SetupError: A capability has no examples.
    """

    def __init__(self, capabilities: Sequence[Capability], codebook: Codebook) -> None:
        self._codebook = codebook
        self._shipped = [examples_of(name) for name in shipped_examples()]
        self._own = [examples_of(each.name, each.examples) for each in capabilities]
        self._same = self._own == self._shipped
        self.examples = tuple(text for part in self._shipped + self._own for text in part)
        # Heuristics are for the shipped meaning; a policy's own examples define their capability.
        self._of_shipped = heuristics([*shipped_examples()])
        self._of_own = heuristics([c.name if not c.examples else "" for c in capabilities])
        self.fitted = False
        # One member, since a thread may recognise while this is fitted.
        self._fit = np.zeros((0, codebook.dimensions), np.float32), np.zeros(0, np.float32)
        leaning = DIRECTIONS if codebook.name == EMBEDDING else ()
        self._leaning = np.array(leaning, np.float32).reshape(len(leaning), codebook.dimensions)

    def fit(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Fit the directions of capabilities.

        Args:
            vectors: Unit vectors of `examples`.
        """
        fits = [self._shipped] if self._same or not self._own else [self._shipped, self._own]
        directions = [
            Directions.fit(
                [np.stack([vectors[text] for text in examples]) for examples in capabilities],
                self._codebook,
            )
            for capabilities in fits
        ]
        self._fit = (
            np.concatenate([each.rows for each in directions]),
            np.concatenate([each.thresholds for each in directions]),
        )
        self.fitted = True

    def recognise(
        self,
        vectors: NDArray[np.float32],
        texts: Iterable[str],
        styles: Iterable[Sequence[int]],
    ) -> list[Recognised]:
        """Return what each vector shows.

        Args:
            vectors: Unit vectors; shape (texts, dimensions).
            texts: What they are the vectors of.
            styles: Style features of the texts.
        """
        centred = vectors - self._codebook.mean
        centred /= np.maximum(np.sqrt(np.einsum("nd,nd->n", centred, centred)), 1e-12)[:, None]
        fitted, (rows, thresholds) = self.fitted, self._fit
        shown = np.packbits(products(rows, centred) >= thresholds, 1, bitorder="little")
        leaning = np.rint(products(self._leaning, centred)).clip(-MAX_LEANING, MAX_LEANING)
        leanings: list[list[int]] = leaning.astype(np.int32).tolist()
        if not fitted:
            return [Recognised(0, 0, tuple(each)) for each in leanings]
        return [
            Recognised(
                *self._bits(int.from_bytes(row.tobytes(), "little"), text, style), tuple(each)
            )
            for row, each, text, style in zip(shown, leanings, texts, styles, strict=True)
        ]

    def _bits(self, found: int, text: str, style: Sequence[int]) -> tuple[int, int]:
        """Return the shipped capabilities and the policy's, of those that a vector shows."""
        shipped = len(self._shipped)
        abilities = _with(found & (1 << shipped) - 1, self._of_shipped, text, style)
        if self._same:
            return abilities, abilities
        return abilities, _with(found >> shipped, self._of_own, text, style)


def _with(
    bits: int, found: Iterable[tuple[int, Heuristic]], text: str, style: Sequence[int]
) -> int:
    for bit, applies in found:
        if style and not bits & bit and applies(text, style):
            bits |= bit
    return bits
