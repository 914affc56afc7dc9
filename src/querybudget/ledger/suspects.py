"""Budgets that only suspects spend: which members of a group a call's population tests touch.

Nobody is refused on one kind of evidence. The population test of one group is one kind, and so is
the score of one. Another is the score of a group that another budget has, over what is known of
callers: an organisation, a network. What a member shows itself is no other kind, because the group
is suspect by just that; and neither is a pool that the call brings about, such as that of its
template, or one that everybody is in. All who use one application may resemble a sweep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from querybudget import coverage as profiles  # it loads their classes when they are first used
from querybudget.coverage import Stage, Touched
from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.ledger.bucket_line import BucketLine, share_of, window_of
from querybudget.ledger.types import Account, Charge, Line, Standing
from querybudget.units import MICRO, Unit

if TYPE_CHECKING:
    from querybudget.coverage import Calibration, Group

UNTOUCHED = Touched()

_NONE, _REFUSE = Stage.NONE, Stage.REFUSE


def touched_by(line: Line, accounts: Mapping[str, Account], charge: Charge, now: int) -> Touched:
    """Return whether the population test of a line's group touches the caller.

    Args:
        line: Of a response with `suspects`.
        accounts: Those of `querybudget.ledger.coverage.evaluate`.
        charge: The call's.
        now: µs.
    """
    response, observation = line.response, charge.observation
    if response is None or response.suspects is None:
        return UNTOUCHED
    if observation is not None and observation.known is not None:
        return observation.known.touched.get(line.quota.name, UNTOUCHED)
    group = accounts[line.partition].profile
    own = accounts[charge.profiled[0]].profile if charge.profiled else None
    if type(group) is not profiles.Group or type(own) is not profiles.CallerProfile:
        return UNTOUCHED
    found = profiles.touched(group, own.tails, response.suspects, *_learnt(accounts, charge))
    if response.suspects.together and not (found.score or is_cleared(line, accounts, charge, now)):
        return profiles.touched_together(group, now)
    if found.score >= profiles.SURE_SCORE and another_pool(line, accounts, charge, now):
        return msgspec.structs.replace(found, score=profiles.TWO_KINDS_SCORE)
    return found


def suspects_line(
    line: Line,
    accounts: Mapping[str, Account],
    charge: Charge,
    novelty: int,
    found: Touched,
    now: int,
) -> BucketLine:
    """Return a line that only suspects spend. It refuses on two kinds of evidence, and only then.

    What is not left is not charged, so the line itself is never short.
    """
    quota, response = line.quota, line.response
    window = window_of(accounts[line.partition], line)
    left, score = window.room(quota, now), found.score
    if response is None or not score:
        return BucketLine(line, window, left, 0, 0, touched=found)
    own = accounts[charge.profiled[0]].profile if charge.profiled else None
    amount, room = novelty * line.amount, max(left, 0)
    strain = max(score, share_of(quota.limit - left, quota.limit), MICRO * (amount > room))
    before = own.stages.get(quota.key, _NONE) if own else _NONE
    stage = response.stage(strain, before)
    if stage is _REFUSE and score < profiles.TWO_KINDS_SCORE:
        stage = response.milder(_REFUSE)
    amount, price = min(amount, room), response.price(strain)
    return BucketLine(line, window, left, amount, strain, score, before, stage, stage, price, found)


def _learnt(accounts: Mapping[str, Account], charge: Charge) -> tuple[Group | None, int]:
    """Return the group of established callers, and how many of them are needed."""
    calibration = charge.calibration
    if calibration is None or not calibration.newcomers:
        return None, 0
    profile = accounts[calibration.newcomers].profile
    return (profile if type(profile) is profiles.Group else None), calibration.callers


def another_pool(line: Line, accounts: Mapping[str, Account], charge: Charge, now: int) -> bool:
    """Return whether a pool of another budget, over what is known of callers, is suspect too.

    Args:
        line: Of buckets, of a group.
        accounts: As for `touched_by`.
        charge: The call's.
        now: µs.
    """
    others = {
        other.partition
        for other in charge.lines
        if other.quota.unit is Unit.BUCKETS
        and other.quota.name != line.quota.name
        and other.standing is Standing.CALLER
    } - {line.partition}
    return any(
        type(profile) is profiles.Group and profile.score(now) >= SUSPECT_SCORE
        for profile in (accounts[partition].profile for partition in others)
    )


def is_cleared(line: Line, accounts: Mapping[str, Account], charge: Charge, now: int) -> bool:
    """Return whether a line's score is a pool's, and the caller's own past speaks against it.

    Otherwise whoever copies the system prompt of a popular client could have its users held.
    """
    key = charge.profiled[0] if charge.profiled else line.partition
    own = accounts[key].profile
    if key == line.partition or type(own) is not profiles.CallerProfile:
        return False
    established = established_by(accounts[key], charge, now)
    return own.cleared(established.calls if established is not None else None, now)


def established_by(account: Account, charge: Charge, now: int) -> Calibration | None:
    """Return the calibration that a caller counts for, if it is verified and old enough."""
    calibration = charge.calibration
    if calibration is None or not charge.verified or now - account.since < calibration.age:
        return None
    return calibration
