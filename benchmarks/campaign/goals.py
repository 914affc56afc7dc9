"""Goals of campaigns, beside what was measured.

Each goal is `{"goal", "wanted", "measured", "met"}`; `met` is None if it was not measured. Some
have `"oracle"`: what an oracle reaches that knows at an account's first look whether it sweeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["goals"]

Result = Mapping[str, Any]
Row = dict[str, Any]

NEVER = "never"


def goals(found: Result) -> list[Row]:
    """Return every goal, in the order of the report.

    Args:
        found: Scenario to its figures.
    """
    return [
        *_shares(found),
        *_account_days(found),
        _replacements(found.get("replaced")),
        *_linking(found),
        *_honest(found),
    ]


def _shares(found: Result) -> Iterable[Row]:
    wanted = {
        **{f"{one}_shared": 0.01 for one in ("organisation", "network", "payment")},
        **{f"template_{one}": 0.05 for one in ("same", "word", "date", "paraphrase")},
        "nothing_shared": 0.1,
    }
    for name, most in wanted.items():
        one = found.get(name)
        share = one and one["share_of_corpus"]
        row = _row(f"share obtained, {_words(name)}", f"at most {most:.0%}", share, most=most)
        yield row | _oracle(one, "share_of_corpus")


def _account_days(found: Result) -> Iterable[Row]:
    wanted = {"nothing_shared": 20, "nothing_shared_2_percent": 5, "topic_each": 5}
    for name, least in wanted.items():
        goal = f"account-days to 90 %, {_words(name)}, over the undefended"
        one = found.get(name)
        if one is not None and one["account_days_multiplier"] is None:
            row = {"goal": goal, "wanted": f"at least {least}", "measured": NEVER, "met": True}
        else:
            times = one and one["account_days_multiplier"]
            row = _row(goal, f"at least {least}", times, least=least)
        yield row | _oracle(one, "account_days_multiplier")


def _oracle(one: Result | None, member: str) -> Row:
    found = one.get("oracle") if one else None
    return {"oracle": found[member]} if found else {}


def _replacements(one: Result | None) -> Row:
    replaced = one["replacements"] if one else None
    held: float | None = replaced["held"] if replaced else None
    return _row("replacements linked or held", "at least 80%", held, least=0.8)


def _linking(found: Result) -> Iterable[Row]:
    shared = [found[name] for name in ("template_word", "template_paraphrase") if name in found]
    precision = [one["precision"] for one in shared if one["precision"] is not None]
    yield _row("precision of links", "at least 0.99", min(precision, default=None), least=0.99)
    groups = [one["largest_wrong_group"] for one in found.values()]
    worst = max((one for one in groups if one is not None), default=None)
    yield _row("members of the largest wrong group", "at most 3", worst, most=3)


def _honest(found: Result) -> Iterable[Row]:
    for member, most, who in (
        ("honest_disturbed", 0.01, "established callers"),
        ("honest_newcomers_disturbed", 0.03, "newcomers"),
    ):
        shares = [one[member] for one in found.values() if one[member] is not None]
        worst = max(shares, default=None)
        goal = f"honest {who} disturbed, the worst campaign"
        yield _row(goal, f"at most {most:.0%}", worst, most=most)
    refused = sum(one["honest_refused"] for one in found.values()) if found else None
    yield _row("honest callers refused on any evidence, in all campaigns", "0", refused, most=0)


def _row(
    goal: str,
    wanted: str,
    measured: float | None,
    *,
    most: float | None = None,
    least: float | None = None,
) -> Row:
    met = None
    if measured is not None:
        met = (most is None or measured <= most) and (least is None or measured >= least)
    return {"goal": goal, "wanted": wanted, "measured": measured, "met": met}


def _words(name: str) -> str:
    return name.replace("_", " ").replace("2 percent", "2 % of newcomers")
