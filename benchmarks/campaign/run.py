"""Runs a scenario: what all of them have in common is read once."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.campaign.deployment import policy_of
from benchmarks.campaign.observing import OnceAnalyzer
from benchmarks.campaign.oracle import first_looks
from benchmarks.campaign.outcome import outcome
from benchmarks.campaign.people import Block, Caller, blocks_of, crowds, established, newcomers
from benchmarks.campaign.scenarios import OTHERS, Scenario, Size, scenarios
from benchmarks.campaign.sharing import shared_out
from benchmarks.campaign.sweepers import sweepers
from benchmarks.campaign.world import Happened, happen
from benchmarks.sweep.analysis import FittedAnalyzer
from benchmarks.sweep.context import Settings
from benchmarks.sweep.corpora import Corpus, Entry, manifest, read
from benchmarks.sweep.honest import STRICT

__all__ = ["Run", "planned"]


@dataclass
class Run:
    """What scenarios have in common: read and opened once.

    Attributes:
        settings: Corpora, policy, fits.
        size: Size of the run.
        analyzer: Looks at every text once.
    """

    settings: Settings
    size: Size

    def __post_init__(self) -> None:
        logging.getLogger("querybudget").setLevel(
            logging.ERROR
        )  # callers disturbed are the figures
        self.policy = policy_of(self.settings.policy)
        self.analyzer = OnceAnalyzer(FittedAnalyzer(self.policy))
        self._entries = {entry.name: entry for entry in manifest(self.settings.corpora)}
        self._corpora: dict[str, Corpus] = {}
        self._blocks: list[Block] = []

    def figures(self, scenario: Scenario) -> dict[str, Any]:
        """Return the figures of a scenario."""
        begun = time.monotonic()
        happened = asyncio.run(self._happen(scenario))
        seconds = round(time.monotonic() - begun, 1)
        figures = {"scenario": asdict(scenario), **outcome(happened), "seconds": seconds}
        print(_line(scenario, figures), file=sys.stderr, flush=True)
        return figures

    async def _happen(self, scenario: Scenario) -> Happened:
        corpus = self._corpus(scenario.corpus or self.largest)
        parts = shared_out(corpus.prompts, scenario.accounts, scenario.each, scenario.share)
        blocks = self._honest_blocks()
        cover = [p.text for block in blocks[::50] for p in block.identity.prompts]
        fit = self.settings.fit_of(corpus.entry)
        places = sweepers(scenario, parts, cover, fit)
        looks = await first_looks(self.analyzer, parts, fit)
        honest = self._honest(scenario, blocks)
        happened = await happen(self.policy, self.analyzer, scenario, places, honest)
        return replace(happened, looks=looks)

    def _honest(self, scenario: Scenario, blocks: Sequence[Block]) -> list[Caller]:
        beside = [*newcomers(scenario, blocks), *established(scenario, blocks)] if blocks else []
        return beside + (crowds(self.size.crowds, blocks) if scenario.crowds and blocks else [])

    @property
    def largest(self) -> str:
        """Name of the largest broad sweep."""
        broad = [entry for entry in self._entries.values() if entry.kind == "broad"]
        if not broad:
            raise SystemExit("expected a broad sweep in the folder: see docs/research.md")
        return max(broad, key=lambda entry: (entry.prompts, entry.name)).name

    def _corpus(self, name: str) -> Corpus:
        if name not in self._corpora:
            self._corpora[name] = read(self._entries[name])
        return self._corpora[name]

    def _honest_blocks(self) -> list[Block]:
        if not self._blocks:
            held = [entry for entry in self._entries.values() if entry.kind in STRICT]
            self._blocks = [
                block for entry in _honest(held) for block in blocks_of(self.settings, read(entry))
            ]
        return self._blocks


def planned(size: Size, entries: Sequence[Entry]) -> list[Scenario]:
    """Return the scenarios that a folder allows."""
    broad = {entry.name for entry in entries if entry.kind == "broad"}
    return scenarios(size, tuple(name for name in OTHERS if name in broad))


def _honest(entries: Iterable[Entry]) -> list[Entry]:
    return sorted((entry for entry in entries if entry.honest), key=lambda entry: entry.name)


def _line(scenario: Scenario, figures: dict[str, Any]) -> str:
    return (
        f"{scenario.name}: {figures['share_of_corpus']:.2%} obtained, honest"
        f" {figures['honest_disturbed']}, newcomers {figures['honest_newcomers_disturbed']},"
        f" account-days x{figures['account_days_multiplier']}, {figures['seconds']} s"
    )
