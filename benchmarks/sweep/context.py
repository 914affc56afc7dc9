"""Settings of the experiments, and what a process keeps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.analysis import Vectors, caching_analyzer, cells
from benchmarks.sweep.baselines import Baseline, Queries, baselines
from benchmarks.sweep.corpora import MAX_PROMPTS, Prompt
from benchmarks.sweep.policies import enforced
from benchmarks.sweep.replay import usage
from benchmarks.sweep.workloads import Stream
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.policy.model import Policy

__all__ = ["PER_DAY", "Context", "Settings", "Size"]

PER_DAY = 860
"""Default queries per day and account of a sweep, as reported of a campaign of 2026."""


@dataclass(frozen=True)
class Size:
    """Size of a run. The field names are written to the result.

    Attributes:
        name: ``full`` or ``quick``.
        identities: Maximum of honest identities of a corpus; 0 for all.
        draws: Random orders of each sweep.
        most: Maximum of queries of each.
        rate_draws: Random orders at other rates, under cover, and for each ablation.
        own: Queries of a sweep that are hidden in cover traffic.
        known: Prompts of each honest corpus that the baselines know.
        ways: Ways of splitting a sweep among accounts.
        accounts: Numbers of accounts.
        prompts: Maximum of prompts of a sweep in campaigns; 0 for all.
        pools: Pools of each size.
        ablated: Maximum of honest identities of a corpus for each ablation; 0 for all.
    """

    name: str = "full"
    identities: int = 0
    draws: int = 12
    most: int = MAX_PROMPTS
    rate_draws: int = 4
    own: int = 600
    known: int = 150
    ways: tuple[str, ...] = ("random", "topic", "round_robin")
    accounts: tuple[int, ...] = (1, 10, 100, 1000)
    prompts: int = 0
    pools: int = 12
    ablated: int = 6


FULL = Size()
QUICK = Size(
    name="quick",
    identities=4,
    most=1_000,
    rate_draws=2,
    own=120,
    known=60,
    prompts=1_000,
    pools=4,
    ablated=1,
)


@dataclass(frozen=True)
class Settings:
    """Settings of an experiment, sent to other processes.

    Attributes:
        corpora: Folder of the corpora.
        policy: Path of the policy, or ``preset:NAME``.
        size: Size of the run.
        pool: Vectors of honest prompts, mixed, for the baselines.
        cover: For cover traffic: one long honest identity of each corpus, and its template.
        thresholds: Threshold of each baseline, once set.
        folds: For cross-validation: weights of the score by corpus name; corpora not named are
            scored with the shipped weights.
    """

    corpora: Path
    policy: str
    size: Size
    pool: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    cover: tuple[tuple[tuple[Prompt, ...], str], ...] = ()
    thresholds: dict[str, float] = field(default_factory=dict[str, float])
    folds: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


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
            await cells(self.analyzer, [prompt.text for prompt in stream.prompts]),
            stream.times,
            _tokens(stream.prompts, stream.templates),
        )


@cache
def _opened(source: str) -> tuple[Policy, EmbeddingAnalyzer, Vectors]:
    policy = enforced(source)
    return policy, caching_analyzer(policy), Vectors()


def _tokens(prompts: Sequence[Prompt], templates: Sequence[str]) -> NDArray[np.int64]:
    used = (
        usage(p.text, system_prompt) for p, system_prompt in zip(prompts, templates, strict=True)
    )
    return np.array([one.input + one.output for one in used], np.int64)
