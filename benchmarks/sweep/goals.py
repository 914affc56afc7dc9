"""Goals of the policy, beside what was measured.

Each goal is `{"goal", "wanted", "measured", "met"}`; `met` is None if nothing could be measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.sweep.figures import NEVER, median_of

__all__ = ["goals"]

Result = Mapping[str, Any]


def goals(result: Result, *, crossed: bool) -> list[dict[str, Any]]:
    """Return every goal, in the order of the report.

    Args:
        result: The result without the goals.
        crossed: Whether each corpus was scored with a fit that had not seen it.
    """
    slowed = result["slowed"]
    apart, own = slowed["broad"]["held_out"], slowed["broad"]["tuned"]
    return [
        _honest(result["honest"]),
        *(
            _within("broad sweeps, in cross-validation,", apart, _OWN)
            if crossed
            else [
                *_within("broad sweeps of held-out corpora", apart, _OTHERS),
                *_within("broad sweeps of corpora tuned on, in-sample,", own, _OWN),
            ]
        ),
        *_narrow(slowed["narrow"]),
        _obtained(result["sweeps"]),
        _cost(result["sweeps"]),
        *_cover(result["dilution"]),
        _languages(slowed["broad_by_language"]),
        *_baselines(result),
        _speed(result["speed"]),
    ]


_OTHERS = {"50": 0.95, "100": 0.98, "200": 1.0}
_OWN = {"50": 0.60, "100": 0.80, "200": 0.95}


def _goal(goal: str, wanted: str, measured: Any, met: bool | None) -> dict[str, Any]:  # noqa: ANN401, FBT001 - a figure of any kind, and its verdict
    return {"goal": goal, "wanted": wanted, "measured": measured, "met": met}


def _honest(honest: Result) -> dict[str, Any]:
    of = sum(honest[kind]["identities"] for kind in ("person", "app"))
    hits = sum(honest[k]["disturbed"] * honest[k]["identities"] for k in ("person", "app"))
    found = round(hits / of, 4) if of else None
    met = None if found is None else found <= 0.01
    return _goal("honest persons and apps ever disturbed", "at most 0.01", found, met)


def _within(what: str, shares: Result, wanted: Mapping[str, float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for bound, least in wanted.items():
        found = shares["within"].get(bound) if shares["sweeps"] else None
        met = None if found is None else found >= least
        rows.append(_goal(f"{what} slowed within {bound}", f"at least {least}", found, met))
    return rows


def _narrow(shares: Result) -> list[dict[str, Any]]:
    wanted = {"200": 0.40, "1000": 0.75}
    if shares["held_out"]["sweeps"]:
        return _within("narrow sweeps of held-out corpora", shares["held_out"], wanted)
    return _within("narrow sweeps, in-sample,", shares["tuned"], wanted)


def _broad(sweeps: Result) -> list[Result]:
    return [one for one in sweeps.values() if one["class"] == "broad"]


def _obtained(sweeps: Result) -> dict[str, Any]:
    found = median_of([one["obtained"]["random"]["1"] for one in _broad(sweeps)])
    met = None if found is None else found <= 120
    return _goal("prompts one account obtains, median broad sweep", "at most 120", found, met)


def _cost(sweeps: Result) -> dict[str, Any]:
    costs = [one["cost_multiplier"] for one in _broad(sweeps)]
    found = median_of(costs)
    met = None if found is None else found >= 50
    return _goal("cost multiplier, median broad sweep, one account", "at least 50", found, met)


def _cover(dilution: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for mode in ("own_template", "same_template"):
        draws = [
            NEVER if draw is None else draw
            for sweep in dilution.values()
            if sweep["class"] == "broad"
            for draw in sweep[mode]["90"]["draws"]
        ]
        found = round(sum(draw <= 300 for draw in draws) / len(draws), 3) if draws else None
        met = None if found is None else found >= 0.5
        words = f"draws of broad sweeps slowed within 300 own under 90 % cover, {mode}"
        rows.append(_goal(words, "most: at least 0.5", found, met))
    return rows


def _languages(shares: Result) -> dict[str, Any]:
    english, chinese = shares.get("en"), shares.get("zh")
    words = "broad sweeps in Chinese slowed within 200, less the share of English ones"
    if english is None or chinese is None:
        return _goal(words, "at least -0.1", None, None)
    found = round(chinese["within"]["200"] - english["within"]["200"], 3)
    return _goal(words, "at least -0.1", found, found >= -0.1)


def _baselines(result: Result) -> list[dict[str, Any]]:
    ours = _standing(result["sweeps"])
    rows: list[dict[str, Any]] = []
    for name, baseline in result["baselines"].items():
        theirs = _standing(baseline["sweeps"])
        better = ours[0] > theirs[0] and ours[1] >= theirs[1] and ours[2] < theirs[2]
        rows.append(
            _goal(
                f"{name} beaten at equal disturbance",
                f"above {theirs[0]:.3f} broad within 200, at least {theirs[1]:.3f} narrow within"
                f" 1,000, below {theirs[2]:.0f} obtained",
                f"{ours[0]:.3f}, {ours[1]:.3f}, {ours[2]:.0f}",
                better,
            )
        )
    return rows


def _standing(sweeps: Result) -> tuple[float, float, float]:
    broad, narrow = _broad(sweeps), [s for s in sweeps.values() if s["class"] == "narrow"]
    taken = median_of([one["obtained"]["random"]["1"] for one in broad])
    return _mean(broad, "200"), _mean(narrow, "1000"), NEVER if taken is None else taken


def _mean(sweeps: Sequence[Result], bound: str) -> float:
    shares = [one["slowed_within"][bound] for one in sweeps]
    return sum(shares) / len(shares) if shares else 0.0


def _speed(speed: Result) -> dict[str, Any]:
    found = speed.get("added_us")
    met = None if found is None else found <= 100
    return _goal("µs added to a call of 1 KB never seen", "at most 100", found, met)
