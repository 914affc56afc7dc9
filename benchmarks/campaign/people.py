"""Honest callers beside a campaign, built from the corpora by source.

An honest identity's prompts are cut into blocks: a newcomer sends one, an established caller two in
the two months before the campaign and one during it. Callers of one corpus send its system prompt;
persons send none. Corpora are drawn first, so that large ones are not everybody. Of gateways, which
are as broad as a sweep, there are none here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.campaign.deployment import Account, Answer
from benchmarks.campaign.scenarios import Scenario
from benchmarks.sweep.context import Settings
from benchmarks.sweep.corpora import PERSONS, Corpus, Identity, Prompt, identities, template
from benchmarks.sweep.honest import STRICT
from benchmarks.sweep.scoring import Fit
from benchmarks.sweep.timing import BEGIN, DAY, arrivals

__all__ = ["BLOCK", "Block", "Caller", "blocks_of", "crowds", "drawn", "established", "newcomers"]

BLOCK = 30
"""Prompts of a block: what a newcomer asks in all."""

LEAST = 20
"""Prompts of the shortest block."""

MOST_BLOCKS = 16
"""Blocks of one corpus, chosen by chance. A block serves several callers of a large scenario."""

HISTORY = 60
"""Days before the campaign over which what an established caller asked then is spread."""

PAST = 2
"""Blocks of that: more than the 50 calls from which on a caller counts as established."""

JOINING = 3
"""Days from the campaign's beginning over which honest newcomers join."""

OLD = 3
"""Of so many callers of a crowd one is established."""

FIRM = 4
"""Applications of a firm."""


@dataclass(frozen=True)
class Block:
    """Consecutive prompts of an honest identity.

    Attributes:
        corpus: Where they are from.
        kind: person or app.
        fit: A fit that has not seen their source.
        template: The corpus's system prompt.
        identity: The prompts, with their conversations.
    """

    corpus: str
    kind: str
    fit: Fit
    template: str
    identity: Identity


@dataclass(slots=True)
class Caller:
    """An honest caller.

    Attributes:
        account: Its account.
        side: ``newcomers``, ``established``, or the crowd that it is in.
        kind: person or app.
        corpus: Where its prompts are from.
        template: Its system prompt.
        prompts: What it asks.
        times: When, µs.
        disturbed, refused: Whether it ever was, since the campaign began.
        asked: Calls sent.
    """

    account: Account
    side: str
    kind: str
    corpus: str
    template: str
    prompts: Sequence[Prompt]
    times: Sequence[int]
    disturbed: bool = False
    refused: bool = False
    asked: int = 0

    def begin(self) -> int:
        """Return when it first asks."""
        return self.times[0]

    def next_text(self) -> str:
        """Return what is asked now."""
        return self.prompts[self.asked].text

    def heard(self, now: int, answer: Answer) -> int | None:
        """Note what a call came to, and return when the next one is sent; None after the last."""
        self.asked += 1
        if now >= BEGIN:
            self.disturbed = self.disturbed or answer.disturbed
            self.refused = self.refused or answer.refused
        if self.asked == len(self.times):
            return None
        return max(now + answer.delay, self.times[self.asked])


def blocks_of(settings: Settings, corpus: Corpus) -> list[Block]:
    """Return the blocks of a corpus."""
    entry = corpus.entry
    if entry.kind not in STRICT:
        return []
    fit = settings.fit_of(entry)
    cut = [
        Identity(f"{one.name} {begin}", one.kind, prompts, one.sessions[begin : begin + BLOCK])
        for one in identities(corpus)
        for begin in range(0, len(one.prompts), BLOCK)
        if len(prompts := one.prompts[begin : begin + BLOCK]) >= LEAST
    ]
    random.Random(f"blocks {entry.name}").shuffle(cut)
    return [Block(entry.name, entry.kind, fit, corpus.template, part) for part in cut[:MOST_BLOCKS]]


def drawn(blocks: Sequence[Block], seed: str) -> Iterator[Block]:
    """Yield blocks for ever: a corpus by chance, then its blocks in turn."""
    draw, held = random.Random(seed), dict[str, list[Block]]()
    for block in blocks:
        held.setdefault(block.corpus, []).append(block)
    names, taken = sorted(held), dict.fromkeys(held, 0)
    for some in held.values():
        draw.shuffle(some)
    while names:
        name = draw.choice(names)
        yield held[name][taken[name] % len(held[name])]
        taken[name] += 1


