"""Lines of buckets: what a call's new ground costs, and what follows from what was covered before.

A line of buckets is an ordinary line on a sliding window. Its amount is the number of buckets that
the call newly enters, times the line's weight; the profile of the caller's identity knows that
number. *Strain* is the share of the window that was spent before the call, or the account's sweep
score if that is higher. What a call covers itself raises the strain of the next one.

A call on known ground costs nothing, so it can only be refused for the score. Profiles observe a
call when it is admitted. A refusal changes nothing.

A line whose response has `suspects` is a group's, and only members that the population test touches
spend it. What it says of them is its score (`querybudget.ledger.suspects`). Once it is spent, new
ground of theirs counts as a strain of 1. All other members cost nothing there, and nothing follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from querybudget import coverage as profiles  # it loads their classes when they are first used
from querybudget.coverage import Reason, Stage
from querybudget.coverage.calibration import moved
from querybudget.ledger.bucket_line import BucketLine, share_of, window_of
from querybudget.ledger.packed import profile_with
from querybudget.ledger.suspects import (
    another_pool,
    established_by,
    is_cleared,
    suspects_line,
    touched_by,
)
from querybudget.ledger.types import Account, Charge, Decision, Line
from querybudget.units import NO_TIME, ORDINARY_PRICE, Micros, Millionths, Unit

if TYPE_CHECKING:
    from querybudget.coverage import CallerProfile, Group, GroupChange, KnownGround

_BUCKETS = Unit.BUCKETS
_NONE, _REFUSE = Stage.NONE, Stage.REFUSE

POPULATION = "population"
"""`Reason.signal` of the population test."""


class CoverageDecision(msgspec.Struct, frozen=True, gc=False):
    """What all lines of buckets of a charge do to the call.

    Attributes:
        bucket_lines: One for each line of the charge, in order; None for lines of other units.
        price: The highest of the enforced lines, in millionths.
        stage: The most severe of the enforced lines.
        delay: The longest of the enforced lines, µs.
        shadow_price: The highest of the shadow lines, in millionths.
        shadow_stage: The most severe of the shadow lines.
        reasons: What contributed to the highest score, if a score brought about a stage.
        shift: Millionths by which the calibration moved the scores of callers.
        novelty: Buckets that the call newly enters.
    """

    bucket_lines: Sequence[BucketLine | None]
    price: Millionths = ORDINARY_PRICE
    stage: Stage = _NONE
    delay: Micros = NO_TIME
    shadow_price: Millionths = ORDINARY_PRICE
    shadow_stage: Stage = _NONE
    reasons: tuple[Reason, ...] = ()
    shift: int = 0
    novelty: int = 0

    @property
    def touches(self) -> bool:
        """Whether a population test touches the caller."""
        return any(one.touched.score for one in self.bucket_lines if one and one.touched)

    @property
    def packs(self) -> bool:
        """Whether the call itself makes its price higher, by what it packs."""
        lines = [one for one in self.bucket_lines if one and not one.line.shadow]
        return any(one.past < one.score and one.score == one.strain for one in lines)

    def prices(self, now: int) -> list[tuple[int, Millionths]]:
        """Return the highest price of the enforced lines from each moment in µs on."""
        schedules = [s.prices(now) for s in self.bucket_lines if s and not s.line.shadow]
        moments = sorted({moment for schedule in schedules for moment, _ in schedule} | {now})
        return [
            (at, max((_latest(schedule, at) for schedule in schedules), default=ORDINARY_PRICE))
            for at in moments
        ]

    def added_to(self, decision: Decision) -> Decision:
        """Return a decision with what the lines of buckets do to the call."""
        lines = zip(decision.lines, self.bucket_lines, strict=True)
        statuses = [
            msgspec.structs.replace(status, strain=one.strain) if one else status
            for status, one in lines
        ]
        return Decision(
            decision.verdict,
            tuple(statuses),
            decision.wait,
            decision.reservation,
            decision.price,
            self.stage,
            self.delay if decision.admitted else NO_TIME,
            self.shadow_price,
            self.shadow_stage,
            self.reasons,
            self.shift,
            self.novelty,
            {
                one.line.partition: one.score
                for one in self.bucket_lines
                if one and one.score and one.touched is None
            },
            {
                one.line.quota.name: one.touched
                for one in self.bucket_lines
                if one and one.touched and one.touched.score
            },
        )


def evaluate(accounts: Mapping[str, Account], charge: Charge, now: int) -> CoverageDecision:
    """Return what the lines of buckets of `charge` do to it.

    Args:
        accounts: Those of the identity, of lines of buckets and of the calibration, at least. Only
            what has expired is dropped.
        charge: With an observation.
        now: µs.
    """
    novelty = _novelty(accounts, charge)
    shift = _shift(accounts, charge)
    known = charge.observation.known if charge.observation is not None else None
    packed = profile_with(accounts, charge, novelty, now)
    bucket_lines: list[BucketLine | None] = []
    for line in charge.lines:
        if line.quota.unit is not _BUCKETS:
            bucket_lines.append(None)
        elif line.response is not None and line.response.suspects is not None:
            found = touched_by(line, accounts, charge, now)
            bucket_lines.append(suspects_line(line, accounts, charge, novelty, found, now))
        else:
            account = accounts[line.partition]
            own = packed if line.partition in charge.profiled[:1] else None
            scores = _scores(line, account, own, known, shift, now)
            one = _bucket_line(line, account, novelty, scores, now)
            if one.score and known is None:
                one = _of_member(one, accounts, charge, now)
            bucket_lines.append(one)
    price = shadow_price = ORDINARY_PRICE
    stage = shadow_stage = _NONE
    delay = NO_TIME
    for bucket_line in bucket_lines:
        if bucket_line is None:
            continue
        line_stage = _REFUSE if bucket_line.refuses else bucket_line.stage
        if bucket_line.line.shadow:
            shadow_price = max(shadow_price, bucket_line.price)
            shadow_stage = max(shadow_stage, line_stage)
            continue
        price = max(price, bucket_line.price)
        if line_stage:
            stage, delay = max(stage, line_stage), max(delay, bucket_line.delay)
    reasons = _reasons(accounts, packed, bucket_lines) if stage or shadow_stage else ()
    return CoverageDecision(
        bucket_lines, price, stage, delay, shadow_price, shadow_stage, reasons, shift, novelty
    )


def observe(
    accounts: Mapping[str, Account], charge: Charge, coverage: CoverageDecision, now: int
) -> None:
    """Let the profiles of an admitted call observe it, and keep the stages that it was in."""
    lines = [one.line.partition for one in coverage.bucket_lines if one]
    change = None
    for partition in dict.fromkeys((*charge.profiled, *lines)):  # the identity's first
        account = accounts[partition]
        change = update_profile(partition, account, charge, coverage, change, now)


def update_profile(
    partition: str,
    account: Account,
    charge: Charge,
    coverage: CoverageDecision,
    change: GroupChange | None,
    now: int,
) -> GroupChange | None:
    """Let one profile of an admitted call observe it, and keep the stages that it was in.

    Args:
        partition: The account's.
        account: Changed in place.
        charge: The call's.
        coverage: What was decided of it.
        change: What the identity's profile has found for its groups.
        now: µs.

    Returns:
        What groups have to know: found if this is the identity's account, otherwise `change`.
    """
    own = partition in charge.profiled[:1]
    profile = _profile(account) if own else _group(account)
    for bucket_line in filter(None, coverage.bucket_lines):
        # Where only suspects spend, each keeps its own stage.
        pooled = bucket_line.touched is None
        if bucket_line.line.partition == partition if pooled else own:
            _keep_stage(profile.stages, bucket_line)
    if type(profile) is profiles.CallerProfile and charge.observation is not None:
        established = established_by(account, charge, now)
        if established is not None and coverage.touches:
            established = None  # of ten who are touched nine sweep: they say nothing of honest ones
        change = profile.observe(charge.observation, now, established, verified=charge.verified)
        if coverage.stage and profile.trace is not None:
            profile.trace.slow(now)
        account.seen, account.tier = now, charge.tier
    elif type(profile) is profiles.Group and change is not None and partition in charge.profiled:
        profile.add(change, now)
        account.seen, account.tier = now, charge.tier
    if account.profile is not None or not profile.blank:
        account.profile = profile
    return change


def _scores(
    line: Line,
    account: Account,
    packed: CallerProfile | None,
    known: KnownGround | None,
    shift: int,
    now: int,
) -> tuple[int, int]:
    """Return the score that a call is decided by, and what it is without the call."""
    if line.response is None or not line.response.scored:
        return 0, 0
    if known is not None:
        score = known.scores.get(line.partition, 0)
        return score, score
    profile = account.profile
    score = profile.score(now) if profile else 0
    if score and type(profile) is profiles.CallerProfile:
        score = moved(score, shift)  # what callers are calibrated on says nothing of pools
    if packed is None:
        return score, score
    return moved(packed.score(now), shift), score


def _bucket_line(
    line: Line, account: Account, novelty: int, scores: tuple[int, int], now: int
) -> BucketLine:
    quota, response = line.quota, line.response
    window = window_of(account, line)
    left, amount = window.room(quota, now), novelty * line.amount
    spent = share_of(quota.limit - left, quota.limit)
    if response is None:
        return BucketLine(line, window, left, amount, spent, spent=spent)
    (score, past), profile = scores, account.profile
    strain = max(spent, score)
    before = profile.stages.get(quota.key, _NONE) if profile else _NONE
    reached = stage = response.stage(strain, before) if response.stages else _NONE
    if stage is _REFUSE and not amount and score < response.threshold(_REFUSE, before):
        stage = response.milder(_REFUSE)
    price = response.price(strain)
    return BucketLine(
        line, window, left, amount, strain, score, before, reached, stage, price, None, spent, past
    )


def _of_member(
    found: BucketLine, accounts: Mapping[str, Account], charge: Charge, now: int
) -> BucketLine:
    """Return a line as it is for one member of a pool.

    What the others do is one kind of evidence, and refuses nobody alone: a member is degraded at
    most until the pool of another budget agrees. Its own score is no other kind: where all use one
    application, each is as suspect as the others.
    """
    line, response = found.line, found.line.response
    if is_cleared(line, accounts, charge, now):
        return _cleared(found)
    if found.stage is not _REFUSE or response is None:
        return found
    if found.amount and response.stage(found.spent, found.before) is _REFUSE:
        return found  # what the pool has spent counts for everybody
    pool = type(accounts[line.partition].profile) is profiles.Group
    if not pool or another_pool(line, accounts, charge, now):
        return found
    return msgspec.structs.replace(found, stage=response.milder(_REFUSE))


def _cleared(found: BucketLine) -> BucketLine:
    """Return a line without its pool's score: what the pool has spent counts for everybody."""
    response, spent = found.line.response, found.spent
    if response is None:
        return found
    stage = response.stage(spent, _NONE)
    if stage is _REFUSE and not found.amount:
        stage = response.milder(_REFUSE)
    price = response.price(spent)
    return msgspec.structs.replace(found, score=0, strain=spent, stage=stage, price=price)


