"""How a result was made."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.sweep.context import PER_DAY, Context, Settings
from benchmarks.sweep.corpora import MAX_PROMPTS, MIN_PROMPTS, Entry
from querybudget.policy.model import Policy

__all__ = ["meta", "tuned_corpora"]

TUNED = Path(__file__).parents[2] / "tools/score/corpora.json"


def tuned_corpora() -> frozenset[str]:
    """Return the corpora that the shipped weights were fitted on."""
    return frozenset(json.loads(TUNED.read_bytes()))


def meta(settings: Settings, entries: Sequence[Entry], seconds: float) -> dict[str, Any]:
    """Return versions, sizes, seeds, and the corpora tuned on."""
    tuned = tuned_corpora() - settings.folds.keys()
    context = Context(settings)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "querybudget": version("querybudget"),
        "numpy": version("numpy"),
        "embedding": context.vectors.name,
        "policy": settings.policy.rpartition("/")[2],
        "budgets": _budgets(context.policy),
        "size": asdict(settings.size),
        "per_day": PER_DAY,
        "prompts_of_an_identity": [MIN_PROMPTS, MAX_PROMPTS],
        "seeds": "every draw is seeded by the names of its corpus and experiment",
        "split": {
            "tuned": sorted(entry.name for entry in entries if entry.name in tuned),
            "held_out": sorted(entry.name for entry in entries if entry.name not in tuned),
        },
        "cross_validated": bool(settings.folds),
        "prompts": sum(entry.prompts for entry in entries),
    }


def _budgets(policy: Policy) -> list[str]:
    return [f"{b.name} per {'+'.join(b.per)}" for b in policy.budgets]
