"""Lines of buckets: what a call would newly visit, and what follows from earlier visits.

*Strain* is the share of a budget of buckets that is used, or the account's sweep score if that is
higher. A call's own buckets do not count towards its strain; they raise that of the next call.

A call that visits nothing new can only be refused for the score. A refusal changes nothing: strain
rises by calls that are admitted and answered, so the stage is recorded then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import msgspec

from querybudget.coverage import BucketResponse, Profile, Reason, Stage
from querybudget.coverage.buckets import BucketState
from querybudget.ledger.types import Account, Charge, Line, LineStatus, Reservation, Verdict
from querybudget.units import (
    MICRO,
    NO_TIME,
    ORDINARY_PRICE,
    SECOND,
    Algorithm,
    Micros,
    Millionths,
)

SCORE_RETRY = Micros(3_600 * SECOND)
"""The wait proposed to a call that is refused for its score. It promises nothing."""

_DISTINCT = Algorithm.DISTINCT
_NONE, _REFUSE = Stage.NONE, Stage.REFUSE
_ADMIT = Verdict.ADMIT


@final
class BucketLine(msgspec.Struct, frozen=True, gc=False):
    """One line of buckets, for one call.

    Attributes:
        line: The line.
        state: What was visited.
        cells: What the call would visit.
        left: µ-buckets that could be newly visited.
        novelty: µ-buckets that the call would newly visit.
        strain: What the response depends on, in millionths.
        score: The part of the strain that is the account's score, in millionths.
        reached: The stage at that strain.
        stage: What is to be done to this call.
        price: The factor on the call's other lines, in millionths.
    """

    line: Line
    state: BucketState
    cells: tuple[int, ...]
    left: int
    novelty: int
    strain: int
    score: int = 0
    reached: Stage = _NONE
    stage: Stage = _NONE
    price: Millionths = ORDINARY_PRICE

    @property
    def refuses(self) -> bool:
        """Whether the line, if it is enforced, refuses the call."""
        return self.novelty > self.left or self.stage is _REFUSE

    @property
    def delay(self) -> Micros:
        """µs by which the line delays the call at any stage; 0 if it has no stage `SLOW`."""
        response = self.line.response
        return response.delay_at(self.strain) if response else NO_TIME

    def take(self, name: str, now: int, expires: int) -> LineStatus:
        """Charge the line, and return its status."""
        line, state = self.line, self.state
        quota, added = line.quota, self.novelty
        state.reserve(name, self.cells, line.amount, added, quota, now, expires)
        state.stage = self.reached
        reset = state.reset(quota, now)
        return LineStatus(line, self.left - added, reset, NO_TIME, _ADMIT, self.strain)

    def status(self, now: int) -> LineStatus:
        """Return the status of the line if nothing is charged on it."""
        line, quota = self.line, self.line.quota
        reset = self.state.reset(quota, now)
        if not self.refuses:
            return LineStatus(line, self.left, reset, strain=self.strain)
        if line.amount * len(self.cells) > quota.limit:
            return LineStatus(line, self.left, reset, NO_TIME, Verdict.NEVER, self.strain)
        wait = self._wait(now)
        return LineStatus(line, self.left, reset, wait, Verdict.WAIT, self.strain)

    def prices(self, now: int) -> list[tuple[int, Millionths]]:
        """Return the price from each moment in µs on, if nothing more is visited."""
        line = self.line
        response, limit = line.response, line.quota.limit
        if response is None:
            return [(now, ORDINARY_PRICE)]
        return [
            (moment, response.price(max(self.score, _share(used, limit))))
            for moment, used in self.state.decay_schedule(line.quota, now)
        ]

    def _wait(self, now: int) -> Micros:
        """µs until the line no longer refuses; exact, except for the score."""
        line, state = self.line, self.state
        response, quota = line.response, line.quota
        wait = NO_TIME
        if self.novelty > self.left:
            wait = Micros(state.wait_until_below(quota, quota.limit, now, self.cells, line.amount))
        if response and self.stage is _REFUSE:
            begin = response.threshold(_REFUSE, state.stage)
            if self.score >= begin:
                return max(wait, SCORE_RETRY)
            limit = (begin * quota.limit - 1) // MICRO
            wait = max(wait, Micros(state.wait_until_below(quota, limit, now)))
        return wait


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
    """

    bucket_lines: Sequence[BucketLine | None]
    price: Millionths = ORDINARY_PRICE
    stage: Stage = _NONE
    delay: Micros = NO_TIME
    shadow_price: Millionths = ORDINARY_PRICE
    shadow_stage: Stage = _NONE
    reasons: tuple[Reason, ...] = ()

    def prices(self, now: int) -> list[tuple[int, Millionths]]:
        """Return the highest price of the enforced lines from each moment in µs on."""
        schedules = [s.prices(now) for s in self.bucket_lines if s and not s.line.shadow]
        moments = sorted({moment for schedule in schedules for moment, _ in schedule} | {now})
        return [
            (at, max((_latest(schedule, at) for schedule in schedules), default=ORDINARY_PRICE))
            for at in moments
        ]


