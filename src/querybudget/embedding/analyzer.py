"""From a call to what it shows of itself: bucket numbers and hashes, and no text.

What is embedded is what this turn asks. Of the template only a hash is made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from cachetools import LRUCache

from querybudget.adapters.base import Call
from querybudget.coverage.observation import Observation
from querybudget.coverage.style import style_features
from querybudget.embedding import Embedder, open_embedder
from querybudget.embedding.capabilities import Directions, examples_of
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.cues import cues
from querybudget.errors import EmbeddingError, SetupError
from querybudget.policy.model import Capability, Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ASKS", "EmbeddingAnalyzer", "frame", "open_analyzer"]

ASKS = 64
"""Prompts of one call that are looked at: `Observation.cells` has no more."""

_TOGETHER = 32
"""Examples that are embedded in one batch."""

_STEADY = 16
"""Calls embedded one after the other after which an embedder counts as well again."""

_log = logging.getLogger("querybudget.embedding")


def frame(call: Call) -> str:
    """The system prompt of a call, whose hash is `Observation.template`."""
    return call.template


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """What one ask shows, as it is kept for the next time it is asked."""

    fine: int = -1
    coarse: int = -1
    point: bytes = b""
    capabilities: int = 0
    style: tuple[int, ...] = ()
    words: bytes = b""


_NOTHING = _Seen()


class EmbeddingAnalyzer:
    """Makes a `Observation` of a `Call`: it embeds, looks up the buckets, and never raises.

    Args:
        embedder: Turns asks into vectors.
        codebook: Made for that embedder; without a key, which is put in here.
        capabilities: To tell apart, in the order of their bits.
        key: Secret of the deployment: of its cells and its hashes.
        cached: Asks whose buckets are kept, by their hashes.

    Attributes:
        names: Of the capabilities, by bit.
        missed: Calls whose asks could not be embedded.
        suspends: Whether `analyze` may wait for something.

    Raises:
        SetupError: The codebook is not for this embedder, a capability has no examples, or the key
            is empty.
    """

    def __init__(
        self,
        embedder: Embedder,
        codebook: Codebook,
        capabilities: Sequence[Capability],
        key: bytes,
        *,
        cached: int = 4096,
    ) -> None:
        _check(embedder, codebook, key)
        self.names = tuple(capability.name for capability in capabilities)
        self.missed = 0
        self.suspends = embedder.suspends
        self._embedder = embedder
        self._plain = codebook
        self._codebook = codebook.keyed(blake2b(key, person=b"cells").digest())
        # Of the shipped meaning: a policy's own examples say all there is to its own.
        self._cues = cues([one.name if not one.examples else "" for one in capabilities])
        self._examples = [examples_of(one.name, one.examples) for one in capabilities]
        self._ask = blake2b(key=blake2b(key).digest(), digest_size=16, person=b"ask")
        self._frame = blake2b(key=blake2b(key).digest(), digest_size=4, person=b"frame")
        self._seen: LRUCache[bytes, _Seen] = LRUCache(cached)
        self._down = False
        self._steady = 0
        self._directions: Directions | None = None
        self._learned = not self._examples
        self._learning: asyncio.Task[None] | None = None
        if not self._learned and not self.suspends:
            _at_once(self._learn())

    async def analyze(self, call: Call) -> Observation:
        """What the call shows. Where it cannot be embedded now, a visit without buckets."""
        asks = (call.asks or (call.ask,))[:ASKS]
        keys = [_digest(self._ask, ask) for ask in asks]
        shown = {key: self._seen.get(key) for key in keys}
        new = {key: ask for key, ask in zip(keys, asks, strict=True) if shown[key] is None}
        if new:
            shown.update(await self._look(new))
        return self._visit(call, {key: one or _NOTHING for key, one in shown.items()})

    async def aclose(self) -> None:
        """Let go of the embedder. Closing twice does nothing."""
        learning, self._learning = self._learning, None
        if learning is not None:
            learning.cancel()
            await asyncio.gather(learning, return_exceptions=True)
        await self._embedder.aclose()

    def _visit(self, call: Call, shown: dict[bytes, _Seen]) -> Observation:
        """What is shown by all asks, in their order."""
        template = frame(call)
        number = _number(_digest(self._frame, template)) if template else 0
        first, *others = [_alone(one, _number(key), number) for key, one in shown.items()]
        if not others:
            return first
        capabilities = 0
        for one in shown.values():
            capabilities |= one.capabilities
        return msgspec.structs.replace(
            first,
            cells=tuple(sorted({one.fine for one in shown.values() if one.fine >= 0})),
            capabilities=capabilities,
            more=tuple(others),
        )

    async def _look(self, new: dict[bytes, str]) -> dict[bytes, _Seen]:
        vectors = await self._vectors(list(new.values()))
        if vectors is None:
            return {key: _Seen(-1, -1, b"", 0, *style_features(ask)) for key, ask in new.items()}
        found = {
            key: self._place(ask, vector)
            for (key, ask), vector in zip(new.items(), vectors, strict=True)
        }
        if self._learned:
            for key, seen in found.items():
                self._seen[key] = seen
        return found

    def _place(self, ask: str, vector: NDArray[np.float32]) -> _Seen:
        fine, coarse, point = self._codebook.cell(vector)
        traits, words = style_features(ask)
        if fine < 0 or self._directions is None:
            return _Seen(fine, coarse, point, 0, traits, words)
        bits = self._directions.bits(vector)
        for bit, shows in self._cues:
            if shows(ask, traits):
                bits |= bit
        return _Seen(fine, coarse, point, bits, traits, words)

    async def _vectors(self, asks: list[str]) -> NDArray[np.float32] | None:
        """The vectors of some asks; None where they cannot be had now."""
        try:
            vectors = await self._embedded(asks)
        except Exception as error:  # noqa: BLE001 - whatever an embedder does, the call goes on
            self._miss(error)
            return None
        self._well()
        return vectors

    async def _embedded(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = await self._embedder.embed(texts)
        wanted = (len(texts), self._codebook.dimensions)
        if vectors.shape != wanted:
            raise EmbeddingError(f"expected vectors of shape {wanted}, found {vectors.shape}")
        return vectors

    def _miss(self, error: Exception) -> None:
        self.missed += 1
        self._steady = 0
        if not self._down:
            self._down = True
            # Of a stranger's error only the kind: its words may be the prompt's.
            why = error if isinstance(error, EmbeddingError) else type(error).__name__
            _log.warning("calls go on without buckets, their prompts are not embedded: %s", why)

    def _well(self) -> None:
        if self._down:
            self._steady += 1
            if self._steady >= _STEADY:
                self._down = False
                _log.warning("prompts are embedded again; %d calls had no buckets", self.missed)
        if not self._learned and (self._learning is None or self._learning.done()):
            self._learning = asyncio.get_running_loop().create_task(self._try_to_learn())

    async def _try_to_learn(self) -> None:
        try:
            await self._learn()
        except Exception as error:  # noqa: BLE001 - tried again with the next call
            self._miss(error)

    async def _learn(self) -> None:
        """Embed the capabilities' examples, and find the directions they lie in."""
        vectors: list[NDArray[np.float32]] = []
        for examples in self._examples:
            parts = range(0, len(examples), _TOGETHER)
            found = [await self._embedded([*examples[i : i + _TOGETHER]]) for i in parts]
            vectors.append(np.concatenate(found))
        self._directions = Directions.fit(vectors, self._plain)
        self._learned = True


