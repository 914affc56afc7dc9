"""From a call to its `Observation`: bucket numbers and hashes, but no text.

The prompt of the present turn is embedded. Of the system prompt only a hash is made.
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
from querybudget.embedding.capabilities import Directions, examples_of, heuristics
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import MAX_SAMPLE
from querybudget.errors import EmbeddingError, SetupError
from querybudget.policy.model import Capability, Policy
from querybudget.redact import error_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PROMPTS = 64
"""Prompts of one call that are analysed; `Observation.cells` has no more."""

MAX_CHARACTERS = 30_000
"""Characters of one call's prompts that are analysed: ten long prompts, or 64 of 460. This
bounds the work of a call, whatever its text."""

_EXAMPLE_BATCH = 32
"""Examples that are embedded in one batch."""

_RECOVERED = 16
"""Consecutive successes after which an embedder counts as healthy again."""

logger = logging.getLogger("querybudget")


class EmbeddingAnalyzer:
    """Turns a `Call` into an `Observation`: it embeds, looks up buckets, and never raises.

    Args:
        embedder: Turns prompts into vectors.
        codebook: Made for that embedder, without a key; `key` is applied here.
        capabilities: The capabilities to recognise, in the order of their bits.
        key: Secret of the deployment, for cells and hashes.
        cached: Number of prompts whose observations are cached, by keyed hash.

    Attributes:
        names: Names of the capabilities, by bit.
        missed: Number of calls whose prompts could not be embedded.
        suspends: Whether `analyze` may wait.

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
        self._public_codebook = codebook
        self._codebook = codebook.keyed(blake2b(key, person=b"cells").digest())
        # Heuristics are for the shipped meaning; a policy's own examples define their capability.
        self._heuristics = heuristics([c.name if not c.examples else "" for c in capabilities])
        self._examples = [examples_of(c.name, c.examples) for c in capabilities]
        self._ask_hash = blake2b(key=blake2b(key).digest(), digest_size=16, person=b"ask")
        self._template_hash = blake2b(key=blake2b(key).digest(), digest_size=4, person=b"frame")
        self._cache: LRUCache[bytes, Observation] = LRUCache(cached)
        self._down = False
        self._successes = 0
        self._directions: Directions | None = None
        self._fitted = not self._examples
        self._fitting: asyncio.Task[None] | None = None
        if not self._fitted and not self.suspends:
            _run_without_loop(self._fit())

    async def analyze(self, call: Call) -> Observation:
        """Return the call's observation; one without buckets if it cannot be embedded now."""
        asks = _within_bounds(call.asks or (call.ask,))
        keys = [_digest(self._ask_hash, ask) for ask in asks]
        shown = {key: self._cache.get(key) for key in keys}
        new = {key: ask for key, ask in zip(keys, asks, strict=True) if shown[key] is None}
        if new:
            shown.update(await self._observe(new))
        observations = [observation for observation in shown.values() if observation is not None]
        if call.template:
            template = _number(_digest(self._template_hash, call.template))
            observations = [
                msgspec.structs.replace(observation, template=template)
                for observation in observations
            ]
        return _combined(observations)

    async def aclose(self) -> None:
        """Close the embedder. Closing twice does nothing."""
        fitting, self._fitting = self._fitting, None
        if fitting is not None:
            fitting.cancel()
            await asyncio.gather(fitting, return_exceptions=True)
        await self._embedder.aclose()

    async def _observe(self, new: dict[bytes, str]) -> dict[bytes, Observation]:
        """Return the observations of prompts by their hashes, and cache them once complete."""
        vectors = await self._vectors(list(new.values()))
        if vectors is None:
            return {key: _without_buckets(key, ask) for key, ask in new.items()}
        observations = {
            key: self._observation(key, ask, vector)
            for (key, ask), vector in zip(new.items(), vectors, strict=True)
        }
        if self._fitted:
            for key, observation in observations.items():
                self._cache[key] = observation
        return observations

    def _observation(self, key: bytes, ask: str, vector: NDArray[np.float32]) -> Observation:
        fine, coarse, point = self._codebook.cell(vector)
        style, words = style_features(ask)
        capabilities = 0
        if fine >= 0 and self._directions is not None:
            capabilities = self._directions.bits(vector)
            for bit, applies in self._heuristics:
                if applies(ask, style):
                    capabilities |= bit
        cells = (fine,) if fine >= 0 else ()
        return Observation(cells, coarse, point, words, style, 0, _number(key), capabilities)

    async def _vectors(self, asks: list[str]) -> NDArray[np.float32] | None:
        """Return the vectors of prompts; None if they are not available now."""
        try:
            vectors = await self._embedded(asks)
        except Exception as error:  # noqa: BLE001 - the call goes on, whatever an embedder raises
            self._record_failure(error)
            return None
        self._record_success()
        return vectors

    async def _embedded(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = await self._embedder.embed(texts)
        expected = (len(texts), self._codebook.dimensions)
        if vectors.shape != expected:
            raise EmbeddingError(f"expected vectors of shape {expected}, found {vectors.shape}")
        return vectors

    def _record_failure(self, error: Exception) -> None:
        self.missed += 1
        self._successes = 0
        if not self._down:
            self._down = True
            # Only the type of a foreign error: its text may contain the prompt.
            why = error if isinstance(error, EmbeddingError) else error_type(error)
            logger.warning(
                "prompts cannot be embedded, so calls are not counted in buckets: %s", why
            )

    def _record_success(self) -> None:
        if self._down:
            self._successes += 1
            if self._successes >= _RECOVERED:
                self._down = False
                logger.warning(
                    "prompts are embedded again; %d calls were not counted in buckets", self.missed
                )
        if not self._fitted and (self._fitting is None or self._fitting.done()):
            self._fitting = asyncio.get_running_loop().create_task(self._try_to_fit())

    async def _try_to_fit(self) -> None:
        try:
            await self._fit()
        except Exception as error:  # noqa: BLE001 - retried with the next call
            self._record_failure(error)

    async def _fit(self) -> None:
        """Embed the capabilities' examples and fit their directions."""
        vectors: list[NDArray[np.float32]] = []
        for examples in self._examples:
            starts = range(0, len(examples), _EXAMPLE_BATCH)
            batches = [await self._embedded([*examples[i : i + _EXAMPLE_BATCH]]) for i in starts]
            vectors.append(np.concatenate(batches))
        self._directions = Directions.fit(vectors, self._public_codebook)
        self._fitted = True


def open_analyzer(policy: Policy, key: bytes) -> EmbeddingAnalyzer:
    """Return the analyzer that a policy needs. It connects to nothing before the first call.

    Args:
        policy: A policy that `counts_buckets`.
        key: Secret of the deployment.

    Raises:
        SetupError: The embedder or its codebook is not available, or they do not fit.
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


def _within_bounds(asks: Sequence[str]) -> Sequence[str]:
    """Return as many of a call's prompts as are analysed, evenly from the first on."""
    asks = asks[:MAX_PROMPTS]
    while sum(min(len(ask), MAX_SAMPLE) for ask in asks) > MAX_CHARACTERS:
        asks = asks[::2]
    return asks


def _combined(observations: list[Observation]) -> Observation:
    """Return the observation of a call from those of its prompts, in order."""
    first, *others = observations
    if not others:
        return first
    capabilities = 0
    for observation in observations:
        capabilities |= observation.capabilities
    return msgspec.structs.replace(
        first,
        cells=tuple(sorted({cell for each in observations for cell in each.cells})),
        capabilities=capabilities,
        more=tuple(others),
    )


def _without_buckets(key: bytes, ask: str) -> Observation:
    style, words = style_features(ask)
    return Observation(words=words, style=style, ask=_number(key))


def _check(embedder: Embedder, codebook: Codebook, key: bytes) -> None:
    if not key:
        raise SetupError("expected a key for buckets, found an empty one: set `secret`")
    made_for = (codebook.name, codebook.dimensions)
    if made_for != (embedder.name, embedder.dimensions):
        raise SetupError(
            f"expected a codebook made for {embedder.name} with {embedder.dimensions} dimensions,"
            f" found one for {made_for[0]} with {made_for[1]}: make one with `Codebook.fit`"
        )


def _run_without_loop(coroutine: Coroutine[object, object, None]) -> None:
    """Run a coroutine that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise SetupError("expected an embedder that never awaits, or one with `suspends` set")


def _digest(keyed: blake2b, text: str) -> bytes:
    state = keyed.copy()
    state.update(text.encode("utf-8", "surrogatepass"))
    return state.digest()


def _number(digest: bytes) -> int:
    """Return the first 32 bits; never 0, which means that there is none."""
    return int.from_bytes(digest[:4], "big") or 1
