"""The population test: who is touched because a group has more suspects than honest members give.

A campaign of thin accounts shows in none of them, and plainly in all of them together. Each member
of a group has, at its latest look, a tail probability: the share of honest newcomers whose evidence
lies as high. If so many members are beyond a tail that honest ones explain only a small part of
them, those beyond it are *touched*, and nobody else is. The part is the false discovery rate of
Benjamini and Hochberg ("Controlling the False Discovery Rate", J. R. Statist. Soc. B 57, 1995),
with p-values in a few bins and the lower end of a confidence interval in place of what is observed.
So a member is touched at a rate at which their procedure rejects it, or not at all.

The shares of honest newcomers are shipped, until a deployment's established callers say otherwise:
each adds, once, the tails that it was in when it was new. That moves a share by a bounded factor,
so neither old accounts of sweepers nor odd honest callers take the test away.
"""

from __future__ import annotations

from collections.abc import Sequence

from querybudget.coverage.fitted import POOL_SHARE, TAIL_SHARES
from querybudget.coverage.group import (
    ALL_TAILS,
    AS_A_WHOLE,
    FEWEST,
    Group,
    lower_bound,
    tail_counts,
    upper_bound,
)
from querybudget.coverage.reason import Touched
from querybudget.coverage.response import SUSPECT_SCORE, Suspects
from querybudget.units import MICRO

SURE_SCORE = 850_000
"""Score of a member that is touched at the share of `Suspects.refuse`; at that of `Suspects.slow`
it is `SUSPECT_SCORE`."""

TWO_KINDS_SCORE = MICRO
"""Score of one that is touched at the share of `Suspects.refuse`, if another kind of evidence
agrees. Nobody else is refused."""

LENIENCY = 2
"""How many times the shipped share a learnt one may be."""

STRICTNESS = 2
"""How many times smaller than the shipped share a learnt one may be."""

ENOUGH = 10
"""Members that have to reach a look before it counts."""

TOGETHER = 2
"""Latest looks of a member that count."""

UNTOUCHED = Touched()


def honest_shares(look: int, learnt: Group | None, callers: int) -> list[float]:
    """Return the shares of honest newcomers beyond each tail at a look.

    Args:
        look: Index in `ALL_TAILS`.
        learnt: Whose `null` has what established callers showed when they were new.
        callers: As many of them as are needed.
    """
    if learnt is None or not learnt.null:
        return list(TAIL_SHARES)
    members, beyond = tail_counts(learnt.null, look)
    if members < callers:
        return list(TAIL_SHARES)
    return [
        _learnt_share(count, members, shipped)
        for count, shipped in zip(beyond, TAIL_SHARES, strict=True)
    ]


def false_shares(group: Group, look: int, shares: Sequence[float]) -> list[float]:
    """Return for each tail the largest likely share of honest among the members beyond it.

    1 where too few members are beyond it to say.
    """
    members, beyond = tail_counts(group.looks, look)
    return [
        min(1.0, share / lower_bound(count, members)) if count >= FEWEST else 1.0
        for count, share in zip(beyond, shares, strict=True)
    ]


def beyond_honest(group: Group, look: int) -> list[bool]:
    """Return for each tail whether more members are beyond it than of any honest application."""
    members, beyond = tail_counts(group.looks, look)
    return [
        count >= FEWEST and lower_bound(count, members) >= share
        for count, share in zip(beyond, POOL_SHARE, strict=True)
    ]


def touched_together(group: Group, now: int) -> Touched:
    """Return whether all members are suspect because their group is as a whole.

    Args:
        group: The group.
        now: µs.
    """
    if group.score(now) < SUSPECT_SCORE:
        return UNTOUCHED
    counts = (tail_counts(group.looks, look) for look in range(len(ALL_TAILS)))
    members, beyond = max(counts, key=lambda one: one[1][AS_A_WHOLE - 1])
    expected = -int(-members * TAIL_SHARES[AS_A_WHOLE - 1] // 1)
    return Touched(SUSPECT_SCORE, expected, beyond[AS_A_WHOLE - 1])


def touched(
    group: Group,
    tails: Sequence[int],
    suspects: Suspects,
    learnt: Group | None = None,
    callers: int = 0,
) -> Touched:
    """Return whether a member is touched, by one kind of evidence.

    Args:
        group: The group.
        tails: `CallerProfile.tails` of the member. The two latest looks count that enough members
            have reached: whoever runs ahead of the others is judged by where it left them, and one
            look that is better than the others gives nobody a free hand until the next.
        suspects: At which shares of honest among those touched.
        learnt: As for `honest_shares`.
        callers: As for `honest_shares`.
    """
    if max(tails, default=0) <= 0:  # as of most callers
        return UNTOUCHED
    found = [
        _touched_at(group, look, tails[look], suspects, honest_shares(look, learnt, callers))
        for look in _latest(group, tails)
        if tails[look] > 0
    ]
    return max(found, key=lambda one: one.score, default=UNTOUCHED)


def _touched_at(
    group: Group, look: int, tail: int, suspects: Suspects, shares: Sequence[float]
) -> Touched:
    """Return whether a member in so many tails at a look is touched.

    Args:
        group: The group.
        look: Index in `ALL_TAILS`.
        tail: In how many tails the member is.
        suspects: As for `touched`.
        shares: Of honest newcomers, beyond each tail.
    """
    rates = false_shares(group, look, shares)[:tail]
    if suspects.alike:
        rates = [
            rate if suspect else 1.0
            for rate, suspect in zip(rates, beyond_honest(group, look), strict=False)
        ]
    lowest = next((n for n, rate in enumerate(rates) if rate * MICRO <= suspects.slow), None)
    if lowest is None:
        return UNTOUCHED
    members, beyond = tail_counts(group.looks, look)
    sure = min(rates) * MICRO <= suspects.refuse
    return Touched(
        SURE_SCORE if sure else SUSPECT_SCORE,
        -int(-members * shares[lowest] // 1),
        beyond[lowest],
    )


def _latest(group: Group, tails: Sequence[int]) -> list[int]:
    """Return the latest looks of a member that enough others have reached, `TOGETHER` at most."""
    counted: list[int] = []
    for look in reversed(range(len(tails))):
        if tails[look] >= 0 and tail_counts(group.looks, look)[0] >= ENOUGH:
            counted.append(look)
            if len(counted) == TOGETHER:
                break
    return counted


def _learnt_share(count: int, members: int, shipped: float) -> float:
    """Return the share that established callers show, where they contradict the shipped one."""
    if lower_bound(count, members) > shipped:
        return min(count / members, LENIENCY * shipped)
    return max(min(shipped, upper_bound(count, members)), shipped / STRICTNESS)
