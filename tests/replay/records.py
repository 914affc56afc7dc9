"""Made-up records of a traffic log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from querybudget.adapters.base import Usage
from querybudget.policy.load import load_text
from querybudget.policy.model import Policy
from querybudget.traffic.record import TrafficRecord
from querybudget.units import SECOND

START = 1_767_225_600_000_000


def record(seconds: float = 0, identity: str = "a", **members: Any) -> TrafficRecord:
    usual: dict[str, Any] = {
        "source": "api_key",
        "path": "/v1/chat/completions",
        "operation": "chat",
        "model": "m",
        "input_bytes": 40,
        "usage": Usage(10, 0, 0, 20),
        "status": 200,
    }
    at = START + round(seconds * SECOND)
    return TrafficRecord(at=at, identity=identity, **{**usual, **members})


def policy(*budgets: str, more: str = "") -> Policy:
    lines = "\n".join(f"  - {budget}" for budget in budgets)
    return load_text(f"version: 1\n{more}\nbudgets:\n{lines}\n", "p.yaml")


def traffic(seed: int, callers: int, calls: int) -> Iterator[TrafficRecord]:
    """Calls of callers of whom a few do much more than the others."""
    chance = random.Random(seed)
    rates = [chance.paretovariate(1.5) for _ in range(callers)]
    for number in range(callers + calls):
        caller = number if number < callers else chance.choices(range(callers), rates)[0]
        output = int(chance.lognormvariate(4, 1)) + 1
        yield record(
            number * 0.5,
            f"{caller:032x}",
            input_bytes=int(chance.lognormvariate(5, 1)),
            usage=Usage(50, 0, 0, output),
            duration=output * 20_000,
        )
