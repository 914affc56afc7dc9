"""What one account sends, in order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.corpora import MAX_PROMPTS, Corpus, Identity, Prompt, conversations
from benchmarks.sweep.timing import Times, arrivals, evenly

__all__ = ["Stream", "covered_stream", "honest_stream", "random_order", "shuffled", "sweep_stream"]


@dataclass(frozen=True, slots=True)
class Stream:
    """Prompts of one account, with times and system prompts.

    Attributes:
        account: Name of the account.
        prompts: In the order they are sent.
        times: µs, strictly ascending.
        templates: System prompt of each.
        own: Whether a prompt belongs to the sweep; cover traffic does not.
    """

    account: str
    prompts: tuple[Prompt, ...]
    times: Times
    templates: tuple[str, ...]
    own: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.prompts)

    def with_templates(self, templates: tuple[str, ...]) -> Stream:
        """Return the stream with other system prompts."""
        return replace(self, templates=templates)


def honest_stream(identity: Identity, template: str) -> Stream:
    """Return everything that an honest identity sends."""
    count = len(identity.prompts)
    return Stream(
        identity.name,
        identity.prompts,
        arrivals(identity),
        (template,) * count,
        np.zeros(count, np.bool_),
    )


def sweep_stream(account: str, prompts: Sequence[Prompt], template: str, per_day: float) -> Stream:
    """Return a sweep, or one account's part of it, sent evenly."""
    count = len(prompts)
    return Stream(
        account,
        tuple(prompts),
        evenly(count, per_day),
        (template,) * count,
        np.ones(count, np.bool_),
    )


def random_order(corpus: Corpus, number: int, most: int = MAX_PROMPTS) -> tuple[Prompt, ...]:
    """Return the n-th random order of a sweep; conversations keep their order."""
    return shuffled(corpus.prompts, f"{corpus.entry.name} {number}")[:most]


def shuffled(prompts: Sequence[Prompt], seed: str) -> tuple[Prompt, ...]:
    """Return conversations in random order, each in its own order."""
    talks = conversations(prompts)
    random.Random(seed).shuffle(talks)
    return tuple(prompt for talk in talks for prompt in talk)


def covered_stream(
    account: str,
    prompts: Sequence[Prompt],
    template: str,
    cover: Sequence[tuple[Prompt, str]],
    share: float,
    per_day: float,
) -> Stream:
    """Return a sweep hidden in cover traffic, mixed at random; cover keeps its order.

    Args:
        account: Name of the account.
        prompts: Prompts of the sweep.
        template: System prompt of the sweep.
        cover: Prompts of honest identities, each with its system prompt; repeated from the start
            as needed.
        share: Share of cover in all queries.
        per_day: Queries per day, of both together.
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
        tuple(system_prompt for _, system_prompt, _ in sent),
        np.array([own for _, _, own in sent], np.bool_),
    )
