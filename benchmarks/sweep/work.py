"""The order of the work, and how it is spread over processes.

Honest corpora come first: the baselines' thresholds are set on them. Then every sweep, then pools.
A task is one corpus, the largest first, so that the last ones are short.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np

from benchmarks.sweep.bench import Bench, Settings
from benchmarks.sweep.corpora import Entry, Prompt, identities, manifest, read
from benchmarks.sweep.goals import goals
from benchmarks.sweep.honest import Honest, figures, honest_part
from benchmarks.sweep.judge import STRICT, thresholds
from benchmarks.sweep.pools import honest_pools, sweep_pools
from benchmarks.sweep.progress import bar
from benchmarks.sweep.result import ablated, judged, slowed
from benchmarks.sweep.speed import added
from benchmarks.sweep.sweeps import SweepPart, sweep_part

__all__ = ["everything"]

_R = TypeVar("_R")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Processes share the cores: the linear algebra of each must not take all of them."""


def everything(settings: Settings, jobs: int, tuned: frozenset[str]) -> dict[str, Any]:
    """Run all experiments.

    Args:
        settings: Corpora, policy, size.
        jobs: Processes.
        tuned: Names of the corpora that the shipped calibration was fitted on.

    Returns:
        The result but for ``meta``.
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
    return _result(Bench(settings), callers, sorted(parts, key=lambda p: p.name), pools, tuned)


def _result(
    bench: Bench,
    callers: Sequence[Honest],
    parts: Sequence[SweepPart],
    pools: dict[str, Any],
    tuned: frozenset[str],
) -> dict[str, Any]:
    limits = bench.settings.thresholds
    result: dict[str, Any] = {
        "honest": figures(callers),
        "sweeps": {part.name: part.figures for part in parts},
        "baselines": judged(callers, parts, limits, bench.baselines),
        "ablations": ablated(callers, parts),
        "dilution": {
            part.name: {"class": part.figures["class"], **part.dilution} for part in parts
        },
        "pools": pools,
        "slowed": slowed(parts, tuned),
        "speed": added(bench),
    }
    return {**result, "goals": goals(result, crossed=bool(bench.settings.folds))}


def _with_honest_sample(settings: Settings, honest: Sequence[Entry]) -> Settings:
    """Cover traffic, and what baselines may know of honest traffic: some of every corpus."""
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
    pool = Bench(settings).vectors.of(known)
    return replace(settings, cover=tuple(cover), pool=np.ascontiguousarray(pool))


def _some(prompts: Sequence[Prompt], most: int) -> list[Prompt]:
    return [prompts[n * len(prompts) // most] for n in range(min(most, len(prompts)))]


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


def _flat(parts: Sequence[Sequence[Honest]]) -> list[Honest]:
    return sorted((one for part in parts for one in part), key=lambda one: one.name)
