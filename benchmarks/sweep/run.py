"""Runs the experiments in order, over several processes.

Honest callers come first, because the baselines' thresholds are set on them; then sweeps. A task is
one experiment on one corpus, the longest first, so that the last ones are short.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks.sweep.context import Context, Cover, Settings
from benchmarks.sweep.corpora import Entry, Prompt, identities, manifest, read
from benchmarks.sweep.deployment import one_deployment
from benchmarks.sweep.goals import goals
from benchmarks.sweep.groups import KINDS as GROUPS
from benchmarks.sweep.groups import honest_groups
from benchmarks.sweep.honest import STRICT, HonestResult, honest_part
from benchmarks.sweep.progress import bar
from benchmarks.sweep.result import (
    ablation_results,
    baseline_results,
    crowd_results,
    honest_results,
    slowed_shares,
    source_results,
)
from benchmarks.sweep.several import several_applications, thin_accounts, thin_shares
from benchmarks.sweep.speed import added_time
from benchmarks.sweep.sweeps import SweepPart, sweep_part
from benchmarks.sweep.thresholds import thresholds
from benchmarks.sweep.trials import crowd_part, trick_part, trick_table
from benchmarks.sweep.ways import way_shares, ways_of_working

__all__ = ["THREADS", "run_all"]

THREADS = ("OMP_NUMTHREADS", "OPENBLAS_NUMTHREADS", "MKL_NUMTHREADS")
"""Set to 1: processes share the cores, so the linear algebra of each must not use them all."""

COVER = 400
"""Prompts of each honest corpus that serve as cover, documents and answers."""

TOGETHER = 30
"""Tricks of a task: they share the vectors of a sweep's prompts."""


@dataclass(frozen=True)
class Task:
    """One experiment on one corpus.

    Attributes:
        experiment: Its name.
        label: What is shown when it is done.
        work: Its length, in calls, roughly.
        run: Does it, given the settings.
    """

    experiment: str
    label: str
    work: int
    run: Callable[[Settings], Any]


def run_all(settings: Settings, jobs: int) -> dict[str, Any]:
    """Run all experiments.

    Args:
        settings: Corpora, policy, size.
        jobs: Processes.

    Returns:
        The result without ``meta``.
    """
    entries = manifest(settings.corpora)
    honest = [entry for entry in entries if entry.honest]
    sweeps = [entry for entry in entries if not entry.honest]
    settings = _with_honest_sample(settings, honest)
    found = _run(_honest_tasks(settings, honest), settings, jobs, "honest callers")
    callers = sorted(_flat(found["honest"]), key=lambda one: one.name)
    settings = replace(settings, thresholds=thresholds(callers))
    found |= _run(_sweep_tasks(settings, sweeps), settings, jobs, "sweeps")
    found["thin"] = found.get("thin honest", []) + found.get("thin sweeps", [])
    return _result(Context(settings), callers, sweeps, found)


def _honest_tasks(settings: Settings, honest: Sequence[Entry]) -> list[Task]:
    size = settings.size
    tasks: list[Task] = []
    for entry in honest:
        name, work = entry.name, min(entry.prompts, size.identities * size.prompts)
        tasks.append(Task("honest", name, 2 * work, partial(honest_part, entry=entry)))
        if entry.kind in STRICT:
            working = partial(ways_of_working, entry=entry)
            tasks.append(Task("ways", f"{name}, at work", 30 * size.working[1], working))
            tasks.append(
                Task("thin honest", f"{name}, thin", 500, partial(thin_accounts, entry=entry))
            )
    whole = partial(one_deployment, entries=manifest(settings.corpora))
    work = 2 * len(honest) * size.deployed[0] * size.deployed[1]
    tasks.append(Task("deployment", "one deployment", work, whole))
    many = partial(several_applications, entries=honest)
    tasks.append(
        Task("applications", "several applications", size.mixes[0] * size.mixes[1] * 15, many)
    )
    for kind in GROUPS:
        groups = partial(honest_groups, entries=honest, kind=kind)
        tasks.append(Task(f"groups {kind}", f"groups, {kind}", size.pools * 10_000, groups))
    return tasks


