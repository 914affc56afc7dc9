"""Splits a sweep among accounts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.workloads import shuffled

__all__ = ["WAYS", "split_among"]

WAYS = ("random", "topic", "round_robin")


def split_among(prompts: Sequence[Prompt], accounts: int, way: str) -> list[tuple[Prompt, ...]]:
    """Return the prompts of each account: at most `accounts` parts, none of them empty.

    Args:
        prompts: The sweep.
        accounts: Number of accounts.
        way: ``random``: shuffled, then cut; ``topic``: sorted by task, then cut, so that an account
            has one subject or a few, shuffled within; ``round_robin``: dealt in the file's order.
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
