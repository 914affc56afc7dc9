"""Cover traffic: a sweep hidden among honest prompts from the same account.

The cover is taken from honest persons and applications of all corpora, whole runs of each in their
own order, as a reseller's customers would send them. The shares are of all queries. Either the
cover comes in frames of its own (`own_template`), or it carries the sweep's (`same_template`).
"""

from __future__ import annotations

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
                cover = bench.settings.cover
                begin = number * len(cover) // size.rate_draws
                turned = cover[begin:] + cover[:begin]
                if frame == "same_template":
                    turned = tuple((prompt, corpus.template) for prompt, _ in turned)
                stream = covered(
                    f"covered {number}",
                    draw_of(corpus, number, size.own),
                    corpus.template,
                    turned,
                    percent / 100,
                    PER_DAY,
                )
                firsts.append((await replay(bench.policy, bench.observer, stream, stop=True)).first)
            found[frame][str(percent)] = {
                **count_figures(firsts),
                "draws": [plain(first) for first in firsts],
            }
    return found
