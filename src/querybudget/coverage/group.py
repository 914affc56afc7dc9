"""Profiles of groups: pools of callers, and all callers that calibrate a deployment.

A pool is judged by how many of its members are suspect against how many honest members would be,
never by the average of their calls: any large group is broad, and one member proves nothing about
the others. A member counts at each of its looks (`POOL_LOOKS`, `LATER_LOOKS`) by how far up among
honest callers its evidence lies then. What a member adds does not depend on the other members, and
it adds something only about once in a look, so many clients can update one group.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import sqrt
from typing import Final

import msgspec

from querybudget.coverage.calibration import BINS, Calibration, threshold
from querybudget.coverage.evidence import HIGHEST_SCORE, LOOKS
from querybudget.coverage.fitted import POOL_SHARE, POOL_TAILS, TAIL_SHARES
from querybudget.coverage.later import LATER_TAILS
from querybudget.coverage.reason import Reason
from querybudget.coverage.response import SUSPECT_SCORE, Stage
from querybudget.coverage.stream import FORM

POOL_LOOKS: Final = LOOKS[: len(POOL_TAILS)]
"""First looks, at which members count."""

LATER_LOOKS: Final = tuple(LATER_TAILS)
"""Chunks of all that a member has said at which it counts again."""

ALL_TAILS: Final = (*POOL_TAILS, *LATER_TAILS.values())
"""For each look, the first ones before the later ones: bounds of the tails of honest callers."""

FEWEST = 5
"""Members that have to be beyond a tail before a pool has a score."""

AS_A_WHOLE = 2
"""Tails by which a pool is judged as a whole. In the finer ones a small share of its members is
much, and the others may be innocent: there only the population test judges, member by member."""

DAY = 24 * 3_600 * 1_000_000
LIFETIME = 30 * DAY
"""µs after which all counts are halved."""

DECAY = 100_000
"""How far a score falls in a day, and at most at once; millionths."""

_WIDTH = len(TAIL_SHARES) + 1
_COUNTS = _WIDTH * len(ALL_TAILS)
_Z = 1.645
"""Quantile of the normal distribution for a bound that holds in 19 of 20 cases."""


class GroupChange(msgspec.Struct, frozen=True, gc=False):
    """What a call of a member changes in its groups.

    Attributes:
        first: Whether it is the member's first call.
        look: Index in `ALL_TAILS` of a look that the member reached with this call; -1 if none.
        tail: In how many of the tails of honest callers the member's evidence lies at that look.
        old_peak: Bin in which the member was counted for calibration; -1 if it was not.
        new_peak: Bin in which it is counted now; -1 if it is not.
        withdrawn: Of a member that was pardoned, for each of `ALL_TAILS` in how many of them it was
            counted, -1 for not at all: that is taken back.
        established: Of a member that has become established, the same: what it showed when it was
            new is what honest newcomers show.
    """

    first: bool = False
    look: int = -1
    tail: int = 0
    old_peak: int = -1
    new_peak: int = -1
    withdrawn: tuple[int, ...] = ()
    established: tuple[int, ...] = ()


class Group(msgspec.Struct, array_like=True, tag=f"g{len(TAIL_SHARES)}{FORM}"):
    """The profile of one group.

    Attributes:
        since: When its first call was seen, or its counts were last halved; µs.
        members: Members.
        looks: For each of `ALL_TAILS`: members that reached the look, and how many of them were in
            at least one, two … of the tails.
        peaks: Established members by the bin of their highest score; empty before the first.
        last_score: The score when it was last computed.
        scored_at: When that was, µs.
        reasons: What the score consisted of.
        stages: The last stage by quota.
        null: As `looks`, of members that became established later; empty before the first.
    """

    since: int = 0
    members: int = 0
    looks: list[int] = msgspec.field(default_factory=lambda: [0] * _COUNTS)
    peaks: list[int] = msgspec.field(default_factory=list[int])
    last_score: int = 0
    scored_at: int = 0
    reasons: tuple[Reason, ...] = ()
    stages: dict[str, Stage] = msgspec.field(default_factory=dict[str, Stage])
    null: list[int] = msgspec.field(default_factory=list[int])

    def __post_init__(self) -> None:
        """Refuse what was stored and is damaged."""
        for counts in (self.looks, self.null):  # an earlier version had the first looks alone
            if len(counts) == _WIDTH * len(POOL_LOOKS):
                counts.extend([0] * (_COUNTS - len(counts)))
        if len(self.looks) != _COUNTS or len(self.null) not in {0, _COUNTS}:
            raise ValueError("expected a group's counts")
        if len(self.peaks) not in {0, BINS}:
            raise ValueError("expected a group's histogram")
        if self.members < 0 or min((*self.looks, *self.peaks, *self.null)) < 0:
            raise ValueError("expected counts of members")

    @property
    def blank(self) -> bool:
        """Whether it knows nothing."""
        # A member whose first call was elsewhere, under another template, is no new member.
        return not (self.members or self.peaks or self.null or any(self.looks))

    def score(self, now: int) -> int:
        """Return the sweep score in millionths, on the scale of a spent share."""
        return max(0, self.last_score - DECAY * max(0, now - self.scored_at) // DAY)

    def add(self, change: GroupChange, now: int) -> None:
        """Add what a call of a member changes."""
        if not self.since:
            self.since = now
        elif now - self.since > LIFETIME:
            self._halve(now)
        self.members += change.first
        if change.old_peak != change.new_peak:
            self._move_peak(change.old_peak, change.new_peak)
        if change.withdrawn:
            self._withdraw(change.withdrawn, now)
        if change.established:
            self.null = self.null or [0] * _COUNTS
            for look, tail in enumerate(change.established):
                _count(self.null, look, tail, 1)
        if change.look >= 0:
            _count(self.looks, change.look, change.tail, 1)
            self._judge(now)

    def pardon(self) -> bool:
        """Take back what the group is suspected of: score, reasons, stages, and members' looks.

        Its members stay members, and stay counted for calibration. A member counts again at the
        next look that the group does not know of; at earlier ones only once it has been pardoned
        itself.

        Returns:
            Whether there was anything to take back.
        """
        if not (self.last_score or self.stages or any(self.looks)):
            return False
        self.looks = [0] * len(self.looks)
        self.last_score = self.scored_at = 0
        self.reasons, self.stages = (), {}
        return True

    def shift(self, calibration: Calibration) -> int:
        """Return the millionths by which scores move, so that `disturb` of the callers is met."""
        if not self.peaks:
            return 0
        return SUSPECT_SCORE - threshold(self.peaks, calibration, SUSPECT_SCORE)

    def _withdraw(self, tails: Sequence[int], now: int) -> None:
        """Take back what a member has added, and what the score owes to it."""
        for look, tail in enumerate(tails):
            _count(self.looks, look, tail, -1)
        left = min(self._found(), self.score(now))
        self.last_score, self.scored_at = left, now
        self.reasons = (Reason("members", left),) if left else ()

    def _judge(self, now: int) -> None:
        self.last_score = max(self._found(), self.score(now) - DECAY)
        self.scored_at = now
        self.reasons = (Reason("members", self.last_score),)

    def _found(self) -> int:
        """Return the score that the members' looks give.

        Members at a look are those at any look so far: where those who ask much are of one
        application, they say nothing of those who have not come as far.
        """
        looks = self.looks
        members = [*accumulate(looks[::_WIDTH], max)]
        shares = [
            lower_bound(count, reached) / suspect
            for tail, suspect in enumerate(POOL_SHARE[:AS_A_WHOLE], 1)
            for count, reached in zip(looks[tail::_WIDTH], members, strict=True)
            if count >= FEWEST
        ]
        return min(HIGHEST_SCORE, round(SUSPECT_SCORE * max(shares, default=0.0)))

    def _move_peak(self, old: int, new: int) -> None:
        if not self.peaks:
            self.peaks = [0] * BINS
        if old >= 0 and self.peaks[old]:
            self.peaks[old] -= 1
        if new >= 0:
            self.peaks[new] += 1

    def _halve(self, now: int) -> None:
        self.since = now
        self.members = -(-self.members // 2)
        self.looks = [count // 2 for count in self.looks]
        self.null = [count // 2 for count in self.null]
        self.peaks = [count // 2 for count in self.peaks]


def tail_counts(looks: Sequence[int], look: int) -> tuple[int, Sequence[int]]:
    """Return of one look the members that reached it, and how many were beyond each tail."""
    start = look * _WIDTH
    return looks[start], looks[start + 1 : start + _WIDTH]


def lower_bound(count: int, total: int) -> float:
    """Return the lower end of Wilson's interval for a share (JASA 22, 1927)."""
    middle, width = _interval(count, total)
    return middle - width


def upper_bound(count: int, total: int) -> float:
    """Return the upper end of that interval."""
    middle, width = _interval(count, total)
    return middle + width


def _interval(count: int, total: int) -> tuple[float, float]:
    share, squared = count / total, _Z * _Z
    middle = share + squared / (2 * total)
    width = _Z * sqrt(share * (1 - share) / total + squared / (4 * total * total))
    return middle / (1 + squared / total), width / (1 + squared / total)


def _count(looks: list[int], look: int, tail: int, step: int) -> None:
    """Count a member at a look, by the tails it is in, or take that back; -1 for not at all."""
    start = look * _WIDTH
    for place in range(start, start + tail + 1):
        looks[place] = max(0, looks[place] + step)
