"""Cover traffic: a sweep hidden among honest prompts from the same account.

The cover of each draw is one honest person or application, the longest of a corpus drawn at random,
in its own order and repeated from the start, because that cover reveals least. Shares are of all
queries. Cover is sent under its own system prompt (`own_template`) or under the sweep's
(`same_template`).
"""

from __future__ import annotations

import random
from typing import Any

from benchmarks.sweep.context import PER_DAY, Context
from benchmarks.sweep.corpora import Corpus
from benchmarks.sweep.figures import count_figures, plain
from benchmarks.sweep.replay import replay
from benchmarks.sweep.workloads import covered_stream, random_order

__all__ = ["SHARES", "dilution"]

SHARES = (0, 50, 90, 95)


async def dilution(context: Context, corpus: Corpus) -> dict[str, Any]:
    """Return own queries before the first slowdown, by template and share of the cover."""
    size = context.settings.size
    found: dict[str, Any] = {}
    for mode in ("own_template", "same_template"):
        found[mode] = {}
        for percent in SHARES:
            firsts: list[float] = []
            for number in range(size.rate_draws):
                draw = random.Random(f"cover {corpus.entry.name} {number}")
                prompts, cover_template = draw.choice(context.settings.cover)
                if mode == "same_template":
                    cover_template = corpus.template
                stream = covered_stream(
                    f"covered {number}",
                    random_order(corpus, number, size.own),
                    corpus.template,
                    [(prompt, cover_template) for prompt in prompts],
                    percent / 100,
                    PER_DAY,
                )
                firsts.append(
                    (await replay(context.policy, context.analyzer, stream, stop=True)).first
                )
            found[mode][str(percent)] = {
                **count_figures(firsts),
                "draws": [plain(first) for first in firsts],
            }
    return found
