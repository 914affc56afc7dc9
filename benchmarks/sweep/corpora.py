"""A folder of prompts: `manifest.json`, gzipped JSON lines, and how identities are cut from them.

A line is `{"prompt", "task"?, "user"?, "turn"?}`. The manifest says of each file its `side` (benign
or sweep), `class` (person, app, gateway; broad, narrow), `language`, and how identities are cut:

    user       each value of `user` is one identity
    merge:N    N consecutive users (conversations) make one
    slice:N    consecutive slices of N prompts
    all        the whole corpus is one sweep

Nothing else is known of a corpus, and nothing is set for one by name: any folder of this form will
do.
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
    "LEAST",
    "MOST",
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

LEAST, MOST = 20, 2_000
"""Prompts an identity must have to count, and of which it sends no more."""

PERSONS = "person"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One ask.

    Attributes:
        text: What is asked; never printed or written anywhere.
        task: What kind of ask its corpus says it is.
        user: Whose it is, or which conversation's; empty where the corpus does not say.
    """

    text: str
    task: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest says of one corpus."""

    name: str
    file: Path
    side: str
    kind: str
    cut: str
    language: str
    prompts: int

    @property
    def honest(self) -> bool:
        return self.side == "benign"


@dataclass(frozen=True, slots=True)
class Corpus:
    """One corpus, read."""

    entry: Entry
    prompts: tuple[Prompt, ...]

    @property
    def template(self) -> str:
        """The one frame that all of its identities put around their asks; persons have none."""
        return "" if self.entry.kind == PERSONS else template(self.entry.name)


@dataclass(frozen=True, slots=True)
class Identity:
    """One caller: prompts in their order, and where conversations begin.

    Attributes:
        name: Unique over all corpora.
        kind: person, app or gateway.
        prompts: At most `MOST`.
        sessions: For each prompt, the number of the conversation it is of.
    """

    name: str
    kind: str
    prompts: tuple[Prompt, ...]
    sessions: tuple[int, ...]


def manifest(folder: Path) -> list[Entry]:
    """Every corpus of a folder, by name.

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
        )
        for name, entry in sorted(entries.items())
    ]


def read(entry: Entry) -> Corpus:
    """The prompts of one corpus that say anything, in the file's order."""
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
    """The honest callers of a corpus: those with enough prompts to count."""
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
    return [identity for identity in made if len(identity.prompts) >= LEAST]


def conversations(prompts: Sequence[Prompt]) -> list[tuple[Prompt, ...]]:
    """Each user's prompts together, in order; a prompt of nobody stands alone."""
    talks: dict[str, list[Prompt]] = {}
    for number, prompt in enumerate(prompts):
        talks.setdefault(prompt.user or f"\0{number}", []).append(prompt)
    return [tuple(talk) for talk in talks.values()]


def template(name: str) -> str:
    """A made-up system prompt, drawn by nothing but the hash of a name."""
    draw = random.Random(f"template {name}")
    house = draw.choice(_SYLLABLES).title() + draw.choice(_SYLLABLES) + draw.choice(_SYLLABLES)
    return f"You are {draw.choice(_ROLES)} of {house}. {draw.choice(_MANNERS)} {draw.choice(_ENDS)}"


def _parts(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    return [items[begin : begin + size] for begin in range(0, len(items), size)]


def _identity(name: str, kind: str, talks: Sequence[Sequence[Prompt]]) -> Identity:
    numbered = [(prompt, number) for number, talk in enumerate(talks) for prompt in talk]
    kept = list(islice(numbered, MOST))
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
