"""From corpora to observations, and from observations to rates at fixed numbers of calls."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.corpora import Corpus, Prompt, identities, manifest, read
from querybudget.coverage.observation import Observation
from querybudget.coverage.score import CHECKPOINTS, FEATURES, features
from querybudget.coverage.sketch import Sketch, blank_sums
from querybudget.coverage.style import style_features
from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder

EARLY = (4, 6, 8, 12)
"""Numbers of calls below the first checkpoint, for identities of a pool."""
GRID = np.array(sorted({*EARLY, *CHECKPOINTS}))
LONGEST = int(GRID[-1])
SWEEPS, PART = ("broad", "narrow"), "part"
"""Kinds of sweeps; a part covers a few of a corpus's tasks and is fitted on, not evaluated."""
FEWEST_TASKS = 3
KEYS = (b"one key", b"another", b"a third")
"""Cells differ by deployment: streams use these keys in turn."""

Rates = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Streams:
    """Identities, and random orders of sweeps.

    Attributes:
        rates: Shape (streams, grid, features); NaN past the end of a stream.
        corpus: Name of each stream's corpus.
        kind: Class in the manifest; `PART` for part of a sweep.
        observations: Each stream's calls.
        tasks: Task of each call, if the corpus names it.
    """

    rates: Rates
    corpus: NDArray[np.str_]
    kind: NDArray[np.str_]
    observations: list[list[Observation]]
    tasks: list[list[str]]

    @property
    def swept(self) -> NDArray[np.bool_]:
        return np.isin(self.kind, [*SWEEPS, PART])


def streams(folder: Path, draws: int) -> Streams:
    """Return every honest identity of a folder, and `draws` random orders of every sweep."""
    embedder, codebook = StaticEmbedder.load(), Codebook.load()
    codebooks = [codebook.keyed(key) for key in KEYS]
    found: list[tuple[str, str, list[Observation], list[str]]] = []
    for entry in manifest(folder):
        corpus = read(entry)
        observations = dict(_observations(corpus, embedder, codebooks))
        for number, (kind, prompts) in enumerate(_cut(corpus, draws)):
            shown = [(observations[p.text][number % len(KEYS)], p.task) for p in prompts]
            seen = [(observation, task) for observation, task in shown if observation.coarse >= 0]
            if len(seen) >= min(CHECKPOINTS):
                found.append((entry.name, kind, [v for v, _ in seen], [t for _, t in seen]))
    return Streams(
        np.stack([rates(observations) for _, _, observations, _ in found]),
        np.array([name for name, *_ in found]),
        np.array([kind for _, kind, *_ in found]),
        [observations for *_, observations, _ in found],
        [tasks for *_, tasks in found],
    )


def rates(observations: Sequence[Observation]) -> Rates:
    """Return the rates of one stream; shape (grid, features)."""
    sketch, out = Sketch(), np.full((len(GRID), len(FEATURES)), np.nan)
    indexes = {int(n): index for index, n in enumerate(GRID)}
    for observation in observations[:LONGEST]:
        sketch.observe(observation)
        index = indexes.get(sketch.queries)
        if index is not None:
            out[index] = features(sketch.sums)
    return out


def pooled(members: Sequence[Sequence[Observation]]) -> list[int]:
    """Return the sums of a pool of identities."""
    total = np.array(blank_sums())
    for observations in members:
        sketch = Sketch()
        for observation in observations:
            sketch.observe(observation)
        total += np.array(sketch.sums)
    return total.tolist()


def _observations(
    corpus: Corpus, embedder: StaticEmbedder, codebooks: Sequence[Codebook]
) -> Iterator[tuple[str, list[Observation]]]:
    texts = sorted({prompt.text for prompt in corpus.prompts})
    for start in range(0, len(texts), 512):
        part = texts[start : start + 512]
        vectors = embedder.vectors(part)
        cells = [codebook.cells(vectors) for codebook in codebooks]
        for row, text in enumerate(part):
            style, words = style_features(text)
            yield (
                text,
                [
                    Observation(
                        cells=(int(fine[row]),),
                        coarse=int(coarse[row]) if style else -1,
                        point=points[row].tobytes(),
                        words=words,
                        style=style,
                        ask=crc32(text.encode()),
                    )
                    for fine, coarse, points in cells
                ],
            )


def _cut(corpus: Corpus, draws: int) -> Iterator[tuple[str, Sequence[Prompt]]]:
    kind = corpus.entry.kind
    if corpus.entry.honest:
        for identity in identities(corpus):
            yield kind, identity.prompts
        return
    tasks = sorted({prompt.task for prompt in corpus.prompts})
    for seed in range(draws):
        draw = random.Random(f"{corpus.entry.name}/{seed}")
        yield kind, draw.sample(corpus.prompts, min(LONGEST, len(corpus.prompts)))
        if len(tasks) >= FEWEST_TASKS:
            some = set(draw.sample(tasks, max(1, int(len(tasks) * draw.uniform(0.05, 0.4)))))
            part = [prompt for prompt in corpus.prompts if prompt.task in some]
            yield PART, draw.sample(part, min(LONGEST, len(part)))
