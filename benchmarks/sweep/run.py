"""Runs the experiments in order, over several processes.

Honest corpora come first, because the baselines' thresholds are set on them; then sweeps, then
pools. A task is one corpus, the largest first, so that the last ones are short.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np

from benchmarks.sweep.context import Context, Settings
from benchmarks.sweep.corpora import Entry, Prompt, identities, manifest, read
from benchmarks.sweep.goals import goals
from benchmarks.sweep.honest import HonestResult, figures, honest_part
from benchmarks.sweep.pools import honest_pools, sweep_pools
from benchmarks.sweep.progress import bar
from benchmarks.sweep.result import ablation_results, baseline_results, slowed_shares
from benchmarks.sweep.speed import added_time
from benchmarks.sweep.sweeps import SweepPart, sweep_part
from benchmarks.sweep.thresholds import STRICT, thresholds

__all__ = ["run_all"]

_R = TypeVar("_R")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Set to 1: processes share the cores, so the linear algebra of each must not use them all."""


def run_all(settings: Settings, jobs: int, tuned: frozenset[str]) -> dict[str, Any]:
    """Run all experiments.

    Args:
        settings: Corpora, policy, size.
        jobs: Processes.
        tuned: Names of the corpora that the shipped weights were fitted on.

    Returns:
        The result without ``meta``.
    """
    entries = manifest(settings.corpora)
    honest = [entry for entry in entries if entry.honest]
    sweeps = [entry for entry in entries if not entry.honest]
    settings = _with_honest_sample(settings, honest)
    callers = _flat(_spread(honest_part, settings, honest, jobs, "honest callers"))
    limits = thresholds(callers)
    settings = replace(settings, thresholds=limits)
    parts = _spread(sweep_part, settings, sweeps, jobs, "sweeps")
    pools = {
        "sweeps": dict(_spread(_named_pools, settings, sweeps, jobs, "pools")),
        "honest": honest_pools(settings, honest),
    }
    return _result(Context(settings), callers, sorted(parts, key=lambda p: p.name), pools, tuned)


def _result(
    context: Context,
    callers: Sequence[HonestResult],
    parts: Sequence[SweepPart],
    pools: dict[str, Any],
    tuned: frozenset[str],
) -> dict[str, Any]:
    limits = context.settings.thresholds
    result: dict[str, Any] = {
        "honest": figures(callers),
        "sweeps": {part.name: part.figures for part in parts},
        "baselines": baseline_results(callers, parts, limits, context.baselines),
        "ablations": ablation_results(callers, parts),
        "dilution": {
            part.name: {"class": part.figures["class"], **part.dilution} for part in parts
        },
        "pools": pools,
        "slowed": slowed_shares(parts, tuned),
        "speed": added_time(context),
    }
    return {**result, "goals": goals(result, crossed=bool(context.settings.folds))}


def _with_honest_sample(settings: Settings, honest: Sequence[Entry]) -> Settings:
    """Add cover traffic, and the honest prompts known to baselines: some of every corpus."""
    cover: list[tuple[tuple[Prompt, ...], str]] = []
    known: list[Prompt] = []
    for entry in honest:
        if entry.kind not in STRICT:
            continue
        corpus = read(entry)
        callers = identities(corpus)
        if callers:
            longest = max(callers, key=lambda caller: len(caller.prompts))
            cover.append((longest.prompts, corpus.template))
            known += _some([p for caller in callers for p in caller.prompts], settings.size.known)
    pool = Context(settings).vectors.of(known)
    return replace(settings, cover=tuple(cover), pool=np.ascontiguousarray(pool))


def _some(prompts: Sequence[Prompt], limit: int) -> list[Prompt]:
    return [prompts[n * len(prompts) // limit] for n in range(min(limit, len(prompts)))]


def _spread(
    part: Callable[[Settings, Entry], _R],
    settings: Settings,
    entries: Sequence[Entry],
    jobs: int,
    title: str,
) -> list[_R]:
    ordered = sorted(entries, key=lambda entry: -entry.prompts)
    found: list[_R] = []
    with bar(title, sum(entry.prompts for entry in ordered)) as advance:
        if jobs == 1:
            for entry in ordered:
                found.append(part(settings, entry))
                advance(entry.prompts, entry.name)
            return found
        os.environ.update((name, "1") for name in _THREADS)
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            running = {pool.submit(part, settings, entry): entry for entry in ordered}
            for done in as_completed(running):
                found.append(done.result())
                advance(running[done].prompts, running[done].name)
    return found


def _named_pools(settings: Settings, entry: Entry) -> tuple[str, dict[str, Any]]:
    return entry.name, sweep_pools(settings, entry)


def _flat(parts: Sequence[Sequence[HonestResult]]) -> list[HonestResult]:
    return sorted((one for part in parts for one in part), key=lambda one: one.name)