def evaluate(accounts: Mapping[str, Account], charge: Charge, now: int) -> CoverageDecision:
    """Return what the lines of buckets of `charge` do to it. Only drops what has expired."""
    cells = charge.observation.cells if charge.observation else ()
    bucket_lines = [
        _bucket_line(line, accounts[line.partition], cells, now)
        if line.quota.algorithm is _DISTINCT
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
    return CoverageDecision(bucket_lines, price, stage, delay, shadow_price, shadow_stage, reasons)


def update_profiles(accounts: Mapping[str, Account], reservation: Reservation, now: int) -> None:
    """Add an answered call to the profiles of the reservation."""
    observation, profiled = reservation.observation, reservation.profiled
    identity = accounts.get(profiled[0]) if profiled else None
    if observation is None or identity is None:
        return
    delta = _profile(identity).observe(observation, now)
    for partition in profiled[1:]:
        pool = accounts.get(partition)
        if pool is not None:
            _profile(pool).add(delta, now)


def update_stages(accounts: Mapping[str, Account], lines: Sequence[Line], now: int) -> None:
    """Update the stages of `lines`, whose strain may have risen."""
    for line in lines:
        response, account = line.response, accounts.get(line.partition)
        if response is None or account is None or not response.stages:
            continue
        state = _state(account, line)
        state.room(line.quota, now)
        strain = max(_share(state.total, line.quota.limit), _score(account, response, now))
        state.stage = response.stage(strain, state.stage)


def _bucket_line(line: Line, account: Account, cells: tuple[int, ...], now: int) -> BucketLine:
    state, quota, response = _state(account, line), line.quota, line.response
    left = state.room(quota, now)
    novelty = state.novelty(cells, line.amount)
    strain = _share(state.total, quota.limit)
    if response is None:
        return BucketLine(line, state, cells, left, novelty, strain)
    score = _score(account, response, now)
    strain = max(strain, score)
    before = state.stage
    reached = stage = response.stage(strain, before) if response.stages else _NONE
    if stage is _REFUSE and not novelty and score < response.threshold(_REFUSE, before):
        stage = response.milder(_REFUSE)
    price = response.price(strain)
    return BucketLine(line, state, cells, left, novelty, strain, score, reached, stage, price)


def _reasons(
    accounts: Mapping[str, Account], bucket_lines: Sequence[BucketLine | None]
) -> tuple[Reason, ...]:
    scored = [s for s in bucket_lines if s and s.stage and s.score == s.strain]
    if not scored:
        return ()
    highest = max(scored, key=lambda bucket_line: bucket_line.score)
    profile = accounts[highest.line.partition].profile
    return profile.reasons if profile else ()


def _state(account: Account, line: Line) -> BucketState:
    key = line.quota.key
    state = account.windows.get(key)
    if type(state) is not BucketState:
        state = account.windows[key] = BucketState()
    return state


def _share(used: int, limit: int) -> int:
    return used * MICRO // limit


def _score(account: Account, response: BucketResponse, now: int) -> int:
    return account.profile.score(now) if response.scored and account.profile else 0


def _profile(account: Account) -> Profile:
    if account.profile is None:
        account.profile = Profile()
    return account.profile


def _latest(schedule: Sequence[tuple[int, Millionths]], at: int) -> Millionths:
    return [price for moment, price in schedule if moment <= at][-1]
