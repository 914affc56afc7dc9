"""A corpus shared out to the accounts of a campaign."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count

from benchmarks.sweep.corpora import Prompt
from benchmarks.sweep.workloads import shuffled

__all__ = ["SHARES", "shared_out"]

SHARES = ("random", "topic", "round_robin")


def shared_out(
    corpus: Sequence[Prompt], accounts: int, each: int, share: str
) -> list[tuple[Prompt, ...]]:
    """Return the prompts of each account, `each` of them, in the order it asks them.

    A corpus that is too small is taken several times, in another order each time, so two accounts
    may have a text in common. One account has none twice, unless the corpus is smaller than its
    part.

    Args:
        corpus: The sweep.
        accounts: Number of accounts.
        each: Prompts of each account.
        share: ``random``: shuffled, then cut; ``topic``: sorted by task, then cut, so that an
            account has one subject or a few; ``round_robin``: dealt one by one, in the file's
            order.
    """
    if share == "round_robin":
        return [
            tuple(corpus[(n + accounts * k) % len(corpus)] for k in range(each))
            for n in range(accounts)
        ]
    parts: list[tuple[Prompt, ...]] = []
    for copy in count():
        order = shuffled(corpus, f"campaign {copy}")
        if share == "topic":
            order = tuple(sorted(order, key=lambda prompt: prompt.task))
        cut = [order[begin : begin + each] for begin in range(0, len(order), each)]
        if len(cut) > 1 and len(cut[-1]) < each:
            cut.pop()
        random.Random(f"campaign {copy}").shuffle(cut)
        parts += [_filled(part, each) for part in cut]
        if len(parts) >= accounts:
            return parts[:accounts]
    raise AssertionError  # `count` does not end


def _filled(part: Sequence[Prompt], each: int) -> tuple[Prompt, ...]:
    return tuple(part[n % len(part)] for n in range(each))
