"""`FakeAnalyzer`: assigns prompts to buckets as a test says, without embedding anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from querybudget.adapters.base import Call, Channel
from querybudget.coverage import Observation
from querybudget.coverage.observation import FINE, Chunk


class FakeAnalyzer:
    """A prompt analyzer with the buckets and capabilities that a test names.

    A prompt that is not named has a bucket of its own, the same each time. So each new prompt
    visits a new bucket, and a repeated one does not. Texts that are fed to the model beside the
    prompts have buckets only if they are named. The bucket of a named system prompt is its subject.
    The sweep score stays 0.

    Args:
        buckets: The bucket or buckets of a prompt.
        capabilities: The prompts that belong to a capability.

    Attributes:
        down: Set it to True to find no buckets, as while an embedder is unreachable.
        prompts: Every prompt analyzed, in order.
    """

    def __init__(
        self,
        buckets: Mapping[str, int | Iterable[int]] | None = None,
        capabilities: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._buckets = {text: _checked(cells) for text, cells in (buckets or {}).items()}
        self._capabilities = {
            name: frozenset(texts) for name, texts in (capabilities or {}).items()
        }
        self._taken = {cell for cells in self._buckets.values() for cell in cells}
        self._next = FINE
        self.names = tuple(self._capabilities)
        self.down = False
        self.prompts: list[str] = []

    async def analyze(self, call: Call, caller: str = "", /) -> Observation:  # noqa: ARG002 - of the protocol
        """Return what the test says of the call's prompts, whoever the caller is."""
        texts = _prompts(call)
        self.prompts += texts
        if self.down:
            return Observation()
        fed = [one.text for one in call.segments if one.channel is Channel.FED]
        said_chunks = tuple(chunk for text in texts if text for chunk in self._chunks(text))
        bits = (
            bool(members.intersection(texts)) << index
            for index, members in enumerate(self._capabilities.values())
        )
        return Observation(
            said=said_chunks,
            fed=tuple(
                chunk for text in fed if text in self._buckets for chunk in self._chunks(text)
            ),
            opaque=tuple(crc32(f"{one.kind}:{one.content}".encode()) for one in call.opaque),
            template=crc32(call.template.encode()),
            capabilities=sum(bits),
            subject=next(iter(self._buckets.get(call.template, ())), -1),
        )

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""

    def _chunks(self, text: str) -> Iterable[Chunk]:
        digest = crc32(text.encode())
        for number, cell in enumerate(self._cells(text)):
            # Two successive cells are one piece of new ground, and buckets of a test are not.
            yield Chunk(digest + number & 0xFFFFFFFF, cell=(2 * cell + cell // (FINE // 2)) % FINE)

    def _cells(self, text: str) -> tuple[int, ...]:
        if text not in self._buckets:
            self._buckets[text] = (self._free_cell(),)
        return self._buckets[text]

    def _free_cell(self) -> int:
        """Return the highest bucket that no other prompt has; once all are taken, start over."""
        for _ in range(FINE):
            self._next = (self._next - 1) % FINE
            if self._next not in self._taken:
                break
        return self._next


def _prompts(call: Call) -> list[str]:
    """Return what a call says."""
    return [one.text for one in call.segments if one.channel is Channel.SAID]


def _checked(bucket: int | Iterable[int]) -> tuple[int, ...]:
    cells = (bucket,) if isinstance(bucket, int) else tuple(bucket)
    for cell in cells:
        if not 0 <= cell < FINE:
            raise ValueError(f"expected a bucket from 0 to {FINE - 1}, found {cell}")
    return cells
