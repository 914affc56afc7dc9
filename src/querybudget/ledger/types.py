"""The ledger's input, its answers, and the accounts it changes."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from querybudget import coverage as profiles  # it loads their classes when they are first used
from querybudget.coverage import BucketResponse, Observation, Reason, Stage, Touched
from querybudget.ledger.windows import State
from querybudget.units import (
    NO_TIME,
    ORDINARY_PRICE,
    SECOND,
    Micros,
    Millionths,
    Quota,
    Unit,
)

UNCHARGED = -1
"""In `Reservation.held`: the line was decided but not charged."""

GRACE = 24 * 3_600 * SECOND
"""µs for which an expired reservation is remembered, so that use above its estimate is still
charged, and only once."""

_NOBODY = frozenset[str]()


class Standing(enum.IntEnum):
    """Who can make an account, which decides how stores bound the number of its kind."""

    CALLER = 0
    """A caller: on probation until the application has verified one."""
    FIXED = 1
    """The policy: its accounts are few, so they are known from their first use."""
    INVENTED = 2
    """What calls say, such as system prompts: these never push out a caller's account."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One quota of one partition, and what a call takes from it.

    Attributes:
        partition: Key of the account.
        quota: The quota.
        amount: µ-units to hold, before price.
        minimum: The part of `amount` that is certain. If less than `amount` is left, but this much
            is, the line holds what is left. Equal to `amount` if all of it is certain.
        shadow: Decide and count, but never refuse. If one of a charge's shadow lines does not fit,
            none is charged but those whose quota counts apart.
        response: What follows from the buckets covered, on a line of buckets; None to count only.
            The `amount` and `minimum` of such a line are the weight of each new bucket.
        standing: Who can make the account.
    """

    partition: str
    quota: Quota
    amount: int
    minimum: int
    shadow: bool = False
    response: BucketResponse | None = None
    standing: Standing = Standing.CALLER


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What a call wants to reserve.

    Attributes:
        id: Unique name of the reservation.
        lines: All or none of these; no two of the same quota of the same partition.
        ttl: µs after which the reservation expires unless it is settled.
        price: Factor on every amount but leases and buckets, in millionths.
        observation: What the call shows; None if no line counts buckets.
        profiled: Accounts whose profiles observe the call when it is admitted: first the
            identity's, then those of its groups.
        verified: Whether the application has verified the caller, in this call or before. An
            account of a caller who is not verified stays on probation.
        calibration: How scores are calibrated, and by which of the groups; None to take them as
            they are.
        tier: The caller's tier, which accounts keep for operators to see.
    """

    id: str
    lines: tuple[Line, ...]
    ttl: int
    price: Millionths = ORDINARY_PRICE
    observation: Observation | None = None
    profiled: tuple[str, ...] = ()
    verified: bool = True
    calibration: profiles.Calibration | None = None
    tier: str = ""

    @property
    def partitions(self) -> tuple[str, ...]:
        """Keys of the accounts concerned, each once: those of the lines first."""
        partitions = (*(line.partition for line in self.lines), *self.profiled)
        return tuple(dict.fromkeys(partitions))

    @property
    def on_probation(self) -> frozenset[str]:
        """Keys of the accounts that end soon, because their callers are not verified."""
        if self.verified:
            return _NOBODY
        lasting = {line.partition for line in self.lines if line.standing}
        if self.calibration is not None:
            lasting.update(self.calibration.partitions)
        return frozenset(self.partitions) - lasting

    def standing(self, partition: str) -> Standing:
        """Return who can make one of the accounts.

        A group that no line charges counts as invented, but for those that calibrate: so groups
        push out no caller's account, and no group can be kept from forming.
        """
        lines = [line.standing for line in self.lines if line.partition == partition]
        if lines:
            return max(lines)
        if self.calibration is not None and partition in self.calibration.partitions:
            return Standing.FIXED
        return Standing.INVENTED if partition in self.profiled[1:] else Standing.CALLER

    def with_lines(self, name: str, lines: tuple[Line, ...]) -> Charge:
        """Return this charge under another name, for other lines.

        Only lines that count buckets need the observation and the profiles.
        """
        if any(line.quota.unit is Unit.BUCKETS for line in lines):
            return msgspec.structs.replace(self, id=name, lines=lines)
        return msgspec.structs.replace(
            self, id=name, lines=lines, observation=None, profiled=(), calibration=None
        )

    def reserved(
        self, held: tuple[int, ...], at: int, expires: int, price: Millionths
    ) -> Reservation:
        """Return the reservation of this charge; the arguments are its attributes."""
        return Reservation(self.id, self.lines, held, at, expires, price, self.verified)


class Verdict(enum.IntEnum):
    """The decision about a charge."""

    ADMIT = 0
    WAIT = 1
    """Not yet: it fits after `Decision.wait`."""
    NEVER = 2
    """It asks for more than a quota can ever grant."""


class LineStatus(msgspec.Struct, frozen=True, gc=False):
    """One line after the decision.

    Attributes:
        line: The line.
        remaining: µ-units left; negative in debt.
        reset: µs until nothing of the quota is used.
        wait: µs until this line fits; 0 if it did.
        verdict: What this line alone says.
        strain: Of a line of buckets, the strain that decided its stage and price, in millionths.
    """

    line: Line
    remaining: int
    reset: int
    wait: Micros = NO_TIME
    verdict: Verdict = Verdict.ADMIT
    strain: int = 0