@dataclass
class _Joining:
    """Makes accounts of blocks."""

    blocks: Iterator[Block]
    draw: random.Random
    made: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    _waiting: dict[str, list[Block]] = field(default_factory=dict[str, list[Block]])

    def newcomer(self, side: str, begin: int, *, template: str | None = None) -> Caller:
        block = next(self.blocks)
        times = self._times(block, begin)
        return self._caller(side, block, block.identity.prompts, times, template, lately=True)

    def established(self, side: str, begin: int, *, template: str | None = None) -> Caller:
        """Return a caller who has asked for two months before the campaign begins."""
        *before, block = self._of_one_corpus(PAST + 1)
        past = [prompt for one in before for prompt in one.identity.prompts]
        gaps = np.sort([self.draw.random() for _ in past])
        times = [BEGIN - HISTORY * DAY + int(HISTORY * DAY * gap) for gap in gaps.tolist()]
        now = self._times(block, begin)
        prompts = (*past, *block.identity.prompts)
        return self._caller(side, block, prompts, [*times, *now], template, lately=False)

    def _of_one_corpus(self, count: int) -> list[Block]:
        """Return the next blocks that are of one corpus."""
        for block in self.blocks:
            some = self._waiting.setdefault(block.corpus, [])
            some.append(block)
            if len(some) == count:
                return self._waiting.pop(block.corpus)
        raise StopIteration

    def _times(self, block: Block, begin: int) -> list[int]:
        times = arrivals(block.identity)
        return [begin + int(at - times[0]) for at in times]

    def _caller(
        self,
        side: str,
        block: Block,
        prompts: Sequence[Prompt],
        times: Sequence[int],
        template: str | None,
        *,
        lately: bool,
    ) -> Caller:
        self.made += 1
        account = Account(
            f"{side} {self.made}", block.fit, joined_lately=lately, attributes=self.attributes
        )
        own = block.template if template is None else template
        return Caller(account, side, block.kind, block.corpus, own, prompts, times)


def newcomers(scenario: Scenario, blocks: Sequence[Block]) -> list[Caller]:
    """Return honest callers who join during the campaign's first days."""
    seed = f"newcomers {scenario.accounts}"
    joining = _Joining(drawn(blocks, seed), random.Random(seed))
    return [
        joining.newcomer("newcomers", BEGIN + int(joining.draw.random() * JOINING * DAY))
        for _ in range(round(scenario.accounts * scenario.newcomers))
    ]


def established(scenario: Scenario, blocks: Sequence[Block]) -> list[Caller]:
    """Return honest callers who have been there for two months."""
    joining = _Joining(drawn(blocks, "established"), random.Random("established"))
    return [
        joining.established("established", BEGIN + int(joining.draw.random() * DAY))
        for _ in range(round(scenario.accounts * scenario.established))
    ]


def crowds(size: int, blocks: Sequence[Block]) -> list[Caller]:
    """Return honest callers who have something in common.

    Args:
        size: Users of a popular client. The others are in proportion: a
            campus a sixteenth, a release day a tenth, and firms a fiftieth of it.
        blocks: What they ask. A block serves several of them.
    """
    talks = [block for block in blocks if block.kind == PERSONS] or list(blocks)
    found: list[Caller] = []
    popular = _Joining(drawn(blocks, "client"), random.Random("client"))
    for number in range(size):
        begin = BEGIN + int(popular.draw.random() * JOINING * DAY)
        join = popular.newcomer if number % OLD else popular.established
        found.append(join("popular client", begin, template=template("a popular client")))
    network = {"network": "a campus"}
    campus = _Joining(drawn(talks, "campus"), random.Random("campus"), attributes=network)
    for number in range(max(FIRM, size // 16)):
        join = campus.newcomer if number % OLD else campus.established
        found.append(join("campus", BEGIN + int(campus.draw.random() * DAY), template=""))
    release = _Joining(drawn(blocks, "release day"), random.Random("release day"))
    for _ in range(max(FIRM, size // 10)):
        begin = BEGIN + DAY // 2 + int(release.draw.random() * DAY / 12)
        new = release.newcomer("release day", begin, template=template("a new client"))
        found.append(new)
    return found + _firms(max(1, size // 50 // FIRM), blocks)


def _firms(count: int, blocks: Sequence[Block]) -> list[Caller]:
    """Return the applications of firms, each under its own system prompt."""
    apps = [block for block in blocks if block.kind != PERSONS] or list(blocks)
    found: list[Caller] = []
    draw, source = random.Random("firms"), drawn(apps, "firms")
    for firm in range(count):
        shared = {"organisation": f"firm {firm}", "payment": f"firm {firm}"}
        joining = _Joining(source, draw, len(found), shared)
        found += [joining.newcomer("firms", BEGIN + int(draw.random() * DAY)) for _ in range(FIRM)]
    return found
