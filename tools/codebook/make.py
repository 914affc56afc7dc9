"""Make the shipped codebook: k-means cells of real prompts under the static embedder.

    python -m tools.codebook.make --prompts CORPORA --parallel LINES \
        --out src/querybudget/embedding/data/codebook.npz

``--prompts`` is a folder with `*.jsonl.gz` files anywhere in it, one JSON object with a ``prompt``
on each line; every file counts the same, however long it is. A `manifest.json` beside them may name
each file's licence: share-alike files are skipped, because nothing that ships is built from them.
``--parallel`` is a folder of `*.txt.gz` files, a sentence per line, named
``source.language.txt.gz``; it adds cells for other languages. Only averages of vectors are written,
never text.

The same input makes the same file, byte for byte, on one machine. It takes about eight
minutes on one busy core.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from querybudget.embedding.codebook import Codebook
from querybudget.embedding.static import StaticEmbedder

LONGEST = 8_000
"""Characters of a prompt that are read; more do not change its vector."""

Group = tuple[str, list[str], float]
"""Name, prompts, and their total weight."""


def main() -> None:
    options = _options()
    started = time.perf_counter()
    groups = [
        *_prompts(options.prompts, options.most),
        *(_languages(options.parallel, options.most) if options.parallel else ()),
    ]
    embedder = StaticEmbedder.load()
    vectors, weights = _embedded(embedder, groups)
    codebook = Codebook.fit(vectors, embedder.name, seed=options.seed, weights=weights)
    codebook.save(options.out)
    fine, coarse, _ = Codebook.load(options.out).cells(vectors)
    print(
        f"{len(vectors):,} prompts of {len(groups)} groups, {codebook.name}: {len(set(coarse))}"
        f" coarse and {len(set(fine))} fine cells used, {options.out.stat().st_size:,} bytes,"
        f" {time.perf_counter() - started:.0f} s"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--parallel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=4_000, help="maximum of prompts of one file")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _prompts(folder: Path, most: int) -> Iterator[Group]:
    left_out = _share_alike(folder)
    for path in sorted(folder.rglob("*.jsonl.gz")):
        if path.relative_to(folder).as_posix() in left_out:
            continue
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            prompts = {json.loads(line)["prompt"][:LONGEST] for line in lines}
        yield path.name.removesuffix(".jsonl.gz"), _spread(prompts, most), 1.0


def _share_alike(folder: Path) -> frozenset[str]:
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return frozenset()
    entries = json.loads(manifest.read_text(encoding="utf-8")).values()
    return frozenset(entry["file"] for entry in entries if "-SA" in entry["licence"])


def _languages(folder: Path, most: int) -> Iterator[Group]:
    """Yield sentences by language; all languages together weigh as much as ten files of prompts."""
    sentences: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(folder.glob("*.txt.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            sentences[path.name.split(".")[1]].update(line.strip()[:LONGEST] for line in lines)
    for language, found in sorted(sentences.items()):
        yield language, _spread(found, most), 10 / len(sentences)


def _spread(texts: Iterable[str], most: int) -> list[str]:
    """Return at most `most` texts, evenly chosen and the same ones each time."""
    ordered = sorted(text for text in texts if text.strip())
    step = max(1.0, len(ordered) / most)
    return [ordered[int(index * step)] for index in range(int(len(ordered) / step))]


def _embedded(embedder: StaticEmbedder, groups: Iterable[Group]) -> tuple[np.ndarray, np.ndarray]:
    vectors, weights = [], []
    for name, texts, share in groups:
        found = embedder.vectors(texts)
        vectors.append(found)
        weights.append(np.full(len(found), share / len(found)))
        print(f"{name}: {len(found):,}", flush=True)
    return np.concatenate(vectors), np.concatenate(weights)


if __name__ == "__main__":
    main()
