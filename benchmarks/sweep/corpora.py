"""A folder of prompts: `manifest.json` and gzipped JSON lines, divided into identities.

A line is `{"prompt", "task"?, "user"?, "turn"?}`. The manifest gives each file's `side` (benign or
sweep), `class` (person, app, gateway; broad, narrow), `language`, and how identities are divided:

    user       each value of `user` is one identity
    merge:N    N consecutive users (conversations) make one
    slice:N    consecutive slices of N prompts
    all        the whole corpus is one sweep

`source`, a name or a list of them, says where the text is from: corpora that share one are left out
of a fit together. Nothing else is known about a corpus, and nothing is set for one by name: any
such folder works.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "MAX_PROMPTS",
    "MIN_PROMPTS",
    "Corpus",
    "Entry",
    "Identity",
    "Prompt",
    "conversations",
    "identities",
    "manifest",
    "read",
    "template",
]

_T = TypeVar("_T")

MIN_PROMPTS, MAX_PROMPTS = 20, 2_000
"""Prompts that an identity must have to count, and the most that it sends."""

PERSONS = "person"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        text: Its text; never printed or written.
        task: Its kind, according to the corpus.
        user: Its user or conversation; empty if unknown.
    """

    text: str
    task: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """The manifest's entry for one corpus."""

    name: str
    file: Path
    side: str
    kind: str
    cut: str
    language: str
    prompts: int
    sources: frozenset[str] = frozenset()
    """Where its text is from. Corpora that share one are relatives. Empty if unknown."""

    @property
    def honest(self) -> bool:
        return self.side == "benign"


@dataclass(frozen=True, slots=True)
class Corpus:
    """One corpus with its prompts."""

    entry: Entry
    prompts: tuple[Prompt, ...]

    @property
    def template(self) -> str:
        """The system prompt of all its identities; persons have none."""
        return "" if self.entry.kind == PERSONS else template(self.entry.name)


@dataclass(frozen=True, slots=True)
class Identity:
    """One caller: prompts in order, and their conversations.

    Attributes:
        name: Unique over all corpora.
        kind: person, app or gateway.
        prompts: At most `MAX_PROMPTS` of them.
        sessions: For each prompt, the number of its conversation.
    """

    name: str
    kind: str
    prompts: tuple[Prompt, ...]
    sessions: tuple[int, ...]


def manifest(folder: Path) -> list[Entry]:
    """Return every corpus of a folder, sorted by name.

    Raises:
        SystemExit: There is no manifest in the folder.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise SystemExit(f"expected a manifest.json in {folder}: see docs/research.md for its form")
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return [
        Entry(
            name,
            folder / entry["file"],
            entry["side"],
            entry["class"],
            entry.get("identity", "all"),
            entry.get("language", ""),
            entry.get("prompts", 0),
            _sources(entry.get("source", ())),
        )
        for name, entry in sorted(entries.items())
    ]


def _sources(given: str | Sequence[str]) -> frozenset[str]:
    return frozenset((given,) if isinstance(given, str) else given)


def read(entry: Entry) -> Corpus:
    """Read the non-blank prompts of one corpus, in the file's order."""
    opened = gzip.open if entry.file.suffix == ".gz" else open
    with opened(entry.file, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return Corpus(
        entry,
        tuple(
            Prompt(line["prompt"], str(line.get("task", "")), str(line.get("user", "")))
            for line in found
            if line["prompt"].strip()
        ),
    )


def identities(corpus: Corpus) -> list[Identity]:
    """Return the callers of a corpus that have enough prompts to count."""
    cut, _, size = corpus.entry.cut.partition(":")
    groups: Iterable[Sequence[Sequence[Prompt]]]
    if cut == "user":
        groups = [[talk] for talk in conversations(corpus.prompts)]
    elif cut == "merge":
        groups = _parts(conversations(corpus.prompts), int(size))
    elif cut == "slice":
        groups = [[part] for part in _parts(corpus.prompts, int(size))]
    else:
        groups = [[corpus.prompts]]
    made = [
        _identity(f"{corpus.entry.name}/{n}", corpus.entry.kind, g) for n, g in enumerate(groups)
    ]
    return [identity for identity in made if len(identity.prompts) >= MIN_PROMPTS]


def conversations(prompts: Sequence[Prompt]) -> list[tuple[Prompt, ...]]:
    """Return each user's prompts, in order; a prompt without a user is its own conversation."""
    talks: dict[str, list[Prompt]] = {}
    for number, prompt in enumerate(prompts):
        talks.setdefault(prompt.user or f"\0{number}", []).append(prompt)
    return [tuple(talk) for talk in talks.values()]


def template(name: str) -> str:
    """Return a made-up system prompt, drawn from a name alone."""
    draw = random.Random(f"template {name}")
    house = draw.choice(_SYLLABLES).title() + draw.choice(_SYLLABLES) + draw.choice(_SYLLABLES)
    return f"You are {draw.choice(_ROLES)} of {house}. {draw.choice(_MANNERS)} {draw.choice(_ENDS)}"


def _parts(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _identity(name: str, kind: str, talks: Sequence[Sequence[Prompt]]) -> Identity:
    numbered = [(prompt, number) for number, talk in enumerate(talks) for prompt in talk]
    kept = list(islice(numbered, MAX_PROMPTS))
    return Identity(name, kind, tuple(p for p, _ in kept), tuple(n for _, n in kept))


_SYLLABLES = ("bel", "dor", "fan", "gil", "hol", "kar", "lum", "mer", "nor", "pel", "ros", "tam")
_ROLES = ("the assistant", "the helper", "the desk", "a careful assistant", "the digital colleague")
_MANNERS = (
    "Answer what is asked.",
    "Be brief and exact.",
    "Answer in the language you are asked in.",
    "Say so when you do not know.",
    "Work step by step where that helps.",
)
_ENDS = ("Keep to the matter.", "Be polite.", "Do not invent facts.", "Use plain text.")
