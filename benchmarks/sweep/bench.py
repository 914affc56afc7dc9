"""What every experiment is given, and what a process keeps between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.baselines import Baseline, Sent, baselines
from benchmarks.sweep.corpora import MOST, Prompt
from benchmarks.sweep.observing import Vectors, cells, roomy_observer
from benchmarks.sweep.policies import enforced
from benchmarks.sweep.replay import usage
from benchmarks.sweep.streams import Stream
from querybudget.embedding.analyzer import EmbeddingAnalyzer
from querybudget.policy.model import Policy

__all__ = ["PER_DAY", "Bench", "Settings", "Size"]

PER_DAY = 860
"""Queries a day and account of a sweep, unless said otherwise: reported of a campaign of 2026."""


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        name: ``full`` or ``quick``.
        identities: Honest identities of a corpus at most; 0 for all.
        draws: Random orders of each sweep.
        most: Queries of each at most.
        rate_draws: The same at other rates, under cover, and for each ablation.
        own: Queries of a sweep after which cover traffic has hidden it.
        known: Prompts of each honest corpus that the baselines know.
        ways: Ways of sharing a sweep out.
        accounts: Numbers of accounts.
        prompts: Of a sweep at most in campaigns; 0 for all.
        pools: Pools of each size.
        ablated: Honest identities of a corpus at most, for each ablation; 0 for all.
    """

    name: str = "full"
    identities: int = 0
    draws: int = 12
    most: int = MOST
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
    """What an experiment is told; goes to other processes.

    Attributes:
        corpora: The folder.
        policy: Path of the policy, or ``preset:NAME``.
        size: How much is run.
        pool: Vectors of honest prompts, mixed, for the baselines.
        cover: For cover traffic: one long honest identity of each corpus, and its frame.
        thresholds: Of each baseline, once they are set.
        folds: For cross-validation: the score's numbers to judge a corpus by, by its name; those
            not named are judged by the shipped ones.
    """

    corpora: Path
    policy: str
    size: Size
    pool: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    cover: tuple[tuple[tuple[Prompt, ...], str], ...] = ()
    thresholds: dict[str, float] = field(default_factory=dict[str, float])
    folds: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


class Bench:
    """Policy, observer and vectors, opened once a process."""

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

    async def sent(self, stream: Stream) -> Sent:
        """A stream as the baselines see it."""
        return Sent(
            self.vectors.of(stream.prompts),
            await cells(self.analyzer, [prompt.text for prompt in stream.prompts]),
            stream.times,
            _tokens(stream.prompts, stream.templates),
        )


@cache
def _opened(source: str) -> tuple[Policy, EmbeddingAnalyzer, Vectors]:
    policy = enforced(source)
    return policy, roomy_observer(policy), Vectors()


def _tokens(prompts: Sequence[Prompt], templates: Sequence[str]) -> NDArray[np.int64]:
    used = (usage(p.text, frame) for p, frame in zip(prompts, templates, strict=True))
    return np.array([one.input + one.output for one in used], np.int64)
