"""What one account sends, in order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.corpora import MAX_PROMPTS, Corpus, Identity, Prompt, conversations
from benchmarks.sweep.timing import BEGIN, Times, arrivals, evenly

__all__ = ["Stream", "honest_stream", "merged", "random_order", "shuffled", "sweep_stream"]


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

    def request(self, place: int) -> Request:
        """Return the call at this index: one user turn under a system prompt, if any."""
        body = asked(self.prompts[place].text, self.templates[place])
        return Request(body, (place,) if self.own[place] else ())

    def first(self, count: int) -> Stream:
        """Return the stream's first calls."""
        return Stream(
            self.account,
            self.prompts[:count],
            self.times[:count],
            self.templates[:count],
            self.own[:count],
        )

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


def sweep_stream(
    account: str,
    prompts: Sequence[Prompt],
    template: str,
    per_day: float,
    *,
    begin: int = BEGIN,
) -> Stream:
    """Return a sweep, or one account's part of it, sent evenly."""
    count = len(prompts)
    return Stream(
        account,
        tuple(prompts),
        evenly(count, per_day, begin=begin),
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


def merged(streams: Sequence[Stream], account: str) -> Stream:
    """Return streams as those of one account: several applications behind one key."""
    times = np.concatenate([stream.times for stream in streams])
    order = np.argsort(times, kind="stable")
    prompts = [prompt for stream in streams for prompt in stream.prompts]
    templates = [one for stream in streams for one in stream.templates]
    own = np.concatenate([stream.own for stream in streams])
    places = order.tolist()
    return Stream(
        account,
        tuple(prompts[place] for place in places),
        _strictly(times[order]),
        tuple(templates[place] for place in places),
        own[order],
    )


def _strictly(times: Times) -> Times:
    steps = np.arange(len(times))
    return np.asarray(np.maximum.accumulate(times - steps) + steps, np.int64)
