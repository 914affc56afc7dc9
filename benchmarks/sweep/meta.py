"""How a result was made."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.sweep.context import PER_DAY, Context, Settings
from benchmarks.sweep.corpora import MIN_PROMPTS, Entry
from querybudget.policy.model import Policy

__all__ = ["meta", "seen_sources"]

TUNED = Path(__file__).parents[2] / "tools/score/corpora.json"


def seen_sources(entries: Sequence[Entry]) -> frozenset[str]:
    """Return the sources of a folder that the shipped weights were fitted on.

    `tools/score/corpora.json` lists sources, or maps names of corpora to theirs. A manifest without
    sources has none that was seen.
    """
    held = json.loads(TUNED.read_bytes())
    named = {source for entry in entries if entry.name in held for source in entry.sources}
    listed = held if isinstance(held, list) else [s for of in held.values() for s in of]
    every = {source for entry in entries for source in entry.sources}
    return frozenset(named | every.intersection(listed))


def meta(settings: Settings, entries: Sequence[Entry], seconds: float) -> dict[str, Any]:
    """Return versions, sizes, seeds, and the sources that the weights have seen."""
    fits, context = settings.fits, Context(settings)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "querybudget": _version("querybudget"),
        "numpy": version("numpy"),
        "embedding": context.vectors.name,
        "policy": settings.policy.rpartition("/")[2],
        "budgets": _budgets(context.policy),
        "size": asdict(settings.size),
        "per_day": PER_DAY,
        "least_prompts_of_an_identity": MIN_PROMPTS,
        "seeds": "every draw is seeded by the names of its corpus and experiment",
        "corpora": {
            "unseen_by_the_shipped_fit": _names(e for e in entries if not fits.seen & e.sources),
            "scored_by_a_fit_without_their_sources": _names(
                e for e in entries if fits.seen & e.sources and fits.unseen(e.sources)
            ),
            "in_sample": _names(e for e in entries if not fits.unseen(e.sources)),
        },
        "fits": len(fits.fits),
        "prompts": sum(entry.prompts for entry in entries),
    }


def _names(entries: Iterable[Entry]) -> list[str]:
    return sorted(entry.name for entry in entries)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _budgets(policy: Policy) -> list[str]:
    return [f"{b.name} per {'+'.join(b.per)}" for b in policy.budgets]
