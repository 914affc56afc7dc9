"""Settings of the experiments, and what a process keeps between them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.analysis import FittedAnalyzer, Vectors
from benchmarks.sweep.baselines import Baseline, Queries, baselines
from benchmarks.sweep.corpora import MAX_PROMPTS, Entry, Prompt
from benchmarks.sweep.policies import enforced
from benchmarks.sweep.scoring import Fit, Fits
from benchmarks.sweep.simulation import answer_length
from benchmarks.sweep.tricks import QUICK_TRICKS, TRICKS
from benchmarks.sweep.workloads import Stream
from querybudget.policy.model import Policy

__all__ = ["PER_DAY", "Context", "Cover", "Settings", "Size"]

PER_DAY = 860
"""Default queries per day and account of a sweep, as reported of a campaign of 2026."""


@dataclass(frozen=True)
class Size:
    """Size of a run. The field names are written to the result.

    Attributes:
        name: ``full`` or ``quick``.
        identities: Maximum of honest identities of a corpus.
        prompts: Maximum of prompts of an honest identity.
        known_identities: Maximum of them that are also scored by a fit that has seen them.
        draws: Random orders of each sweep.
        most: Maximum of queries of each.
        rate_draws: Random orders at other rates, and with the fit that has seen the sweep.
        wanted: Prompts of a broad sweep in tricks and campaigns, and of a narrow one.
        tricks: Names of the tricks.
        ways: Ways of splitting a sweep among accounts.
        accounts: Numbers of accounts.
        mixes: Keys with several applications behind them, of each number, and the prompts of each
            application.
        pools: Honest groups of each size up to 80; of larger ones a third and a sixth.
        largest: Members of the largest honest groups.
        working: Honest identities of a corpus for each way of working, and calls of each.
        deployed: Honest identities of a corpus in one deployment, and calls of each.
        thin: Thin accounts of a corpus.
        known: Prompts of each honest corpus that the baselines know.
        compared: Honest identities of a corpus for the baselines, and prompts of each.
        ablated: Honest identities of a corpus for the ablations, and prompts of each.
    """

    name: str = "full"
    identities: int = 24
    prompts: int = 800
    known_identities: int = 10
    draws: int = 12
    most: int = MAX_PROMPTS
    rate_draws: int = 3
    wanted: tuple[int, int] = (2_000, 500)
    tricks: tuple[str, ...] = tuple(TRICKS)
    ways: tuple[str, ...] = ("random", "topic", "round_robin")
    accounts: tuple[int, ...] = (1, 10, 100)
    mixes: tuple[int, int] = (30, 300)
    pools: int = 8
    largest: int = 1_000
    working: tuple[int, int] = (2, 100)
    deployed: tuple[int, int] = (5, 200)
    thin: int = 20
    known: int = 150
    compared: tuple[int, int] = (4, 1_000)
    ablated: tuple[int, int] = (2, 200)


FULL = Size()
QUICK = Size(
    name="quick",
    identities=4,
    prompts=250,
    known_identities=1,
    draws=2,
    most=400,
    rate_draws=1,
    wanted=(400, 200),
    tricks=QUICK_TRICKS,
    ways=("random",),
    accounts=(1, 10),
    mixes=(6, 120),
    pools=2,
    largest=80,
    working=(1, 60),
    deployed=(5, 60),
    thin=4,
    known=60,
    compared=(1, 250),
    ablated=(1, 100),
)


@dataclass(frozen=True)
class Cover:
    """A long honest identity of one corpus, as cover traffic, and for documents and answers.

    Attributes:
        kind: person or app.
        texts: Its prompts, in order.
        template: Its system prompt.
        sources: Where its text is from.
    """

    kind: str
    texts: tuple[str, ...]
    template: str
    sources: frozenset[str]

    @property
    def median(self) -> int:
        """Characters of its middle text."""
        return sorted(map(len, self.texts))[len(self.texts) // 2]


@dataclass(frozen=True)
class Settings:
    """Settings of an experiment, sent to other processes.

    Attributes:
        corpora: Folder of the corpora.
        policy: Path of the policy, or ``preset:NAME``.
        size: Size of the run.
        pool: Vectors of honest prompts, mixed, for the baselines.
        cover: One long honest identity of each corpus.
        thresholds: Threshold of each baseline, once set.
        fits: Fits that have not seen some sources.
    """

    corpora: Path
    policy: str
    size: Size
    pool: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    cover: tuple[Cover, ...] = ()
    thresholds: dict[str, float] = field(default_factory=dict[str, float])
    fits: Fits = field(default_factory=Fits)

    def fit_of(self, entry: Entry) -> Fit:
        """Return the fit that scores a corpus: one that has seen none of its sources."""
        return self.fits.of(entry.sources)


class Context:
    """Policy, analyzer and vectors, opened once per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policy, self.analyzer, self.vectors = _opened(settings.policy)

    @property
    def quick(self) -> bool:
        """Whether only a sub-sample is run."""
        return self.settings.size.name == "quick"

    @cached_property
    def baselines(self) -> list[Baseline]:
        return baselines(self.settings.pool)

    async def sent(self, stream: Stream) -> Queries:
        """Return a stream as input of the baselines."""
        return Queries(
            self.vectors.of(stream.prompts),
            await self.analyzer.cells(stream.prompts),
            stream.times,
            _tokens(stream.prompts, stream.templates),
        )


@cache
def _opened(source: str) -> tuple[Policy, FittedAnalyzer, Vectors]:
    logging.getLogger("querybudget").setLevel(logging.ERROR)  # callers disturbed are the figures
    policy = enforced(source)
    return policy, FittedAnalyzer(policy), Vectors()


def _tokens(prompts: Sequence[Prompt], templates: Sequence[str]) -> NDArray[np.int64]:
    """Return the tokens of each call: one per four bytes of prompt, and its answer."""
    given = zip(prompts, templates, strict=True)
    asked = [(p.text.encode(), system_prompt.encode()) for p, system_prompt in given]
    return np.array([-(-(len(a) + len(b)) // 4) + answer_length(a) for a, b in asked], np.int64)
