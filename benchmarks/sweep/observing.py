"""The real observer with room for every prompt, so that each is embedded once a process.

Everything that is replayed here is replayed many times: under variants of the policy, in other
orders, by other accounts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.policies import SECRET
from querybudget.adapters.base import Call, Dialect
from querybudget.embedding import open_embedder
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder
from querybudget.policy.model import Policy

__all__ = ["Vectors", "cells", "roomy_observer"]

ROOM = 1 << 19


def roomy_observer(policy: Policy, *, cached: int = ROOM) -> EmbeddingAnalyzer:
    """The observer of a policy, remembering as many asks as a corpus may have."""
    spec = policy.embedding
    codebook = Codebook.load(spec.codebook or None)
    embedder = open_embedder(spec, codebook.dimensions)
    key = policy.secret or SECRET
    return EmbeddingAnalyzer(embedder, codebook, policy.capabilities, key, cached=cached)


async def cells(analyzer: EmbeddingAnalyzer, texts: Sequence[str]) -> NDArray[np.int64]:
    """The fine cell of each ask; -1 where it has none."""
    calls = [Call(Dialect.OPENAI, "chat", ask=text) for text in texts]
    observations = [await analyzer.analyze(call) for call in calls]
    return np.array(
        [observation.cells[0] if observation.cells else -1 for observation in observations],
        np.int64,
    )


class Vectors:
    """The shipped embedding of prompts, each embedded once: what the baselines see."""

    def __init__(self) -> None:
        self._embedder = StaticEmbedder.load()
        self.name = self._embedder.name
        self._rows: dict[str, int] = {}
        self._held = np.empty((0, self._embedder.dimensions), np.float32)

    def of(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """One unit vector for each prompt."""
        new = [text for text in {p.text: 0 for p in prompts} if text not in self._rows]
        if new:
            found = self._embedder.vectors(new)
            begin = len(self._held)
            self._held = np.concatenate([self._held, found])
            self._rows.update((text, begin + place) for place, text in enumerate(new))
        return self._held[[self._rows[prompt.text] for prompt in prompts]]