def _sweep_tasks(settings: Settings, sweeps: Sequence[Entry]) -> list[Task]:
    tasks: list[Task] = []
    names = settings.size.tricks
    for entry in sweeps:
        name, work = entry.name, min(entry.prompts, settings.size.wanted[entry.kind != "broad"])
        tasks.append(Task("sweeps", name, 20 * work, partial(sweep_part, entry=entry)))
        if entry.kind == "broad":
            crowds = partial(crowd_part, entry=entry)
            tasks.append(Task("crowds", f"{name}, crowds", 8 * work, crowds))
        tasks.append(Task("thin sweeps", f"{name}, thin", 500, partial(thin_accounts, entry=entry)))
        for begin in range(0, len(names), TOGETHER):
            some = names[begin : begin + TOGETHER]
            tricks = partial(trick_part, entry=entry, names=some)
            tasks.append(Task("tricks", f"{name}, tricks", len(some) * work, tricks))
    return tasks


def _result(
    context: Context,
    callers: Sequence[HonestResult],
    sweeps: Sequence[Entry],
    found: dict[str, list[Any]],
) -> dict[str, Any]:
    limits = context.settings.thresholds
    parts: list[SweepPart] = sorted(found["sweeps"], key=lambda part: part.name)
    kinds = {entry.name: entry.kind for entry in sweeps}
    result: dict[str, Any] = {
        "honest": honest_results(callers),
        "sources": source_results(callers),
        "applications": found["applications"][0],
        "groups": {kind: found[f"groups {kind}"][0] for kind in GROUPS},
        "deployment": found["deployment"][0],
        "thin": thin_shares(found["thin"]),
        "ways": way_shares(found.get("ways", [])),
        "slowed": slowed_shares(parts),
        "sweeps": {part.name: part.figures for part in parts},
        "tricks": trick_table(found.get("tricks", []), kinds),
        "crowds": crowd_results(found.get("crowds", [])),
        "baselines": baseline_results(callers, parts, limits, context.baselines),
        "ablations": ablation_results(callers, parts),
        "speed": added_time(context),
    }
    return {"goals": goals(result), **result}


def _with_honest_sample(settings: Settings, honest: Sequence[Entry]) -> Settings:
    """Add cover traffic, and the honest prompts known to baselines: some of every corpus."""
    cover: list[Cover] = []
    known: list[Prompt] = []
    for entry in honest:
        if entry.kind not in STRICT:
            continue
        corpus = read(entry)
        callers = identities(corpus)
        if callers:
            longest = max(callers, key=lambda caller: len(caller.prompts))
            texts = tuple(prompt.text for prompt in longest.prompts[:COVER])
            cover.append(Cover(entry.kind, texts, corpus.template, entry.sources))
            known += _some([p for caller in callers for p in caller.prompts], settings.size.known)
    pool = Context(settings).vectors.of(known)
    return replace(settings, cover=tuple(cover), pool=np.ascontiguousarray(pool))


def _some(prompts: Sequence[Prompt], limit: int) -> list[Prompt]:
    return [prompts[n * len(prompts) // limit] for n in range(min(limit, len(prompts)))]


def _run(tasks: Sequence[Task], settings: Settings, jobs: int, title: str) -> dict[str, list[Any]]:
    """Run tasks, the longest first, and return what they found by experiment."""
    ordered = sorted(tasks, key=lambda task: -task.work)
    found: dict[str, list[Any]] = {}
    with bar(title, sum(task.work for task in ordered)) as advance:
        if jobs == 1:
            for task in ordered:
                found.setdefault(task.experiment, []).append(task.run(settings))
                advance(task.work, task.label)
            return found
        os.environ.update((name, "1") for name in THREADS)
        spawn = get_context("spawn")
        with ProcessPoolExecutor(jobs, spawn, _keep_settings, (settings,)) as pool:
            running = {pool.submit(_run_kept, task.run): task for task in ordered}
            for done in as_completed(running):
                task = running[done]
                found.setdefault(task.experiment, []).append(done.result())
                advance(task.work, task.label)
    return found


_kept: dict[str, Settings] = {}


def _keep_settings(settings: Settings) -> None:
    """Keep the settings in a process: they are large, and the same for every task."""
    _kept["settings"] = settings


def _run_kept(run: Callable[[Settings], Any]) -> Any:  # noqa: ANN401 - the result of any experiment
    return run(_kept["settings"])


def _flat(parts: Sequence[Sequence[HonestResult]]) -> list[HonestResult]:
    return [one for part in parts for one in part]
