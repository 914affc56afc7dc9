"""`FakeAnalyzer`: says what prompts are about as the test says, without embedding anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from querybudget.adapters.base import Call
from querybudget.coverage import Observation
from querybudget.coverage.observation import FINE

__all__ = ["FakeAnalyzer"]


class FakeAnalyzer:
    """Gives prompts the buckets and capabilities that a test names.

    A prompt that is not named has a bucket of its own, the same each time: so every new prompt is
    new ground, and none repeated is. The sweep score stays 0, however the prompts look.

    Args:
        buckets: Prompts to their bucket, or buckets.
        capabilities: Names of capabilities to the prompts that are of them.

    Attributes:
        down: Set it, and no buckets are found: as while an embedder cannot be reached.
        asked: Every prompt it was asked about, in order.
    """

    def __init__(
        self,
        buckets: Mapping[str, int | Iterable[int]] | None = None,
        capabilities: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._buckets = {text: _cells(of) for text, of in (buckets or {}).items()}
        self._capabilities = {name: frozenset(of) for name, of in (capabilities or {}).items()}
        self._taken = {cell for cells in self._buckets.values() for cell in cells}
        self._next = FINE
        self.names = tuple(self._capabilities)
        self.down = False
        self.asked: list[str] = []

    async def analyze(self, call: Call, /) -> Observation:
        """What a call shows of itself, as the test says."""
        texts = call.asks or (call.ask,)
        self.asked += texts
        if self.down:
            return Observation()
        cells = {cell for text in texts if text for cell in self._cells(text)}
        bits = (bool(of.intersection(texts)) << at for at, of in self._each())
        return Observation(
            cells=tuple(sorted(cells)),
            template=crc32(call.template.encode()),
            ask=crc32(call.ask.encode()),
            capabilities=sum(bits),
        )

    async def aclose(self) -> None:
        """Nothing is open."""

    def _each(self) -> Iterable[tuple[int, frozenset[str]]]:
        return enumerate(self._capabilities.values())

    def _cells(self, text: str) -> tuple[int, ...]:
        if text not in self._buckets:
            self._buckets[text] = (self._free(),)
        return self._buckets[text]

    def _free(self) -> int:
        """The last bucket that no other prompt has; after the first, from the last again."""
        for _ in range(FINE):
            self._next = (self._next - 1) % FINE
            if self._next not in self._taken:
                break
        return self._next


def _cells(of: int | Iterable[int]) -> tuple[int, ...]:
    cells = (of,) if isinstance(of, int) else tuple(of)
    for cell in cells:
        if not 0 <= cell < FINE:
            raise ValueError(f"expected a bucket from 0 to {FINE - 1}, found {cell}")
    return cells
