"""One line of buckets, for one call: what it costs, and what follows."""

from __future__ import annotations

from typing import final

import msgspec

from querybudget.coverage import Stage, Touched
from querybudget.ledger.types import Account, Line, LineStatus, Verdict
from querybudget.ledger.windows import SlidingState
from querybudget.units import MICRO, NO_TIME, ORDINARY_PRICE, SECOND, Micros, Millionths

SCORE_RETRY = Micros(3_600 * SECOND)
"""The wait proposed to a call that is refused for its score. It promises nothing."""

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
        touched: Of a line that only suspects spend: what the population test says; None of others.
        spent: What its partition has spent of the limit, in millionths: a part of the strain.
        past: The score without the call, which is lower only if the call packs much.
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
    touched: Touched | None = None
    spent: int = 0
    past: int = 0

    @property
    def idle(self) -> bool:
        """Whether only suspects spend the line, and the caller is none."""
        return self.touched is not None and not self.touched.score

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
        reset = self.window.charge(quota, self.amount, now)
        return LineStatus(self.line, self.left - self.amount, reset)

    def status(self, now: int) -> LineStatus:
        """Return the status of the line if nothing is charged on it."""
        line, quota = self.line, self.line.quota
        reset = self.window.reset(quota, now)
        if not self.refuses:
            return LineStatus(line, self.left, reset)
        if self.amount > quota.limit or self._packs_too_much:
            return LineStatus(line, self.left, reset, NO_TIME, Verdict.NEVER)
        return LineStatus(line, self.left, reset, self._wait(now), Verdict.WAIT)

    def prices(self, now: int) -> list[tuple[int, Millionths]]:
        """Return the price from each moment in µs on, if nothing more is spent."""
        response, quota = self.line.response, self.line.quota
        if response is None or self.idle:
            return [(now, ORDINARY_PRICE)]
        return [
            (moment, response.price(max(self.score, share_of(used, quota.limit))))
            for moment, used in self.window.decay(quota, now)
        ]

    @property
    def _packs_too_much(self) -> bool:
        """Whether its score would not refuse the call but for what it packs: no wait helps."""
        response = self.line.response
        if response is None or self.stage is not _REFUSE:
            return False
        return self.past < response.threshold(_REFUSE, self.before) <= self.score

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


def window_of(account: Account, line: Line) -> SlidingState:
    """Return the window of a line, a new one if its account has none."""
    window = account.windows.get(line.quota.key)
    if type(window) is not SlidingState:
        window = account.windows[line.quota.key] = SlidingState()
    return window


def share_of(used: int, limit: int) -> int:
    """Return a share in millionths."""
    return used * MICRO // limit
