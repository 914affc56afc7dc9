"""A sweep shared out among accounts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.streams import shuffled

__all__ = ["WAYS", "shared_out"]

WAYS = ("random", "topic", "round_robin")


def shared_out(prompts: Sequence[Prompt], accounts: int, way: str) -> list[tuple[Prompt, ...]]:
    """Who sends what: at most so many accounts, none of them without prompts.

    Args:
        prompts: The sweep.
        accounts: How many.
        way: ``random``: shuffled, then cut; ``topic``: by task, then cut, so that an account has
            one subject or a few, shuffled within; ``round_robin``: the file's order, dealt like
            cards.
    """
    if way == "round_robin":
        parts = [tuple(prompts[first::accounts]) for first in range(accounts)]
    else:
        order = shuffled(prompts, f"share {way} {accounts}")
        if way == "topic":
            order = tuple(sorted(order, key=lambda prompt: prompt.task))
        cuts = [len(order) * n // accounts for n in range(accounts + 1)]
        parts = [order[a:b] for a, b in pairwise(cuts)]
        if way == "topic":
            parts = [shuffled(part, f"within {n}") for n, part in enumerate(parts)]
    return [part for part in parts if part]