def open_analyzer(policy: Policy, key: bytes) -> EmbeddingAnalyzer:
    """The observer that a policy asks for. Nothing is connected to before the first call.

    Args:
        policy: One that `counts_buckets`.
        key: Secret of the deployment.

    Raises:
        SetupError: The embedder or its codebook cannot be had, or they do not fit.
    """
    spec = policy.embedding
    if spec.kind != "static" and not spec.codebook:
        raise SetupError(
            f"expected a codebook for the embedding {spec.kind}: make one with `Codebook.fit` from"
            " vectors of your own prompts, save it, and name its file as `codebook`"
        )
    codebook = Codebook.load(spec.codebook or None)
    return EmbeddingAnalyzer(
        open_embedder(spec, codebook.dimensions), codebook, policy.capabilities, key
    )


def _alone(seen: _Seen, ask: int, template: int) -> Observation:
    return Observation(
        cells=(seen.fine,) if seen.fine >= 0 else (),
        coarse=seen.coarse,
        point=seen.point,
        words=seen.words,
        style=seen.style,
        template=template,
        ask=ask,
        capabilities=seen.capabilities,
    )


def _check(embedder: Embedder, codebook: Codebook, key: bytes) -> None:
    if not key:
        raise SetupError("expected a key for buckets, found an empty one: set `secret`")
    made_for = (codebook.name, codebook.dimensions)
    if made_for != (embedder.name, embedder.dimensions):
        raise SetupError(
            f"expected a codebook made for {embedder.name} with {embedder.dimensions} dimensions,"
            f" found one for {made_for[0]} with {made_for[1]}: make one with `Codebook.fit`"
        )


def _at_once(work: Coroutine[object, object, None]) -> None:
    """Run what does not wait for anything, without a loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise SetupError("expected an embedder that says `suspends` before it waits for something")


def _digest(started: blake2b, text: str) -> bytes:
    state = started.copy()
    state.update(text.encode("utf-8", "surrogatepass"))
    return state.digest()


def _number(digest: bytes) -> int:
    """32 bits that are not all 0, which says that there is none."""
    return int.from_bytes(digest[:4], "big") or 1
