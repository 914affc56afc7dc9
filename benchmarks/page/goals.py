"""What was aimed for, and whether the results meet it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Goal", "goals"]

Results = Mapping[str, Mapping[str, Any]]

EVERYTHING, FOUR, ONE = (
    "querybudget, everything on",
    "querybudget, 4 budgets",
    "querybudget, 1 budget",
)
CHAT, PLAIN = "/v1/chat/completions", "/items"


@dataclass(frozen=True)
class Goal:
    """One goal.

    Attributes:
        what: That is measured.
        found: The figure; None if the results do not have it.
        most: The goal.
        unit: Of both.
    """

    what: str
    found: float | None
    most: float
    unit: str

    @property
    def verdict(self) -> str:
        if self.found is None:
            return "not measured"
        return "met" if self.found <= self.most else "**not met**"


def goals(results: Results) -> list[Goal]:
    """Every goal, with what the results say; mostly processor time added."""
    over = results.get("overhead", {})

    def added(case: str, path: str, figure: str = "cpu_added") -> float | None:
        return _added(over, "sequential", case, path, figure)

    def of_peer(case: str) -> float | None:
        ours, peer = added(case, PLAIN), added("asgi-ratelimit", PLAIN)
        return round(ours / peer, 2) if ours is not None and peer else None

    def everything(path: str) -> float | None:
        return added(EVERYTHING, path, "process_added")

    on_redis = f"{EVERYTHING}, Redis"
    return [
        Goal("one budget in requests, with figures", of_peer(ONE), 1.2, "times asgi-ratelimit"),
        Goal("the same without figures", of_peer(f"{ONE}, no figures"), 1, "times asgi-ratelimit"),
        Goal("four budgets, tokens and money metered", added(FOUR, CHAT), 30, "µs"),
        Goal("everything on, 1 KB, cached", everything("1 KB, cached"), 50, "µs"),
        Goal("everything on, 1 KB, never seen", everything("1 KB, never seen"), 100, "µs"),
        Goal("everything on, 100 KB, never seen", everything("100 KB, never seen"), 300, "µs"),
        Goal(
            "everything on, 100 KB of which 1 KB is new", everything("100 KB, 1 KB new"), 200, "µs"
        ),
        Goal("a chunk of a stream", _chunk(over), 0.6, "µs"),
        Goal(
            "four budgets and coverage on Redis, 64 in flight",
            _added(over, "in_flight_64", on_redis, CHAT, "process_added"),
            150,
            "µs",
        ),
        Goal("Redis server time of its reservation", _reserve(results), 20, "µs"),
        Goal(
            "bytes of an identity, 1M in memory, with coverage",
            _table(results, "bytes"),
            1_500,
            "B",
        ),
        Goal("longest stall of the event loop then", _table(results, "stall_ms"), 5, "ms"),
        Goal("a charge of 1M identities beside one of 1,000", _flat(results), 1.5, "times"),
        Goal("admitted beyond the limit, of 100 at once", _worst(over, "over"), 0, ""),
        Goal("charged though refused", _worst(over, "phantom"), 0, ""),
        Goal(
            "import after starlette",
            over.get("import_ms", {}).get("querybudget, after starlette"),
            40,
            "ms",
        ),
    ]


def _added(over: Mapping[str, Any], table: str, case: str, path: str, figure: str) -> float | None:
    found = _one(over.get(table, ()), lambda row: (row["case"], row["path"]) == (case, path))
    return found[figure]["median"] if found and figure in found else None


def _chunk(over: Mapping[str, Any]) -> float | None:
    found = _one(over.get("chunks", ()), lambda row: row["case"] == FOUR)
    return found["added"]["median"] if found else None


def _reserve(results: Results) -> float | None:
    found = _one(
        results.get("stores", {}).get("server", ()),
        lambda row: (
            (row["case"], row["limits"]) == ("Redis", "4 + coverage") and row["in_flight"] > 1
        ),
    )
    return found["reserve"]["median"] if found else None


def _table(results: Results, figure: str) -> float | None:
    rows = results.get("scale", {}).get("identities", ())
    found = _one(rows, lambda row: row["identities"] == 1_000_000)
    return found[figure] if found else None


def _flat(results: Results) -> float | None:
    rows = results.get("scale", {}).get("identities", ())
    us = {row["identities"]: row["us"] for row in rows}
    if 1_000 not in us or 1_000_000 not in us:
        return None
    return round(float(us[1_000_000]) / float(us[1_000]), 2)


def _worst(over: Mapping[str, Any], figure: str) -> float | None:
    rows = over.get("admission", {}).get("querybudget", ())
    found = [row[figure] for row in rows if row[figure] is not None]
    return max(found) if found else None


def _one(rows: Any, fits: Callable[[Any], bool]) -> Any:  # noqa: ANN401 - of a JSON file
    return next((row for row in rows if fits(row)), None)
