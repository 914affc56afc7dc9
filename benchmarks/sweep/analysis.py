"""The real analyzer, with each text embedded once per process.

Prompts are replayed many times: under variants of the policy, in other orders, by other accounts,
under other fits. Only their vectors are remembered between them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.policies import SECRET
from benchmarks.sweep.scoring import current
from querybudget.adapters.base import Call
from querybudget.coverage import Observation
from querybudget.embedding import Embedder, open_embedder
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder
from querybudget.policy.model import Policy

__all__ = ["FittedAnalyzer", "Vectors", "fresh_analyzer"]

MAX_VECTORS = 1 << 17
MAX_CACHED = 1 << 15


class _Remembering:
    """An embedder that remembers the vectors of the latest texts."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.dimensions = embedder.name, embedder.dimensions
        self.suspends = embedder.suspends
        self._vectors: LRUCache[str, NDArray[np.float32]] = LRUCache(MAX_VECTORS)

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        if not texts:
            return await self._embedder.embed(texts)
        found = [self._vectors.get(text) for text in texts]
        new = [text for text, vector in zip(texts, found, strict=True) if vector is None]
        if new:
            made = dict(zip(new, await self._embedder.embed(new), strict=True))
            self._vectors.update(made)
            found = [made[t] if v is None else v for t, v in zip(texts, found, strict=True)]
        return np.stack([vector for vector in found if vector is not None])

    async def aclose(self) -> None:
        await self._embedder.aclose()


class FittedAnalyzer:
    """The policy's analyzer: one for each fit, because observations may depend on weights."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._codebook = Codebook.load(policy.embedding.codebook or None)
        self._embedder = _Remembering(open_embedder(policy.embedding, self._codebook.dimensions))
        self._by_fit: dict[str, EmbeddingAnalyzer] = {}
        self.names = self._now().names

    async def analyze(self, call: Call, caller: str, /) -> Observation:
        return await self._now().analyze(call, caller)

    async def aclose(self) -> None:
        await self._embedder.aclose()

    def _now(self) -> EmbeddingAnalyzer:
        name = current().name
        analyzer = self._by_fit.get(name)
        if analyzer is None:
            analyzer = self._by_fit[name] = _made(self._policy, self._embedder, self._codebook)
        return analyzer

    async def cells(self, prompts: Sequence[Prompt]) -> NDArray[np.int64]:
        """Return the fine cell of each whole prompt; -1 without one."""
        vectors = await self._embedder.embed([prompt.text for prompt in prompts])
        return np.array([self._codebook.cell(vector)[0] for vector in vectors], np.int64)


def fresh_analyzer(policy: Policy) -> EmbeddingAnalyzer:
    """Return the policy's analyzer as a deployment has it, for measuring time."""
    codebook = Codebook.load(policy.embedding.codebook or None)
    embedder = open_embedder(policy.embedding, codebook.dimensions)
    key, subjects = policy.secret or SECRET, policy.pools_subjects
    return EmbeddingAnalyzer(embedder, codebook, policy.capabilities, key, subjects=subjects)


def _made(policy: Policy, embedder: Embedder, codebook: Codebook) -> EmbeddingAnalyzer:
    return EmbeddingAnalyzer(
        embedder,
        codebook,
        policy.capabilities,
        policy.secret or SECRET,
        cached=MAX_CACHED,
        subjects=policy.pools_subjects,
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
