"""What one account sends, in order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.corpora import MOST, Corpus, Identity, Prompt, conversations
from benchmarks.sweep.timing import Times, arrivals, evenly

__all__ = ["Stream", "covered", "draw_of", "honest", "shuffled", "sweep"]


@dataclass(frozen=True, slots=True)
class Stream:
    """Prompts of one account, when they are sent, and in what frame.

    Attributes:
        account: Name of the account.
        prompts: In the order they are sent.
        times: µs, strictly ascending.
        templates: The frame of each.
        own: Whether a prompt is of the sweep; cover traffic is not.
    """

    account: str
    prompts: tuple[Prompt, ...]
    times: Times
    templates: tuple[str, ...]
    own: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.prompts)

    def framed(self, templates: tuple[str, ...]) -> Stream:
        """The same in other frames."""
        return replace(self, templates=templates)


def honest(identity: Identity, template: str) -> Stream:
    """Everything that an honest identity asks."""
    count = len(identity.prompts)
    return Stream(
        identity.name,
        identity.prompts,
        arrivals(identity),
        (template,) * count,
        np.zeros(count, np.bool_),
    )


def sweep(account: str, prompts: Sequence[Prompt], template: str, per_day: float) -> Stream:
    """A sweep, or one account's part of it, sent evenly."""
    count = len(prompts)
    return Stream(
        account,
        tuple(prompts),
        evenly(count, per_day),
        (template,) * count,
        np.ones(count, np.bool_),
    )


def draw_of(corpus: Corpus, number: int, most: int = MOST) -> tuple[Prompt, ...]:
    """The number-th random order of a sweep; conversations keep theirs."""
    return shuffled(corpus.prompts, f"{corpus.entry.name} {number}")[:most]


def shuffled(prompts: Sequence[Prompt], seed: str) -> tuple[Prompt, ...]:
    """Conversations in random order, each in its own."""
    talks = conversations(prompts)
    random.Random(seed).shuffle(talks)
    return tuple(prompt for talk in talks for prompt in talk)


def covered(
    account: str,
    prompts: Sequence[Prompt],
    template: str,
    cover: Sequence[tuple[Prompt, str]],
    share: float,
    per_day: float,
) -> Stream:
    """A sweep hidden in cover traffic, mixed at random in this share; cover keeps its order.

    Args:
        account: Name of the account.
        prompts: The sweep's.
        template: The sweep's frame.
        cover: Prompts of honest identities, each with its frame; taken in turn, again from the
            first where they run out.
        share: Of all queries, those that are cover.
        per_day: Of both together.
    """
    draw = random.Random(f"cover {account}")
    sent: list[tuple[Prompt, str, bool]] = []
    taken = 0
    for prompt in prompts:
        while draw.random() < share:
            sent.append((*cover[taken % len(cover)], False))
            taken += 1
        sent.append((prompt, template, True))
    return Stream(
        account,
        tuple(prompt for prompt, _, _ in sent),
        evenly(len(sent), per_day),
        tuple(frame for _, frame, _ in sent),
        np.array([own for _, _, own in sent], np.bool_),
    )
