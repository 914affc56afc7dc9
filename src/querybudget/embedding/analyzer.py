"""From a call to its `Observation`: bucket numbers and hashes, but no text.

What is new in everything that the model reads is embedded, chunk by chunk.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from heapq import nsmallest
from typing import TYPE_CHECKING

import numpy as np
from cachetools import LRUCache

from querybudget.adapters.base import Call, Channel, Opaque
from querybudget.coroutines import run_now
from querybudget.coverage.observation import GOES_ON, Chunk, Observation
from querybudget.coverage.style import style_features
from querybudget.embedding import Embedder, open_embedder
from querybudget.embedding.chunking.selection import Excerpt, Selector
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.normalization.folding import Folder
from querybudget.embedding.normalization.words import Reader
from querybudget.embedding.recogniser import Recogniser
from querybudget.embedding.static import StaticEmbedder
from querybudget.errors import EmbeddingError, SetupError
from querybudget.policy.model import Capability, Policy
from querybudget.redact import error_type
from querybudget.templates import REACH, Likeness

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_OPAQUE = 64
"""Hashes in `Observation.opaque`, at most."""

KNOWN_GROUND = frozenset({"audio", "file", "image", "reference"})
"""Kinds of opaque content that are no new ground. A caller may send a new picture with each call,
and nobody here can tell whether it is about something new. A reference stands for a text that was
looked at when it was sent. A budget can match them all the same."""

MAX_HASHED = 1_024
"""Parts of a call that cannot be read and are hashed, at most."""

_BATCH = 16
"""New chunks of a call that the event loop looks at itself, by an embedder that does not wait. More
of them are looked at in a thread, so that other requests go on meanwhile."""

_EXAMPLE_BATCH = 32
"""Examples that are embedded in one batch."""

_TEMPLATES = 4096
"""System prompts whose numbers, and subjects, are cached, by hash."""
_RECOGNISERS = 8
"""Sets of capabilities of the shipped embedding whose recognisers are kept."""
_HALF = 0xFFFFFFFF  # of a digest is kept in profiles
_RECOVERED = 16
"""Consecutive successes after which an embedder counts as healthy again."""

_SUSPENDS = "expected an embedder that never awaits, or one with `suspends` set"

logger = logging.getLogger("querybudget")


class EmbeddingAnalyzer:
    """Turns a `Call` into an `Observation`: it embeds, looks up buckets, and never raises.

    Args:
        embedder: Turns prompts into vectors.
        codebook: Made for that embedder, without a key; `key` is applied here.
        capabilities: The capabilities to recognise, in the order of their bits.
        key: Secret of the deployment, for cells and hashes.
        cached: Number of chunks that are cached, by keyed hash.
        recogniser: Recognises the capabilities, with the same codebook; its own by default.
        subjects: Whether to find what system prompts are about.

    Attributes:
        names: Names of the capabilities, by bit.
        codebook: The cells of this deployment, made with its key.
        missed: Number of calls of which nothing new could be embedded.
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
        cached: int = 8192,
        recogniser: Recogniser | None = None,
        subjects: bool = False,
    ) -> None:
        _check(embedder, codebook, key)
        self.names = tuple(capability.name for capability in capabilities)
        self.missed = 0
        self.suspends = embedder.suspends
        self._embedder = embedder
        self.codebook = codebook.keyed(blake2b(key, person=b"cells").digest())
        self._recogniser = recogniser or Recogniser(capabilities, codebook)
        self._hash = blake2b(key=blake2b(key).digest(), digest_size=4, person=b"opaque")
        self._likeness = Likeness(key)
        self._templates: LRUCache[int, int] = LRUCache(_TEMPLATES)
        self._subjects: LRUCache[int, int] | None = LRUCache(_TEMPLATES) if subjects else None
        self._selector = Selector(Folder(_reader()), key)
        # The least recently used first; None: it is no language.
        self._cache: OrderedDict[int, Chunk | None] = OrderedDict()
        self._cached = cached
        self._down = False
        self._successes = 0
        self._fitting: asyncio.Task[None] | None = None
        if not self.suspends and not self._recogniser.fitted:
            run_now(self._fit(), _SUSPENDS)

    async def analyze(self, call: Call, caller: str, /) -> Observation:
        """Return what is looked at of a call; chunks without buckets if they cannot be embedded.

        Args:
            call: What is asked.
            caller: Key of the identity that asks.
        """
        excerpts = await self._selector.select(call.segments, caller, self._cache)
        found: dict[int, Chunk | None] = {}
        new: dict[int, str] = {}
        cache = self._cache
        for excerpt in excerpts:
            digest, text = excerpt.digest, excerpt.text
            if text is None:
                if digest in cache:  # else it was dropped in the meantime
                    found[digest] = cache[digest]
                    cache.move_to_end(digest)
            elif excerpt.opaque:
                found[digest] = None
                self._keep({digest: None})
            else:
                new[digest] = text
        if new:
            found.update(await self._observe(new))
        return self._observation(call, excerpts, found, await self._subject(call.template))

    def _observation(
        self,
        call: Call,
        excerpts: Sequence[Excerpt],
        found: Mapping[int, Chunk | None],
        subject: int,
    ) -> Observation:
        said: list[Chunk] = []
        items: list[int] = []
        fed: list[Chunk] = []
        fed_items: list[int] = []
        opaque = {
            _number(_digest(self._hash, f"{one.kind}:{one.content}"))
            for one in _few([one for one in call.opaque if one.kind not in KNOWN_GROUND])
        }
        capabilities, of_said = 0, Channel.SAID
        for excerpt in excerpts:
            digest = excerpt.digest
            if digest not in found:
                continue
            chunk = found[digest]
            if chunk is None:
                opaque.add(digest & _HALF)
            elif excerpt.channel is of_said:
                said.append(chunk)
                items.append(excerpt.item)
                capabilities |= chunk.capabilities
            else:
                fed.append(chunk)
                fed_items.append(excerpt.item)
        return Observation(
            tuple(said),
            tuple(fed),
            tuple(sorted(opaque)[:MAX_OPAQUE]),
            self._template(call.template),
            capabilities,
            subject=subject,
            items=tuple(items) if len(set(items)) > 1 or GOES_ON in items else (),
            fed_items=tuple(fed_items) if len(set(fed_items)) > 1 else (),
        )

    def _template(self, template: str) -> int:
        """Return the number of a system prompt, which prompts that are alike share."""
        if not template:
            return 0
        mark = hash(template)
        number = self._templates.get(mark)
        if number is None:
            number = self._templates[mark] = self._likeness.numbers(template)[0] & _HALF or 1
        return number

    async def _subject(self, template: str) -> int:
        """Return the fine cell of a system prompt; -1 without one, or if it cannot be embedded."""
        if self._subjects is None or not template:
            return -1
        mark = hash(template)
        cell = self._subjects.get(mark)
        if cell is None:
            try:
                vectors = await self._embedded([template[:REACH]])
            except Exception:  # noqa: BLE001 - the call goes on; a failure of its chunks is logged
                return -1
            cell = self._subjects[mark] = int(self.codebook.cells(vectors)[0][0])
        return cell

    async def aclose(self) -> None:
        """Close the embedder. Closing twice does nothing."""
        fitting, self._fitting = self._fitting, None
        if fitting is not None:
            fitting.cancel()
            await asyncio.gather(fitting, return_exceptions=True)
        await self._embedder.aclose()

    async def _observe(self, new: Mapping[int, str]) -> Mapping[int, Chunk]:
        """Return new chunks by their digests, and cache them once complete."""
        try:
            chunks = await self._chunks_of(new)
        except Exception as error:  # noqa: BLE001 - the call goes on, whatever an embedder raises
            self._record_failure(error)
            return {digest: _without_buckets(digest, text) for digest, text in new.items()}
        self._record_success()
        if self._recogniser.fitted:
            self._keep(chunks)
        return chunks

    def _keep(self, chunks: Mapping[int, Chunk | None]) -> None:
        """Cache what chunks hold, and drop those that were not used for longest."""
        for digest, chunk in chunks.items():
            self._cache[digest] = chunk
            self._cache.move_to_end(digest)
        while len(self._cache) > self._cached:
            self._cache.popitem(last=False)

    async def _chunks_of(self, new: Mapping[int, str]) -> Mapping[int, Chunk]:
        if self.suspends or len(new) <= _BATCH:
            return self._chunks(new, await self._embedded([*new.values()]))
        return await asyncio.to_thread(self._chunks_at_once, new)

    def _chunks_at_once(self, new: Mapping[int, str]) -> Mapping[int, Chunk]:
        vectors = run_now(self._embedded([*new.values()]), _SUSPENDS)
        return self._chunks(new, vectors)

    def _chunks(self, new: Mapping[int, str], vectors: NDArray[np.float32]) -> dict[int, Chunk]:
        """Return chunks by their digests. It may run in a thread, and changes nothing."""
        fine, coarse, points = self.codebook.cells(vectors)
        styles = [*map(style_features, new.values())]
        shown = self._recogniser.recognise(vectors, new.values(), [style for style, _ in styles])
        chunks: dict[int, Chunk] = {}
        for n, (digest, (style, words), found) in enumerate(zip(new, styles, shown, strict=True)):
            short, cell = digest & _HALF, int(fine[n])
            if cell < 0:
                chunks[digest] = Chunk(short, words=words, style=style)
                continue
            place = (cell, int(coarse[n]), points[n].tobytes())
            of_vector = (found.capabilities, found.leaning, found.abilities)
            chunks[digest] = Chunk(short, *place, words, style, *of_vector)
        return chunks

    async def _embedded(self, texts: list[str]) -> NDArray[np.float32]:
        vectors = await self._embedder.embed(texts)
        expected = (len(texts), self.codebook.dimensions)
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
        if not self._recogniser.fitted and (self._fitting is None or self._fitting.done()):
            self._fitting = asyncio.get_running_loop().create_task(self._try_to_fit())

    async def _try_to_fit(self) -> None:
        try:
            await self._fit()
        except Exception as error:  # noqa: BLE001 - retried with the next call
            self._record_failure(error)

    async def _fit(self) -> None:
        """Embed the examples of capabilities, which say how they are recognised."""
        texts = [*dict.fromkeys(self._recogniser.examples)]
        vectors: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(texts), _EXAMPLE_BATCH):
            batch = texts[start : start + _EXAMPLE_BATCH]
            vectors.update(zip(batch, await self._embedded(batch), strict=True))
        self._recogniser.fit(vectors)


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
    shipped = spec.kind == "static" and not spec.codebook
    codebook = _shipped_codebook() if shipped else Codebook.load(spec.codebook or None)
    return EmbeddingAnalyzer(
        open_embedder(spec, codebook.dimensions),
        codebook,
        policy.capabilities,
        key,
        recogniser=_shipped_recogniser(policy.capabilities) if shipped else None,
        subjects=policy.pools_subjects,
    )


