"""The figures of one scenario."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from benchmarks.campaign.oracle import left_by_oracle
from benchmarks.campaign.people import Caller
from benchmarks.campaign.scenarios import POPULAR, Scenario
from benchmarks.campaign.sweepers import Used, span_of
from benchmarks.campaign.undefended import WANTED, account_days_undefended, share_undefended
from benchmarks.campaign.world import Happened
from benchmarks.sweep.figures import interval, share
from benchmarks.sweep.timing import BEGIN, DAY
from querybudget.units import SECOND

__all__ = ["outcome"]

MANY = 10
"""Callers of a corpus from which on its share is shown among the worst."""

HELD = 0.5
"""A replacement is held if it is disturbed, and obtains on its first day at most this share of what
an account obtains in a day without any limit."""


def outcome(happened: Happened) -> dict[str, Any]:
    """Return the figures of a scenario, as docs/research.md defines them."""
    scenario = happened.scenario
    used = [one for place in happened.places for one in place.used if one.begun]
    total, times = scenario.accounts * scenario.each, _times(happened)
    obtained, in_full = len(times), sum(one.in_full for one in used)
    days = _account_days(scenario, used, times)
    usual = account_days_undefended(scenario)
    return {
        "accounts": round(scenario.accounts * scenario.stands_for),
        "accounts_used": round(len(used) * scenario.stands_for),
        "prompts": round(total * scenario.stands_for),
        "obtained": round(obtained * scenario.stands_for),
        "share_of_corpus": share(obtained, total),
        "share_in_full_at_any_price": share(in_full, total),
        "share_by_day": _by_day(scenario, times, total),
        "account_days_to_90_percent": days and round(days),
        "accounts_for_90_percent": _accounts_needed(scenario, obtained, total, len(used)),
        "undefended": {
            "share_of_corpus": share_undefended(scenario)[-1],
            "share_by_day": share_undefended(scenario),
            "account_days_to_90_percent": round(usual),
            "accounts_for_90_percent": round(WANTED * scenario.accounts * scenario.stands_for),
        },
        "account_days_multiplier": days and round(days / usual, 1),
        "oracle": left_by_oracle(scenario, happened.looks) if happened.looks else None,
        "accounts_disturbed": share(sum(one.disturbed > 0 for one in used), len(used)),
        **_links(happened, {one.account.name for one in used}),
        "time_to_first_slow_s": _first_slow(happened),
        "replacements": _replacements(used, happened.groups or {}, scenario.per_day),
        **_honest(happened.honest),
        "simulated": _simulated(happened),
    }


def _times(happened: Happened) -> list[int]:
    return sorted(at for place in happened.places for at in place.times)


def _by_day(scenario: Scenario, times: Sequence[int], total: int) -> list[float]:
    return [
        share(sum(at < BEGIN + day * DAY for at in times), total)
        for day in range(1, scenario.days + 1)
    ]


def _account_days(scenario: Scenario, used: Sequence[Used], times: Sequence[int]) -> float | None:
    """Return the account-days to nine tenths, by the cheaper of two ways; None if nothing works.

    A sweeper goes on with the same accounts, or ends the campaign when it has paid best, and begins
    anew with fresh ones that obtain as much.
    """
    wanted = round(WANTED * scenario.accounts * scenario.each)
    ways = [_by_going_on(scenario, used, times, wanted), _by_fresh_accounts(used, times, wanted)]
    found = [days for days in ways if days is not None]
    return min(found) * scenario.stands_for if found else None


def _by_going_on(
    scenario: Scenario, used: Sequence[Used], times: Sequence[int], wanted: int
) -> float | None:
    """Return the account-days; beyond the last, at what one of the later half obtained."""
    if len(times) >= wanted:
        return _spent(used, times[max(0, wanted - 1)])
    half, end = BEGIN + scenario.days * DAY // 2, BEGIN + scenario.days * DAY
    late, whole = sum(at >= half for at in times), _spent(used, end)
    if not late:
        return None
    a_day = late / max(1.0, whole - _spent(used, half))
    return whole + (wanted - len(times)) / a_day


def _by_fresh_accounts(used: Sequence[Used], times: Sequence[int], wanted: int) -> float | None:
    """Return the account-days at the best average that any moment of the campaign has."""
    moments = [BEGIN + step * DAY // 4 for step in range(4, 4 * 45)]
    costs = [
        _spent(used, moment) / obtained * wanted
        for moment in moments
        if (obtained := bisect_right(times, moment)) and moment <= times[-1] + DAY
    ]
    return min(costs, default=None)


def _spent(used: Iterable[Used], until: int) -> float:
    return sum(span_of(one, until) for one in used)


def _accounts_needed(scenario: Scenario, obtained: int, total: int, used: int) -> int | None:
    """Return the accounts that obtain nine tenths if each obtains what these did on average."""
    if not obtained:
        return None
    return round(WANTED * total / (obtained / used) * scenario.stands_for)


def _first_slow(happened: Happened) -> int | None:
    first = happened.first_disturbed
    return (first - BEGIN) // SECOND if first else None


def _links(happened: Happened, campaign: Collection[str]) -> dict[str, Any]:
    """Return how many accounts were linked, and how many of them are the campaign's."""
    groups = happened.groups
    if groups is None:
        return dict.fromkeys(("accounts_linked", "precision", "recall", "largest_wrong_group"))
    right = sum(name in campaign for name in groups)
    wrong = Counter(group for name, group in groups.items() if name not in campaign)
    return {
        "accounts_linked": round(len(groups) * happened.scenario.stands_for),
        "precision": share(right, len(groups)) if groups else None,
        "recall": share(right, len(campaign)),
        "largest_wrong_group": max(wrong.values(), default=0),
    }


