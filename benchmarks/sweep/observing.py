"""The real observer with a memory: the same ask in the same frame is embedded once a process.

Everything that is replayed here is replayed many times: under variants of the policy, in other
orders, by other accounts. What a call shows of itself is the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from querybudget.embedding.observer import Observer, open_observer

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.policies import SECRET
from querybudget.adapters.call import Call, Dialect
from querybudget.coverage.visit import Visit
from querybudget.embedding.static import StaticEmbedder
from querybudget.policy.types import Policy

__all__ = ["Remembering", "Vectors"]


class Remembering(Observer):
    """An observer that has seen most calls before. Takes the place of the one it stands for."""

    def __init__(self, policy: Policy) -> None:
        self._inner = open_observer(policy, policy.secret or SECRET)
        self._seen: dict[tuple[str, str], Visit] = {}
        self.names = self._inner.names
        self.suspends = False

    async def observe(self, call: Call) -> Visit:
        key = (call.template, call.ask)
        visit = self._seen.get(key)
        if visit is None:
            visit = self._seen[key] = await self._inner.observe(call)
        return visit

    async def cell(self, text: str, template: str) -> int:
        """The fine cell of an ask; -1 where it has none."""
        call = Call(Dialect.OPENAI, "chat", template=template, ask=text)
        visit = await self.observe(call)
        return visit.cells[0] if visit.cells else -1

    async def aclose(self) -> None:
        await self._inner.aclose()


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
