"""Goals of coverage budgets, beside what was measured.

Each goal is `{"goal", "wanted", "measured", "met"}`; `met` is None if nothing could be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.sweep.figures import NEVER, median_of
from benchmarks.sweep.result import MANY
from benchmarks.sweep.tricks import TRICKS

__all__ = ["goals"]

Result = Mapping[str, Any]
Row = dict[str, Any]

STATE_BYTES = 2_048


def goals(result: Result) -> list[Row]:
    """Return every goal, in the order of the report."""
    return [
        *_honest(result["honest"]["strict"], result["sources"]),
        *_several(result["applications"]),
        *_groups(result["groups"]),
        *_working(result["ways"]),
        *_slowed(result["slowed"]),
        *_tricks(result["tricks"], result["sweeps"]),
        _plain(result["sweeps"]),
        *_crowds(result["crowds"]["median_broad"], result["sweeps"]),
        *_speed(result["speed"]),
        *_baselines(result),
    ]


def _at_most(goal: str, most: float, found: float | None, possible: float | None = None) -> Row:
    """Return a goal; it says nothing if no more than `most` was possible."""
    met = None if found is None or (possible or most + 1) <= most else found <= most
    return {"goal": goal, "wanted": f"at most {most:g}", "measured": found, "met": met}


def _at_least(goal: str, least: float, found: float | None) -> Row:
    met = None if found is None else found >= least
    return {"goal": goal, "wanted": f"at least {least:g}", "measured": found, "met": met}


def _honest(strict: Result, sources: Result) -> Iterable[Row]:
    yield _at_most("honest persons and apps disturbed", 0.01, strict["disturbed"])
    yield _at_most("honest persons and apps refused", 0.001, strict["refused"])
    large = [one["disturbed"] for one in sources.values() if one["identities"] >= MANY]
    worst = max(large, default=None)
    yield _at_most(f"the worst source of {MANY} or more identities", 0.1, worst)


def _several(applications: Result) -> Iterable[Row]:
    for number in ("2", "3"):
        for own, words in (("own", "own system prompts"), ("none", "no system prompt")):
            one = applications.get(f"{number} {own}", {})
            found = one.get("disturbed") if one.get("keys") else None
            yield _at_most(f"keys with {number} applications, {words}, disturbed", 0.02, found)


def _groups(groups: Result) -> Iterable[Row]:
    for kind, sizes in groups.items():
        of = sum(one["groups"] for one in sizes.values())
        found = round(sum(one["slowed"] for one in sizes.values()) / of, 4) if of else None
        yield _at_most(f"honest groups of any size slowed as pools, {kind}", 0.01, found)


def _working(ways: Result) -> Iterable[Row]:
    of = sum(one["callers"] for one in ways.values())
    hits = sum(one["disturbed"] * one["callers"] for one in ways.values())
    found = round(hits / of, 4) if of else None
    yield _at_most("honest callers of all ways of working disturbed", 0.01, found)


def _slowed(slowed: Result) -> Iterable[Row]:
    wanted = {"broad": {"50": 0.85, "100": 0.95, "200": 1.0}, "narrow": {"200": 0.4, "1000": 0.75}}
    for kind, bounds in wanted.items():
        one = slowed[kind]["unseen"]
        for bound, least in bounds.items():
            found = one["within"][bound] if one["sweeps"] else None
            yield _at_least(f"{kind} sweeps slowed within {bound}", least, found)
    found = [one["within"]["200"] for one in slowed["broad"]["by_language"].values()]
    worst = min(found, default=None)
    yield _at_least("broad sweeps slowed within 200, the worst language", 1.0, worst)


def _tricks(tricks: Result, sweeps: Result) -> Iterable[Row]:
    possible = _wanted(sweeps.values())
    for name, one in tricks.items():
        most = 300 if TRICKS[name].covers else 150
        goal = f"obtained by trick {name}, median broad sweep"
        yield _at_most(goal, most, one["median_broad"], possible)


def _wanted(sweeps: Iterable[Result]) -> float | None:
    return median_of([one["wanted"] for one in sweeps])


def _plain(sweeps: Result) -> Row:
    taken = [one["obtained"]["random"]["1"] for one in _broad(sweeps)]
    return _at_most("obtained by one account in 30 days, median broad sweep", 50, median_of(taken))


def _crowds(crowds: Result, sweeps: Result) -> Iterable[Row]:
    possible = _wanted(_broad(sweeps))
    for way, one in crowds.items():
        goal = f"obtained by accounts of 15 calls, {way.replace('_', ' ')}, median broad sweep"
        yield _at_most(goal, 600, one["obtained"], possible)


def _speed(speed: Result) -> Iterable[Row]:
    yield _at_most("µs added to a call of 1 KB never seen", 200, speed["added_us"])
    conversation = speed["added_us_conversation"]
    yield _at_most("µs added to a 100 KB conversation of which 1 KB is new", 400, conversation)
    yield _at_most("bytes of an identity's state, packed", STATE_BYTES, speed["state_bytes"])


def _baselines(result: Result) -> Iterable[Row]:
    ours = _standing(result["sweeps"])
    for name, baseline in result["baselines"].items():
        theirs = _standing(baseline["sweeps"])
        better = ours[0] > theirs[0] and ours[1] >= theirs[1] and ours[2] < theirs[2]
        yield {
            "goal": f"{name} beaten at equal disturbance",
            "wanted": f"above {theirs[0]:.3f} broad within 200, at least {theirs[1]:.3f} narrow"
            f" within 1,000, below {theirs[2]:.0f} obtained",
            "measured": f"{ours[0]:.3f}, {ours[1]:.3f}, {ours[2]:.0f}",
            "met": better,
        }


def _standing(sweeps: Result) -> tuple[float, float, float]:
    def mean(kind: str, bound: str, of: Callable[[Result], Any]) -> float:
        found = [of(one)[bound] for one in sweeps.values() if one["class"] == kind]
        return sum(found) / len(found) if found else 0.0

    taken = median_of([one["obtained"]["random"]["1"] for one in _broad(sweeps)])
    broad = mean("broad", "200", lambda one: one["slowed_within"])
    narrow = mean("narrow", "1000", lambda one: one["slowed_within"])
    return broad, narrow, NEVER if taken is None else taken


def _broad(sweeps: Result) -> list[Result]:
    return [one for one in sweeps.values() if one["class"] == "broad"]
