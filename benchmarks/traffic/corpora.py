"""Reads a corpora folder: `manifest.json`, and gzipped JSON lines of prompt and user."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path

__all__ = ["Prompt", "prompts"]


@dataclass(frozen=True)
class Prompt:
    """One prompt and its user."""

    corpus: str
    user: str
    text: str


def prompts(folder: Path, limit: int) -> list[Prompt]:
    """Return at most `limit` prompts, taken from all corpora in turn.

    Raises:
        FileNotFoundError: There is no manifest in the folder.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    sources = [_read(name, folder / entry["file"]) for name, entry in sorted(manifest.items())]
    in_turn = chain.from_iterable(zip_longest(*sources))
    return list(islice((prompt for prompt in in_turn if prompt is not None), limit))


def _read(name: str, path: Path) -> Iterator[Prompt]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["prompt"]:
                yield Prompt(name, f"{name}/{entry.get('user', 0)}", entry["prompt"])
