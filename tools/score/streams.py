"""From corpora to streams of new ground, and from streams to rates at each look.

Every prompt goes through the shipped analyzer, so the fit sees what the package sees: constant
beginnings taken off, long prompts cut into chunks, hidden text folded. The directions of leaning
are what is fitted, so the analyzer is given the embedding's own axes in their place.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.corpora import Corpus, Entry, Prompt, identities, manifest, read
from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.coverage.evidence import FEATURES, LAST_CURVE, LOOKS, features
from querybudget.coverage.observation import Observation
from querybudget.coverage.stream import PART as CHUNKS
from querybudget.coverage.stream import Stream, begins
from querybudget.embedding import analyzer, recogniser
from querybudget.embedding.chunking import selection
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder
from querybudget.limiter.analysis import PromptAnalyzer

GRID = np.array([look for look in LOOKS if look <= LAST_CURVE])
"""Looks that are fitted on."""
SWEEPS, PART = ("broad", "narrow"), "part"
"""Kinds of sweeps; a part covers a few of a corpus's tasks, and is fitted on, not evaluated."""
FEWEST_TASKS = 3
LONGEST_LIFE, LONGEST_SWEEP = 1_200, 600
"""Calls of an identity, and of a sweep."""
MOST_IDENTITIES = 60
"""Identities of a corpus."""
MOST_PARTS = 12
"""Parts of a stream that are evaluated as its newest chunks."""
THIN = 26
"""Calls of an account of a campaign."""
MOST_THIN = 4
"""Slices of one identity that stand for thin accounts."""
KEYS = (b"one key", b"another", b"a third")
"""Cells differ by deployment: streams use these keys in turn."""
CELLS_PER_BIT = 2

Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Streams:
    """Identities, and random orders of sweeps.

    Attributes:
        rates: Shape (streams, looks, features); NaN where a stream has ended. Leanings are zero.
        vectors: Mean of the centred vectors at each look; shape (streams, looks, dimensions).
        calls: Calls made when the look was due; shape (streams, looks).
        part_rates: The rates of each part of so many chunks; shape (streams, parts, features).
        part_vectors: Mean of the vectors of each part; shape (streams, parts, dimensions).
        part_calls: Calls made when the part was full; shape (streams, parts).
        corpus: Name of each stream's corpus.
        source: Name of a group of corpora that share sources.
        kind: Class in the manifest; `PART` for part of a sweep.
        thin: Whether it is the first calls of an account, for pools.
    """

    rates: Rates
    vectors: Rates
    calls: NDArray[np.int64]
    part_rates: Rates
    part_vectors: Rates
    part_calls: NDArray[np.int64]
    corpus: NDArray[np.str_]
    source: NDArray[np.str_]
    kind: NDArray[np.str_]
    thin: NDArray[np.bool_]

    @property
    def swept(self) -> NDArray[np.bool_]:
        return np.isin(self.kind, [*SWEEPS, PART])

    def some(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Streams:
        """Return some of the streams."""
        return Streams(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


@dataclass(slots=True)
class _Looks:
    """What a stream shows at looks at all of it, or at its parts, and after which calls."""

    rates: Rates
    vectors: Rates
    calls: NDArray[np.int64]

    @classmethod
    def none(cls, number: int, dimensions: int) -> _Looks:
        return cls(
            np.full((number, len(FEATURES)), np.nan),
            np.full((number, dimensions), np.nan),
            np.full(number, 10**9),
        )

    def note(self, place: int, stream: Stream, total: Rates, call: int) -> None:
        if np.isnan(self.rates[place, 0]):
            self.rates[place] = features(stream)
            self.vectors[place] = total / stream.chunks / recogniser.MAX_LEANING
            self.calls[place] = call


@dataclass(slots=True)
class _Row:
    corpus: str
    kind: str
    thin: bool
    looks: _Looks
    parts: _Looks


def streams(folder: Path, draws: int) -> Streams:
    """Return every honest identity of a folder, and `draws` random orders of every sweep."""
    entries = manifest(folder)
    source = _sources(entries)
    with ProcessPoolExecutor(2) as pool:
        largest_first = sorted(entries, key=lambda entry: -entry.prompts)
        found = [
            row for rows in pool.map(_rows, largest_first, [draws] * len(entries)) for row in rows
        ]
    return Streams(
        np.stack([row.looks.rates for row in found]),
        np.stack([row.looks.vectors for row in found]),
        np.stack([row.looks.calls for row in found]),
        np.stack([row.parts.rates for row in found]),
        np.stack([row.parts.vectors for row in found]),
        np.stack([row.parts.calls for row in found]),
        np.array([row.corpus for row in found]),
        np.array([source[row.corpus] for row in found]),
        np.array([row.kind for row in found]),
        np.array([row.thin for row in found]),
    )


def _rows(entry: Entry, draws: int) -> list[_Row]:
    codebook, corpus = Codebook.load(), read(entry)
    recogniser.DIRECTIONS = tuple(
        map(tuple, (recogniser.MAX_LEANING * np.eye(codebook.dimensions)).tolist())
    )
    recogniser.EMBEDDING = codebook.name
    selection.items = _one_task
    readers = [
        analyzer.EmbeddingAnalyzer(StaticEmbedder.load(), codebook, (), key, cached=1 << 17)
        for key in KEYS
    ]
    rows = []
    for number, (kind, thin, prompts) in enumerate(_cut(corpus, draws)):
        reader = readers[number % len(KEYS)]
        followed = _followed(reader, f"{number}", prompts, codebook.dimensions)
        rows.append(_Row(entry.name, kind, thin, *followed))
    return rows


def _one_task(text: str) -> list[str]:
    """Take a prompt as one task, where the package looks at packed tasks one by one.

    Weights that were fitted on tasks apart find fewer sweeps, also of those that pack them.
    """
    return [text]


def _followed(
    reader: analyzer.EmbeddingAnalyzer, caller: str, prompts: Sequence[Prompt], dimensions: int
) -> tuple[_Looks, _Looks]:
    """Send prompts one by one, and return what the stream and its parts show at each look."""
    looks, parts = _Looks.none(len(GRID), dimensions), _Looks.none(MOST_PARTS, dimensions)
    stream, total, entered = Stream(), np.zeros(dimensions), set[int]()
    part, of_part, number = Stream(), np.zeros(dimensions), 0
    for call, seen in enumerate(observed(reader, caller, prompts), 1):
        new, added = [], np.zeros(dimensions)
        for chunk in seen.said:
            pair = chunk.cell // CELLS_PER_BIT
            if chunk.cell >= 0 and pair not in entered:
                entered.add(pair)
                added += np.array(chunk.leaning)
                new.append(msgspec.structs.replace(chunk, leaning=()))
        if not new:
            continue
        stream.observe(new, begins(new))
        total += added
        place = int(np.searchsorted(GRID, stream.chunks, "right")) - 1
        if place >= 0:
            looks.note(place, stream, total, call)
        part.observe(new, begins(new))
        of_part += added
        if part.chunks >= CHUNKS and number < MOST_PARTS:
            parts.note(number, part, of_part, call)
            part, of_part, number = Stream(), np.zeros(dimensions), number + 1
        if stream.chunks >= GRID[-1]:
            break
    return looks, parts


def observed(
    reader: PromptAnalyzer, caller: str, prompts: Sequence[Prompt]
) -> Iterator[Observation]:
    """Yield what each prompt shows, sent as a call of a caller."""
    with asyncio.Runner() as runner:
        for prompt in prompts:
            call = Call(Dialect.OPENAI, "chat", segments=(Segment(Channel.SAID, prompt.text),))
            yield runner.run(reader.analyze(call, caller))


def _cut(corpus: Corpus, draws: int) -> Iterator[tuple[str, bool, Sequence[Prompt]]]:
    """Yield each stream: its kind, whether it is a thin account's, and its prompts."""
    kind, draw = corpus.entry.kind, random.Random(corpus.entry.name)
    if corpus.entry.honest:
        found = identities(corpus)
        for identity in draw.sample(found, min(len(found), MOST_IDENTITIES)):
            yield kind, False, identity.prompts[:LONGEST_LIFE]
            starts = range(0, max(1, len(identity.prompts) - THIN + 1), THIN)
            for start in list(starts)[:MOST_THIN]:
                yield kind, True, identity.prompts[start : start + THIN]
        return
    tasks = sorted({prompt.task for prompt in corpus.prompts})
    for seed in range(draws):
        draw = random.Random(f"{corpus.entry.name}/{seed}")
        orders = draw.sample(corpus.prompts, min(LONGEST_SWEEP, len(corpus.prompts)))
        yield kind, False, orders
        yield kind, True, orders[:THIN]
        yield kind, True, orders[-THIN:]
        if len(tasks) >= FEWEST_TASKS:
            some = set(draw.sample(tasks, max(1, int(len(tasks) * draw.uniform(0.05, 0.4)))))
            part = [prompt for prompt in corpus.prompts if prompt.task in some]
            yield PART, False, draw.sample(part, min(LONGEST_SWEEP, len(part)))


def _sources(entries: Sequence[Entry]) -> dict[str, str]:
    """Return for each corpus the first name among all corpora that share a source with it."""
    groups: list[tuple[set[str], set[str]]] = []
    for entry in entries:
        names, sources = {entry.name}, set(entry.sources) or {entry.name}
        apart = []
        for group in groups:
            if group[1] & sources:
                names |= group[0]
                sources |= group[1]
            else:
                apart.append(group)
        groups = [*apart, (names, sources)]
    return {name: min(names) for names, _ in groups for name in names}
