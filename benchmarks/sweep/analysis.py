"""The real analyzer with a cache for every prompt, so that each is embedded once per process.

Prompts are replayed many times: under variants of the policy, in other orders, by other accounts.
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

__all__ = ["Vectors", "caching_analyzer", "cells"]

MAX_CACHED = 1 << 19


def caching_analyzer(policy: Policy, *, cached: int = MAX_CACHED) -> EmbeddingAnalyzer:
    """Return the policy's analyzer with a cache for all prompts of a corpus."""
    spec = policy.embedding
    codebook = Codebook.load(spec.codebook or None)
    embedder = open_embedder(spec, codebook.dimensions)
    key = policy.secret or SECRET
    return EmbeddingAnalyzer(embedder, codebook, policy.capabilities, key, cached=cached)


async def cells(analyzer: EmbeddingAnalyzer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the fine cell of each prompt; -1 without one."""
    calls = [Call(Dialect.OPENAI, "chat", ask=text) for text in texts]
    observations = [await analyzer.analyze(call) for call in calls]
    return np.array(
        [observation.cells[0] if observation.cells else -1 for observation in observations],
        np.int64,
    )


class Vectors:
    """Vectors of prompts by the shipped embedding, each embedded once; input of the baselines."""

    def __init__(self) -> None:
        self._embedder = StaticEmbedder.load()
        self.name = self._embedder.name
        self._rows: dict[str, int] = {}
        self._vectors = np.empty((0, self._embedder.dimensions), np.float32)

    def of(self, prompts: Sequence[Prompt]) -> NDArray[np.float32]:
        """Return one unit vector per prompt."""
        new = [text for text in {p.text: 0 for p in prompts} if text not in self._rows]
        if new:
            found = self._embedder.vectors(new)
            begin = len(self._vectors)
            self._vectors = np.concatenate([self._vectors, found])
            self._rows.update((text, begin + place) for place, text in enumerate(new))
        return self._vectors[[self._rows[prompt.text] for prompt in prompts]]
