"""Scenarios over several processes, the longest first.

Each process reads corpora and looks at prompts for itself: what a scenario comes to depends on no
other, so the figures are the same whatever the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.campaign.deployment import policy_of
from benchmarks.campaign.run import Run
from benchmarks.campaign.scenarios import Scenario, Size
from benchmarks.sweep.context import Settings
from benchmarks.sweep.run import THREADS

__all__ = ["figures_of"]


def figures_of(
    settings: Settings, size: Size, wanted: Sequence[Scenario], jobs: int, seen: Path | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the figures of each scenario, as they are done.

    Args:
        settings: Corpora, policy, fits.
        size: Size of the run.
        wanted: The scenarios.
        jobs: Processes.
        seen: File that keeps what prompts show between runs.

    Raises:
        PolicyError: The policy is invalid.
    """
    policy_of(settings.policy)
    ordered = sorted(wanted, key=lambda scenario: -scenario.work)
    if min(jobs, len(ordered)) == 1:
        run = _opened(settings, size, seen)
        yield from (_done(run, scenario, seen) for scenario in ordered)
        return
    os.environ.update((name, "1") for name in THREADS)
    spawn = get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn, _keep_run, (settings, size, seen)) as pool:
        running = [pool.submit(_done_here, scenario) for scenario in ordered]
        yield from (done.result() for done in as_completed(running))


_kept: list[tuple[Run, Path | None]] = []


def _keep_run(settings: Settings, size: Size, seen: Path | None) -> None:
    """Open what the scenarios of a process have in common."""
    _kept.append((_opened(settings, size, seen), seen))


def _done_here(scenario: Scenario) -> tuple[str, dict[str, Any]]:
    run, seen = _kept[-1]
    return _done(run, scenario, seen)


def _opened(settings: Settings, size: Size, seen: Path | None) -> Run:
    run = Run(settings, size)
    if seen is not None:
        run.analyzer.load(seen)
    return run


def _done(run: Run, scenario: Scenario, seen: Path | None) -> tuple[str, dict[str, Any]]:
    figures = run.figures(scenario)
    if seen is not None:
        run.analyzer.save(seen)
    return scenario.name, figures