def _replacements(
    used: Sequence[Used], groups: Collection[str], per_day: float
) -> dict[str, Any] | None:
    later = [one for one in used if one.replaces]
    if not later:
        return None
    linked = sum(one.account.name in groups for one in later)
    held = sum(_held(one, per_day) or one.account.name in groups for one in later)
    return {
        "accounts": len(later),
        "linked": share(linked, len(later)),
        "held": share(held, len(later)),
        "obtained_each": round(sum(one.obtained for one in later) / len(later), 1),
    }


def _held(used: Used, per_day: float) -> bool:
    return used.disturbed > 0 and used.first_day[1] <= HELD * per_day


def _honest(honest: Sequence[Caller]) -> dict[str, Any]:
    sides = {side: [one for one in honest if one.side == side] for side in _sides(honest)}
    found = {side: _disturbance(callers) for side, callers in sides.items()}
    old, new = found.get("established"), found.get("newcomers")
    return {
        "honest_disturbed": old and old["disturbed"],
        "honest_newcomers_disturbed": new and new["disturbed"],
        "honest_refused": sum(one.refused for one in honest),
        "honest": found,
        "worst_sources": _worst(honest),
    }


def _sides(honest: Sequence[Caller]) -> list[str]:
    return sorted({one.side for one in honest})


def _disturbance(callers: Sequence[Caller]) -> dict[str, Any]:
    asking = [one for one in callers if one.asked]
    hits = sum(one.disturbed for one in asking)
    return {
        "callers": len(asking),
        "disturbed": share(hits, len(asking)),
        "disturbed_95": interval(hits, len(asking)),
        "refused": share(sum(one.refused for one in asking), len(asking)),
    }


def _worst(honest: Sequence[Caller]) -> dict[str, float]:
    of: dict[str, list[bool]] = {}
    for one in honest:
        of.setdefault(one.corpus, []).append(one.disturbed)
    shares = {name: share(sum(hits), len(hits)) for name, hits in of.items() if len(hits) >= MANY}
    worst = sorted(shares, key=lambda name: -shares[name])[:5]
    return {name: shares[name] for name in worst if shares[name]}


def _simulated(happened: Happened) -> dict[str, Any]:
    """Return how much was simulated, and what is extrapolated from it."""
    scenario = happened.scenario
    said: list[str] = []
    if scenario.stands_for > 1:
        said.append(
            f"each account and each honest caller stands for {scenario.stands_for:g}: sums are"
            " scaled, and groups are that much smaller than they would be"
        )
    popular = sum(one.side == "popular client" for one in happened.honest)
    if popular:
        said.append(f"a popular client has {popular:,} users here, for {POPULAR:,}")
    said.append(
        "account_days_to_90_percent, where less is obtained: the same accounts go on at what an"
        " account-day of the later half obtained, or fresh ones obtain what these did until the"
        " best moment, whichever is cheaper; accounts_for_90_percent, at the average of all"
    )
    return {
        "accounts": scenario.accounts,
        "calls": happened.calls,
        "days": scenario.days,
        "extrapolated": said,
    }
