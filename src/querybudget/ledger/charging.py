"""Charge all lines of a call or none, and settle what was charged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from querybudget.ledger.bucket_line import SCORE_RETRY, BucketLine
from querybudget.ledger.coverage import CoverageDecision, evaluate, observe
from querybudget.ledger.types import (
    GRACE,
    UNCHARGED,
    Account,
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
    Verdict,
    refusal,
)
from querybudget.ledger.windows import LARGEST_USE, LEASE_RETRY, LeaseState, State, fresh
from querybudget.units import (
    MICRO,
    NO_TIME,
    ORDINARY_PRICE,
    Algorithm,
    Micros,
    Millionths,
    Quota,
    Unit,
    priced,
)

# Looking up an enum's member costs more than deciding a line does, and so does isinstance, which
# asks a Struct's metaclass: hence `type(...) is`, of types that have no subclasses.
_ADMIT = Verdict.ADMIT
_BUCKETS, _LEASE = Unit.BUCKETS, Algorithm.LEASE
_DONE, _REPEATED, _LATE = Settled.DONE, Settled.REPEATED, Settled.LATE

_LineState = tuple[Line, State | BucketLine, int]
"""A line, its window (or a line of buckets, decided), and the room that is left."""

_Prices = Sequence[tuple[int, Millionths]]
"""Pairs of a moment in µs and the price in millionths from then on."""


def reserve(accounts: Mapping[str, Account], charge: Charge, now: int) -> Decision:
    """Charge every line, or none.

    Args:
        accounts: The accounts of the charge's partitions; changed in place.
        charge: What is wanted.
        now: µs since the epoch, of the store's clock.

    Returns:
        The decision, with a reservation if it admits.
    """
    if charge.observation is not None:
        return _reserve_seen(accounts, charge, now)
    price, lines = charge.price, charge.lines
    if len(lines) == 1 and price == MICRO:
        decision = _take_one(accounts, charge, lines[0], now)
        if decision is not None:
            return decision
    states: list[tuple[Line, State, int]] = []
    refused = shadowed = False
    for line in lines:
        quota, windows = line.quota, accounts[line.partition].windows
        window = windows.get(quota.key) or _begin(windows, quota)
        room = window.room(quota, now)
        states.append((line, window, room))
        if room < (line.minimum if price == MICRO else _cost(line, window, price)):
            shadowed = shadowed or line.shadow
            refused = refused or not line.shadow
    if refused:
        return _refuse(charge, states, now)
    return _admit(accounts, charge, states, now, skip_shadow=shadowed)


def settle(
    accounts: Mapping[str, Account], reservation: Reservation, amounts: Sequence[int], now: int
) -> Settled:
    """Replace what is held by what was used. Settling twice changes nothing.

    Args:
        accounts: Those accounts of the reservation's partitions that still exist; changed in place.
        reservation: As `reserve` made it.
        amounts: µ-units used on each line, before price; zeros refund everything. A line of
            buckets keeps all that it holds at any amount above 0: only `reserve` knows what is new.
        now: µs since the epoch, of the store's clock.

    Returns:
        What was done: nothing if no account knows the reservation.
    """
    name, price, late = reservation.id, reservation.price, now >= reservation.expires
    knowing: dict[str, Account] = {}
    for key, account in accounts.items():
        if account.open.pop(name, 0) > now:
            knowing[key] = account  # noqa: PERF403 - a comprehension takes a call
    if not knowing:
        return _REPEATED
    for line, held, amount in zip(reservation.lines, reservation.held, amounts, strict=True):
        knows = knowing.get(line.partition)
        if knows is None or held == UNCHARGED:
            continue
        quota, windows = line.quota, knows.windows
        if quota.algorithm is _LEASE:
            _free(windows.get(quota.key), name)
            continue
        if quota.unit is _BUCKETS:
            used = held if amount else 0
        else:
            used = amount if price == MICRO else priced(amount, price)
        if used == held:
            continue
        difference = min(used, LARGEST_USE) - held
        if difference > 0 or not late:
            window = windows.get(quota.key) or _begin(windows, quota)
            window.room(quota, now)
            window.adjust(quota, difference, reservation.at, now)
    return _LATE if late else _DONE


def renew(accounts: Mapping[str, Account], reservation: Reservation, ttl: int, now: int) -> Micros:
    """Hold what is reserved for another `ttl`, because its call is still open.

    Args:
        accounts: Those accounts of the reservation's partitions that still exist; changed in place.
        reservation: As `reserve` made it. One that has expired is held again, above a limit on open
            calls if need be.
        ttl: µs.
        now: µs since the epoch, of the store's clock.

    Returns:
        When it expires now, in µs since the epoch; 0 if no account knows the reservation.
    """
    name, expires = reservation.id, now + ttl
    knowing = {key for key, account in accounts.items() if account.open.get(name, 0) > now}
    for key in knowing:
        reservations = accounts[key].open
        del reservations[name]  # the newest come last
        reservations[name] = expires + GRACE
    for line, held in zip(reservation.lines, reservation.held, strict=True):
        if held == UNCHARGED or line.partition not in knowing:
            continue
        window = accounts[line.partition].windows.get(line.quota.key)
        if type(window) is LeaseState:
            window.renew(name, expires)
    return Micros(expires) if knowing else NO_TIME


def peek(account: Account, quotas: Sequence[Quota], now: int) -> tuple[tuple[int, int], ...]:
    """Return (remaining µ-units, µs to reset) of each quota; charge nothing."""
    windows = [account.windows.get(quota.key) or fresh(quota) for quota in quotas]
    return tuple(
        (window.room(quota, now), window.reset(quota, now))
        for window, quota in zip(windows, quotas, strict=True)
    )


def _reserve_seen(accounts: Mapping[str, Account], charge: Charge, now: int) -> Decision:
    coverage = evaluate(accounts, charge, now)
    price = Millionths(priced(charge.price, coverage.price))
    states: list[_LineState] = []
    refused = shadowed = False
    for line, bucket_line in zip(charge.lines, coverage.bucket_lines, strict=True):
        if bucket_line:
            states.append((line, bucket_line, bucket_line.left))
            short = bucket_line.refuses
        else:
            quota, windows = line.quota, accounts[line.partition].windows
            window = windows.get(quota.key) or _begin(windows, quota)
            room = window.room(quota, now)
            states.append((line, window, room))
            short = room < _cost(line, window, price)
        shadowed = shadowed or (short and line.shadow)
        refused = refused or (short and not line.shadow)
    if refused:
        return _refuse(charge, states, now, coverage)
    return _admit(accounts, charge, states, now, skip_shadow=shadowed, coverage=coverage)


def _take_one(
    accounts: Mapping[str, Account], charge: Charge, line: Line, now: int
) -> Decision | None:
    """Charge the only line at the ordinary price, as `_admit` does; None if it does not fit."""
    account, quota, name = accounts[line.partition], line.quota, charge.id
    window = account.windows.get(quota.key) or _begin(account.windows, quota)
    room, amount, expires = window.room(quota, now), line.amount, now + charge.ttl
    if room < line.minimum:
        return None
    account.seen, account.tier = now, charge.tier
    _open(account.open, name, expires + GRACE, now)
    if type(window) is LeaseState:
        window.take(name, expires)
        reset = LEASE_RETRY
    else:
        amount = amount if amount < room else room  # noqa: FURB136 - `min` takes long
        reset = window.charge(quota, amount, now)
    status = LineStatus(line, room - amount, reset)
    reservation = Reservation(
        name, charge.lines, (amount,), now, expires, ORDINARY_PRICE, charge.verified
    )
    return Decision(_ADMIT, (status,), NO_TIME, reservation)


def _admit(
    accounts: Mapping[str, Account],
    charge: Charge,
    states: Sequence[_LineState],
    now: int,
    *,
    skip_shadow: bool,
    coverage: CoverageDecision | None = None,
) -> Decision:
    """Charge every line; with `skip_shadow`, only those shadow lines that are judged apart."""
    name, expires, tier, opened = charge.id, now + charge.ttl, charge.tier, None
    price = charge.price
    if coverage is not None:
        price = Millionths(priced(price, coverage.price))
    dear = price != MICRO
    held: list[int] = []
    statuses: list[LineStatus] = []
    for line, window, room in states:
        if line.partition != opened:
            opened = line.partition
            account = accounts[opened]
            account.seen, account.tier = now, tier
            _open(account.open, name, expires + GRACE, now)
        if skip_shadow and line.shadow and not line.quota.apart:
            held.append(UNCHARGED)
            prices = _prices(charge, coverage, now)
            statuses.append(_status(line, window, room, charge, prices, coverage))
            continue
        amount = line.amount
        if type(window) is LeaseState:
            window.take(name, expires)
            reset = LEASE_RETRY
        elif type(window) is BucketLine:
            held.append(window.amount)
            statuses.append(window.take(now))
            continue
        else:
            if dear and line.quota.unit is not _BUCKETS:
                amount = priced(amount, price)
            amount = amount if amount < room else room  # noqa: FURB136 - `min` takes long
            reset = window.charge(line.quota, amount, now)
        held.append(amount)
        statuses.append(LineStatus(line, room - amount, reset))
    reservation = Reservation(name, charge.lines, tuple(held), now, expires, price, charge.verified)
    decision = Decision(_ADMIT, tuple(statuses), NO_TIME, reservation, price)
    if coverage is None:
        return decision
    observe(accounts, charge, coverage, now)
    return coverage.added_to(decision)


def _refuse(
    charge: Charge, states: Sequence[_LineState], now: int, coverage: CoverageDecision | None = None
) -> Decision:
    prices = _prices(charge, coverage, now)
    statuses = tuple(_status(*state, charge, prices, coverage) for state in states)
    verdict, wait = refusal(statuses)
    decision = Decision(verdict, statuses, wait, None, prices[0][1])
    return decision if coverage is None else coverage.added_to(decision)


def _status(
    line: Line,
    window: State | BucketLine,
    room: int,
    charge: Charge,
    prices: _Prices,
    coverage: CoverageDecision | None,
) -> LineStatus:
    """The status of a line on which nothing is charged."""
    now, price = prices[0]
    if type(window) is BucketLine:
        return window.status(now)
    quota = line.quota
    reset = window.reset(quota, now)
    if _cost(line, window, price) <= room:
        return LineStatus(line, room, reset)
    for index, (begin, price) in enumerate(prices):
        minimum = _cost(line, window, price)
        if minimum > quota.capacity:
            continue
        fits = max(begin, now + window.wait(quota, minimum, now))
        if index + 1 == len(prices) or fits < prices[index + 1][0]:
            return LineStatus(line, room, reset, Micros(fits - now), Verdict.WAIT)
    packs = coverage is not None and coverage.packs
    if not packs and _cost(line, window, charge.price) <= quota.capacity:
        # Only the score makes it dear, and that falls.
        return LineStatus(line, room, reset, SCORE_RETRY, Verdict.WAIT)
    return LineStatus(line, room, reset, NO_TIME, Verdict.NEVER)


def _prices(charge: Charge, coverage: CoverageDecision | None, now: int) -> _Prices:
    """The price from each moment on, from now, if no more buckets are spent."""
    if coverage is None or coverage.price == MICRO:
        return ((now, charge.price),)
    return tuple(
        (at, Millionths(priced(charge.price, price))) for at, price in coverage.prices(now)
    )


def _begin(windows: dict[str, State], quota: Quota) -> State:
    window = windows[quota.key] = fresh(quota)
    return window


def _free(window: State | None, name: str) -> None:
    if type(window) is LeaseState:
        window.free(name)


def _cost(line: Line, window: State, price: int) -> int:
    """The least that a line takes; leases and buckets are so many at any price."""
    if type(window) is LeaseState or line.quota.unit is _BUCKETS:
        return line.minimum
    return priced(line.minimum, price)


def _open(reservations: dict[str, int], name: str, forgotten: int, now: int) -> None:
    """Add a reservation, and drop those whose time has come."""
    if name in reservations:
        return
    while reservations:
        oldest = next(iter(reservations))
        if reservations[oldest] > now:
            break
        del reservations[oldest]
    reservations[name] = forgotten