@functools.cache
def _shipped_codebook() -> Codebook:
    return Codebook.load()


@functools.lru_cache(maxsize=_RECOGNISERS)
def _shipped_recogniser(capabilities: tuple[Capability, ...]) -> Recogniser:
    """Return a recogniser that all analyzers share: the first of them fits it, for a second."""
    return Recogniser(capabilities, _shipped_codebook())


@functools.cache
def _reader() -> Reader:
    """Return the reader of the shipped vocabulary, whose tables all analyzers share."""
    embedder = StaticEmbedder.load()
    return Reader(embedder.vocabulary, embedder.lexicon)


def _few(opaque: list[Opaque]) -> list[Opaque]:
    """Return at most `MAX_HASHED`, which a hash that only this process knows chooses."""
    if len(opaque) <= MAX_HASHED:
        return opaque
    return nsmallest(MAX_HASHED, opaque, key=lambda one: hash(one.content))


def _without_buckets(digest: int, text: str) -> Chunk:
    style, words = style_features(text)
    return Chunk(digest & _HALF, words=words, style=style)


def _check(embedder: Embedder, codebook: Codebook, key: bytes) -> None:
    if not key:
        raise SetupError("expected a key for buckets, found an empty one: set `secret`")
    made_for = (codebook.name, codebook.dimensions)
    if made_for != (embedder.name, embedder.dimensions):
        raise SetupError(
            f"expected a codebook made for {embedder.name} with {embedder.dimensions} dimensions,"
            f" found one for {made_for[0]} with {made_for[1]}: make one with `Codebook.fit`"
        )


def _digest(keyed: blake2b, text: str) -> bytes:
    state = keyed.copy()
    state.update(text.encode("utf-8", "surrogatepass"))
    return state.digest()


def _number(digest: bytes) -> int:
    """Return the first 32 bits; never 0, which means that there is none."""
    return int.from_bytes(digest[:4], "big") or 1
