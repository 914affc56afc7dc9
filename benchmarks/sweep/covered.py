"""Cover traffic: a sweep hidden among honest prompts from the same account.

The cover of each draw is one honest person or application, the longest of a corpus drawn at random,
in its own order and again from the first where it runs out: the cover that gives least away. The
shares are of all queries. Either it comes in its own frame (`own_template`), or it carries the
sweep's (`same_template`).
"""

from __future__ import annotations

import random
from typing import Any

from benchmarks.sweep.bench import PER_DAY, Bench
from benchmarks.sweep.corpora import Corpus
from benchmarks.sweep.figures import count_figures, plain
from benchmarks.sweep.replay import replay
from benchmarks.sweep.streams import covered, draw_of

__all__ = ["SHARES", "dilution"]

SHARES = (0, 50, 90, 95)


async def dilution(bench: Bench, corpus: Corpus) -> dict[str, Any]:
    """Own queries before the first slowdown, by frame of the cover and its share in percent."""
    size = bench.settings.size
    found: dict[str, Any] = {}
    for frame in ("own_template", "same_template"):
        found[frame] = {}
        for percent in SHARES:
            firsts: list[float] = []
            for number in range(size.rate_draws):
                draw = random.Random(f"cover {corpus.entry.name} {number}")
                prompts, cover_frame = draw.choice(bench.settings.cover)
                if frame == "same_template":
                    cover_frame = corpus.template
                stream = covered(
                    f"covered {number}",
                    draw_of(corpus, number, size.own),
                    corpus.template,
                    [(prompt, cover_frame) for prompt in prompts],
                    percent / 100,
                    PER_DAY,
                )
                firsts.append((await replay(bench.policy, bench.analyzer, stream, stop=True)).first)
            found[frame][str(percent)] = {
                **count_figures(firsts),
                "draws": [plain(first) for first in firsts],
            }
    return found
