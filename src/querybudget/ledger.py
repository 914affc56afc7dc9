"""Reserve and settle: everything that changes a budget is here; no clock is read, nothing awaited.

Theory of operation. A call is charged on several *lines* at once, each a quota of some partition
(this caller, its organisation, everyone). `reserve` looks at every line before it touches any: if
all enforced lines fit, all are charged and a `Reservation` says what is held; if one does not,
nothing is charged. When the call has ended, `settle` replaces what was held by what was used: the
difference is given back, or carried as debt. A store's only job is to make each of the two one
atomic step on the accounts concerned.

Shadow lines are decided the same way and kept apart: they never refuse, and they are charged only
where all lines, shadow ones included, fit, so that they hold what they would hold if they were
enforced.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from querybudget.quota import MICRO, SECOND, Quota
from querybudget.windows import Leases, State, fresh

__all__ = [
    "Account",
    "Charge",
    "Decision",
    "Line",
    "LineStatus",
    "Reservation",
    "Settled",
    "Verdict",
    "peek",
    "reserve",
    "settle",
]

UNCHARGED = -1
"""In `Reservation.held`: the line was decided but not charged."""

GRACE = 24 * 3_600 * SECOND
"""µs for which an expired reservation is remembered, so that its overshoot is charged, and once."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One quota of one partition, and what a call takes from it.

    Attributes:
        partition: Key of the account.
        quota: The quota.
        amount: µ-units to hold, before price.
        least: The part of `amount` that is sure; where only this much is left, it is granted less
            than `amount` (an unforeseeable answer holds what is left). Equal to `amount` where all
            is known.
        shadow: Decide and count, but never refuse.
    """

    partition: str
    quota: Quota
    amount: int
    least: int
    shadow: bool = False


class Charge(msgspec.Struct, frozen=True, gc=False):
    """What a call wants to reserve.

    Attributes:
        id: Unique name of the reservation.
        lines: All or none of these; no two of the same quota of the same partition.
        hold: µs after which the reservation expires if nobody settles it.
        price: Factor on every amount but leases, in millionths.
    """

    id: str
    lines: tuple[Line, ...]
    hold: int
    price: int = MICRO


class Verdict(enum.IntEnum):
    """What becomes of a charge."""

    ADMIT = 0
    WAIT = 1
    """Not yet: it fits after `Decision.wait`."""
    NEVER = 2
    """It asks for more than a quota ever grants."""


class LineStatus(msgspec.Struct, frozen=True, gc=False):
    """How one line stands after the decision.

    Attributes:
        line: The line.
        remaining: µ-units left; negative in debt.
        reset: µs until nothing of the quota is used.
        wait: µs until this line fits; 0 if it did.
        verdict: What this line alone says.
    """

    line: Line
    remaining: int
    reset: int
    wait: int = 0
    verdict: Verdict = Verdict.ADMIT


class Reservation(msgspec.Struct, frozen=True):
    """What is held from reserve until settle.

    Attributes:
        id: Unique name.
        lines: As charged.
        held: µ-units charged on each line, price included; `UNCHARGED` for a shadow line left
            alone.
        at: When it was made, µs.
        expires: When it lapses, µs.
        price: The factor it was charged at, in millionths.
    """

    id: str
    lines: tuple[Line, ...]
    held: tuple[int, ...]
    at: int
    expires: int
    price: int


class Decision(msgspec.Struct, frozen=True):
    """The answer to a charge. A refusal is a value, not an error.

    Attributes:
        verdict: Admit, not yet, or never.
        lines: One status for each line of the charge, in its order.
        wait: µs until the charge fits; exact, unless a lease is what it waits for. 0 for admit and
            never.
        reservation: What is held; None for a refusal.
        price: The factor charged, in millionths.
    """

    verdict: Verdict
    lines: tuple[LineStatus, ...]
    wait: int = 0
    reservation: Reservation | None = None
    price: int = MICRO

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
    """What a settle did."""

    DONE = "done"
    REPEATED = "repeated"
    """It had been settled, or is not known (any more): nothing changed."""
    LATE = "late"
    """The reservation had expired at its estimate: only use above it was charged."""


class Account(msgspec.Struct, array_like=True):
    """One partition's books.

    Attributes:
        since: When the partition was first seen, µs.
        windows: Use by `Quota.key`.
        open: Reservations not settled, oldest first: id to the moment it is forgotten, which is
            `GRACE` after its expiry.
    """

    since: int = 0
    windows: dict[str, State] = msgspec.field(default_factory=dict[str, State])
    open: dict[str, int] = msgspec.field(default_factory=dict[str, int])

    @property
    def blank(self) -> bool:
        """Whether nothing is used or held, so that forgetting the account changes nothing."""
        return not self.open and all(window.blank for window in self.windows.values())


# Looking up an enum's member costs more than deciding a line does.
_ADMIT = Verdict.ADMIT
_DONE, _REPEATED, _LATE = Settled.DONE, Settled.REPEATED, Settled.LATE

_Seat = tuple[Line, State, int]
"""A line, its window and the room there is."""


def reserve(accounts: Mapping[str, Account], charge: Charge, now: int) -> Decision:
    """Charge every line, or none.

    Args:
        accounts: The account of every partition on the charge's lines; changed in place.
        charge: What is wanted.
        now: µs since the epoch, of the store's clock.

    Returns:
        The decision, with the reservation where it admits.
    """
    price = charge.price
    seats: list[_Seat] = []
    refused = shadowed = False
    for line in charge.lines:
        quota, windows = line.quota, accounts[line.partition].windows
        window = windows.get(quota.key) or _begin(windows, quota)
        room = window.room(quota, now)
        seats.append((line, window, room))
        if room < (line.least if price == MICRO else _cost(window, line.least, price)):
            shadowed = shadowed or line.shadow
            refused = refused or not line.shadow
    if refused:
        return _refuse(charge, seats, now)
    return _admit(accounts, charge, seats, now, skip_shadow=shadowed)


def settle(
    accounts: Mapping[str, Account], reservation: Reservation, amounts: Sequence[int], now: int
) -> Settled:
    """Replace what is held by what was used. Settling twice changes nothing.

    Args:
        accounts: The accounts of the reservation's partitions that still exist; changed in place.
        reservation: As `reserve` made it.
        amounts: µ-units used on each line, before price; zeros give everything back.
        now: µs since the epoch, of the store's clock.

    Returns:
        What was done: nothing where no account knows the reservation.
    """
    name, price, late = reservation.id, reservation.price, now >= reservation.expires
    knowing = [key for key, account in accounts.items() if account.open.pop(name, 0) > now]
    if not knowing:
        return _REPEATED
    for line, held, amount in zip(reservation.lines, reservation.held, amounts, strict=True):
        if held == UNCHARGED or line.partition not in knowing:
            continue
        quota, windows = line.quota, accounts[line.partition].windows
        window = windows.get(quota.key) or _begin(windows, quota)
        if isinstance(window, Leases):
            window.free(name)
            continue
        difference = (amount if price == MICRO else _cost(window, amount, price)) - held
        if difference > 0 or (difference and not late):
            window.room(quota, now)
            window.adjust(quota, difference, reservation.at, now)
    return _LATE if late else _DONE


def peek(account: Account, quotas: Sequence[Quota], now: int) -> tuple[tuple[int, int], ...]:
    """(remaining µ-units, µs to reset) of each quota, charging nothing."""
    windows = [account.windows.get(quota.key) or fresh(quota) for quota in quotas]
    return tuple(
        (window.room(quota, now), window.reset(quota, now))
        for window, quota in zip(windows, quotas, strict=True)
    )


def _admit(
    accounts: Mapping[str, Account],
    charge: Charge,
    seats: Sequence[_Seat],
    now: int,
    *,
    skip_shadow: bool,
) -> Decision:
    held: list[int] = []
    statuses: list[LineStatus] = []
    name, price, expires, opened = charge.id, charge.price, now + charge.hold, None
    for line, window, room in seats:
        if line.partition != opened:
            opened = line.partition
            _open(accounts[opened].open, name, expires + GRACE, now)
        if skip_shadow and line.shadow:
            held.append(UNCHARGED)
            statuses.append(_status(line, window, room, price, now))
            continue
        amount, quota = line.amount, line.quota
        if isinstance(window, Leases):
            window.take(name, expires)
        else:
            if price != MICRO:
                amount = _cost(window, amount, price)
            amount = min(amount, room)
            window.charge(quota, amount, now)
        held.append(amount)
        statuses.append(LineStatus(line, room - amount, window.reset(quota, now)))
    reservation = Reservation(name, charge.lines, tuple(held), now, expires, price)
    return Decision(_ADMIT, tuple(statuses), 0, reservation, price)


def _refuse(charge: Charge, seats: Sequence[_Seat], now: int) -> Decision:
    statuses = tuple(_status(*seat, charge.price, now) for seat in seats)
    refusing = [status for status in statuses if status.verdict and not status.line.shadow]
    verdict = max(status.verdict for status in refusing)
    wait = max(status.wait for status in refusing) if verdict is Verdict.WAIT else 0
    return Decision(verdict, statuses, wait, None, charge.price)


def _status(line: Line, window: State, room: int, price: int, now: int) -> LineStatus:
    quota, least = line.quota, _cost(window, line.least, price)
    reset = window.reset(quota, now)
    if least <= room:
        return LineStatus(line, room, reset)
    if least > quota.capacity:
        return LineStatus(line, room, reset, 0, Verdict.NEVER)
    return LineStatus(line, room, reset, window.wait(quota, least, now), Verdict.WAIT)


def _begin(windows: dict[str, State], quota: Quota) -> State:
    window = windows[quota.key] = fresh(quota)
    return window


def _cost(window: State, amount: int, price: int) -> int:
    """`amount` at `price`, rounded up; a lease is one lease at any price."""
    return amount if isinstance(window, Leases) else -(-amount * price // MICRO)


def _open(reservations: dict[str, int], name: str, forgotten: int, now: int) -> None:
    """Note a reservation, and forget those whose time has come."""
    if name in reservations:
        return
    while reservations:
        oldest = next(iter(reservations))
        if reservations[oldest] > now:
            break
        del reservations[oldest]
    reservations[name] = forgotten
