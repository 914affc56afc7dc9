"""Lines of buckets: what a call's new ground costs, and what follows from what was covered before.

A line of buckets is an ordinary line on a sliding window. Its amount is the number of buckets that
the call newly enters, times the line's weight; the profile of the caller's identity knows that
number. *Strain* is the share of the window that was spent before the call, or the account's sweep
score if that is higher. What a call covers itself raises the strain of the next one.

A call on known ground costs nothing, so it can only be refused for the score. Profiles observe a
call when it is admitted. A refusal changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

import msgspec

from querybudget import coverage as profiles  # it loads their classes when they are first used
from querybudget.coverage import Reason, Stage
from querybudget.ledger.types import Account, Charge, Decision, Line, LineStatus, Verdict
from querybudget.ledger.windows import SlidingState
from querybudget.units import MICRO, NO_TIME, ORDINARY_PRICE, SECOND, Micros, Millionths, Unit

SCORE_RETRY = Micros(3_600 * SECOND)
"""The wait proposed to a call that is refused for its score. It promises nothing."""

if TYPE_CHECKING:
    from querybudget.coverage import Calibration, CallerProfile, Group, GroupChange, KnownGround

_BUCKETS = Unit.BUCKETS
_NONE, _REFUSE = Stage.NONE, Stage.REFUSE


@final
class BucketLine(msgspec.Struct, frozen=True, gc=False):
    """One line of buckets, for one call.

    Attributes:
        line: The line.
        window: What its partition has spent.
        left: µ-buckets that are left.
        amount: µ-buckets that the call costs: 0 on known ground.
        strain: What the response depends on, in millionths.
        score: The part of the strain that is the account's score, in millionths.
        before: The stage of the account's last call.
        reached: The stage at that strain.
        stage: What is to be done to this call.
        price: The factor on the call's other lines, in millionths.
    """

    line: Line
    window: SlidingState
    left: int
    amount: int
    strain: int
    score: int = 0
    before: Stage = _NONE
    reached: Stage = _NONE
    stage: Stage = _NONE
    price: Millionths = ORDINARY_PRICE

    @property
    def refuses(self) -> bool:
        """Whether the line, if it is enforced, refuses the call."""
        return self.amount > max(self.left, 0) or self.stage is _REFUSE

    @property
    def delay(self) -> Micros:
        """µs by which the line delays the call at any stage; 0 if it has no stage `SLOW`."""
        response = self.line.response
        return response.delay_at(self.strain) if response else NO_TIME

    def take(self, now: int) -> LineStatus:
        """Charge the line, and return its status."""
        quota = self.line.quota
        self.window.charge(quota, self.amount, now)
        reset = self.window.reset(quota, now)
        return LineStatus(self.line, self.left - self.amount, reset)

    def status(self, now: int) -> LineStatus:
        """Return the status of the line if nothing is charged on it."""
        line, quota = self.line, self.line.quota
        reset = self.window.reset(quota, now)
        if not self.refuses:
            return LineStatus(line, self.left, reset)
        if self.amount > quota.limit:
            return LineStatus(line, self.left, reset, NO_TIME, Verdict.NEVER)
        return LineStatus(line, self.left, reset, self._wait(now), Verdict.WAIT)

    def prices(self, now: int) -> list[tuple[int, Millionths]]:
        """Return the price from each moment in µs on, if nothing more is spent."""
        response, quota = self.line.response, self.line.quota
        if response is None:
            return [(now, ORDINARY_PRICE)]
        return [
            (moment, response.price(max(self.score, _share(used, quota.limit))))
            for moment, used in self.window.decay(quota, now)
        ]

    def _wait(self, now: int) -> Micros:
        """µs until the line no longer refuses; exact, except for the score."""
        response, quota, window = self.line.response, self.line.quota, self.window
        wait = window.wait(quota, self.amount, now) if self.amount > max(self.left, 0) else 0
        if response and self.stage is _REFUSE:
            begin = response.threshold(_REFUSE, self.before)
            if self.score >= begin:
                return max(Micros(wait), SCORE_RETRY)
            least = quota.limit - (begin * quota.limit - 1) // MICRO
            wait = max(wait, window.wait(quota, least, now))
        return Micros(wait)


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
            {one.line.partition: one.score for one in self.bucket_lines if one and one.score},
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
    bucket_lines = [
        _bucket_line(line, accounts[line.partition], novelty, known, shift, now)
        if line.quota.unit is _BUCKETS
        else None
        for line in charge.lines
    ]
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
    reasons = _reasons(accounts, bucket_lines) if stage or shadow_stage else ()
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
    for bucket_line in coverage.bucket_lines:
        if bucket_line is not None and bucket_line.line.partition == partition:
            _keep_stage(profile.stages, bucket_line)
    if type(profile) is profiles.CallerProfile and charge.observation is not None:
        change = profile.observe(charge.observation, now, _established(account, charge, now))
        if coverage.stage and profile.trace is not None:
            profile.trace.slow(now)
        account.seen, account.tier = now, charge.tier
    elif type(profile) is profiles.Group and change is not None and partition in charge.profiled:
        profile.add(change, now)
        account.seen, account.tier = now, charge.tier
    if account.profile is not None or not profile.blank:
        account.profile = profile
    return change


def _bucket_line(
    line: Line, account: Account, novelty: int, known: KnownGround | None, shift: int, now: int
) -> BucketLine:
    quota, response = line.quota, line.response
    window = account.windows.get(quota.key)
    if type(window) is not SlidingState:
        window = account.windows[quota.key] = SlidingState()
    left, amount = window.room(quota, now), novelty * line.amount
    strain = _share(quota.limit - left, quota.limit)
    if response is None:
        return BucketLine(line, window, left, amount, strain)
    profile = account.profile
    score = profile.score(now) if profile and response.scored else 0
    if known is not None:
        score = known.scores.get(line.partition, 0) if response.scored else 0
    elif score and type(profile) is profiles.CallerProfile:
        score = max(0, score + shift)  # what callers are calibrated on says nothing of pools
    strain = max(strain, score)
    before = profile.stages.get(quota.key, _NONE) if profile else _NONE
    reached = stage = response.stage(strain, before) if response.stages else _NONE
    if stage is _REFUSE and not amount and score < response.threshold(_REFUSE, before):
        stage = response.milder(_REFUSE)
    price = response.price(strain)
    return BucketLine(line, window, left, amount, strain, score, before, reached, stage, price)


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


def _established(account: Account, charge: Charge, now: int) -> Calibration | None:
    """Return the calibration that a caller counts for, if it is verified and old enough."""
    calibration = charge.calibration
    if calibration is None or not charge.verified or now - account.since < calibration.age:
        return None
    return calibration


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
    accounts: Mapping[str, Account], bucket_lines: Sequence[BucketLine | None]
) -> tuple[Reason, ...]:
    scored = [s for s in bucket_lines if s and s.stage and s.score == s.strain]
    if not scored:
        return ()
    highest = max(scored, key=lambda bucket_line: bucket_line.score)
    profile = accounts[highest.line.partition].profile
    return profile.reasons if profile else ()


def _share(used: int, limit: int) -> int:
    return used * MICRO // limit


def _latest(schedule: Sequence[tuple[int, Millionths]], at: int) -> Millionths:
    return [price for moment, price in schedule if moment <= at][-1]