def refusal(statuses: Sequence[LineStatus]) -> tuple[Verdict, Micros]:
    """Combine the verdicts of several lines.

    Returns:
        The most severe verdict of the enforced lines, and the µs until all of them fit: 0 if all
        fit now or one never does.
    """
    refusing = [status for status in statuses if status.verdict and not status.line.shadow]
    verdict = max((status.verdict for status in refusing), default=Verdict.ADMIT)
    return verdict, max(s.wait for s in refusing) if verdict is Verdict.WAIT else NO_TIME


class Reservation(msgspec.Struct, frozen=True):
    """What is held from reserve until settle.

    Attributes:
        id: Unique name.
        lines: As charged.
        held: µ-units charged on each line, price included; `UNCHARGED` for a shadow line that was
            not charged.
        at: When it was made, µs.
        expires: When it lapses, µs.
        price: The factor it was charged at, in millionths.
        verified: As charged; or whether the call that it was made for has verified the caller.
    """

    id: str
    lines: tuple[Line, ...]
    held: tuple[int, ...]
    at: int
    expires: int
    price: Millionths
    verified: bool = True

    @property
    def partitions(self) -> tuple[str, ...]:
        """Keys of the accounts concerned, each once."""
        return tuple(dict.fromkeys([line.partition for line in self.lines]))

    @property
    def on_probation(self) -> frozenset[str]:
        """Keys of the accounts that end soon, because their callers are not verified."""
        if self.verified:
            return _NOBODY
        lasting = {line.partition for line in self.lines if line.standing}
        return frozenset(self.partitions) - lasting


class Decision(msgspec.Struct, frozen=True):
    """The answer to a charge. A refusal is a value, not an error.

    Attributes:
        verdict: Admit, not yet, or never.
        lines: One status for each line of the charge, in its order.
        wait: µs until the charge fits; exact, unless it waits for a lease. 0 for admit and never.
        reservation: What is held; None for a refusal.
        price: The factor charged, in millionths: the charge's, times the highest of the enforced
            lines of buckets.
        stage: What is to be done to the call; `REFUSE` if an enforced line of buckets refuses.
        delay: µs by which the call is to be delayed.
        shadow_price: The highest price of the shadow lines of buckets, in millionths.
        shadow_stage: What would be done to the call if those were enforced.
        reasons: What contributed to the sweep score, strongest first, if the score brought about a
            stage. For operators, never for callers.
        shift: Millionths by which every score was moved by the callers of the charge's
            calibration.
        novelty: Buckets that the call newly enters, or would if it were admitted.
        scores: Partitions of lines of buckets to the sweep scores of their accounts, in millionths,
            those above 0.
        touched: Names of budgets with `suspects` to what the population test says of the caller, if
            it touches it.
    """

    verdict: Verdict
    lines: tuple[LineStatus, ...]
    wait: Micros = NO_TIME
    reservation: Reservation | None = None
    price: Millionths = ORDINARY_PRICE
    stage: Stage = Stage.NONE
    delay: Micros = NO_TIME
    shadow_price: Millionths = ORDINARY_PRICE
    shadow_stage: Stage = Stage.NONE
    reasons: tuple[Reason, ...] = ()
    shift: int = 0
    novelty: int = 0
    scores: Mapping[str, int] = {}
    touched: Mapping[str, Touched] = {}

    @property
    def admitted(self) -> bool:
        """Whether the call may go ahead."""
        return self.verdict is Verdict.ADMIT

    @property
    def violated(self) -> tuple[str, ...]:
        """Names of the enforced budgets that refuse."""
        return tuple(s.line.quota.name for s in self.lines if s.verdict and not s.line.shadow)

    @property
    def shadowed(self) -> tuple[str, ...]:
        """Names of the shadow budgets that would have refused."""
        return tuple(s.line.quota.name for s in self.lines if s.verdict and s.line.shadow)


class Settled(enum.Enum):
    """What settling did."""

    DONE = "done"
    REPEATED = "repeated"
    """The reservation was settled before, or is not known any more: nothing changed."""
    LATE = "late"
    """The reservation had expired at its estimate: only use above it was charged."""


class Account(msgspec.Struct, array_like=True):
    """What one partition has used and holds.

    Attributes:
        since: When the partition was first seen, µs.
        windows: Use by `Quota.key`.
        open: Reservations not settled, oldest first: id to the moment it is forgotten, which is
            `GRACE` after its expiry.
        profile: What its admitted calls look like, of an identity or a group; None before the
            first that shows something.
        seen: When its last call was admitted, µs; 0 before the first. Of a group that no line
            charges, when a call last changed its profile.
        tier: `Charge.tier` of that call.
    """

    since: int = 0
    windows: dict[str, State] = msgspec.field(default_factory=dict[str, State])
    open: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    profile: profiles.CallerProfile | profiles.Group | None = None
    seen: int = 0
    tier: str = ""

    @property
    def blank(self) -> bool:
        """Whether nothing is used or held, so that deleting the account changes nothing."""
        if self.open or (self.profile is not None and not self.profile.blank):
            return False
        for window in self.windows.values():  # noqa: SIM110 - a generator takes calls
            if not window.blank:
                return False
        return True