def _novelty(accounts: Mapping[str, Account], charge: Charge) -> int:
    """Return how many buckets the call newly enters, by the profile of its identity."""
    if charge.observation is None:
        return 0
    if charge.observation.known is not None:
        return charge.observation.known.novelty
    profile = (
        _profile(accounts[charge.profiled[0]]) if charge.profiled else profiles.CallerProfile()
    )
    return profile.novelty(charge.observation)


def _shift(accounts: Mapping[str, Account], charge: Charge) -> int:
    calibration = charge.calibration
    if calibration is None:
        return 0
    return _group(accounts[calibration.partition]).shift(calibration)


def _keep_stage(stages: dict[str, Stage], bucket_line: BucketLine) -> None:
    key = bucket_line.line.quota.key
    if bucket_line.reached:
        stages[key] = bucket_line.reached
    else:
        stages.pop(key, None)


def _profile(account: Account) -> CallerProfile:
    """Return the profile of an identity; a new one if there is none."""
    return (
        account.profile
        if type(account.profile) is profiles.CallerProfile
        else profiles.CallerProfile()
    )


def _group(account: Account) -> Group:
    """Return the profile of a group; a new one if there is none."""
    return account.profile if type(account.profile) is profiles.Group else profiles.Group()


def _reasons(
    accounts: Mapping[str, Account],
    packed: CallerProfile | None,
    bucket_lines: Sequence[BucketLine | None],
) -> tuple[Reason, ...]:
    staged = [one for one in bucket_lines if one and one.stage]
    population = max((one.score for one in staged if one.touched), default=0)
    found = (Reason(POPULATION, population),) if population else ()
    scored = [one for one in staged if one.score == one.strain and not one.touched]
    if not scored:
        return found
    highest = max(scored, key=lambda bucket_line: bucket_line.score)
    profile = accounts[highest.line.partition].profile
    if packed is not None and type(profile) is not profiles.Group:
        profile = packed
    return found + (profile.reasons if profile else ())


def _latest(schedule: Sequence[tuple[int, Millionths]], at: int) -> Millionths:
    return [price for moment, price in schedule if moment <= at][-1]
