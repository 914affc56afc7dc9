"""The binary layout of what scripts are sent and return, and of accounts (see `lua/`)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b

from querybudget.coverage import Profile, Reason, Stage
from querybudget.coverage.buckets import BucketState, Pending
from querybudget.coverage.response import BucketResponse
from querybudget.coverage.score import VIEWS
from querybudget.errors import StoreError
from querybudget.ledger import Account, Charge, Decision, Line, LineStatus, Reservation, Verdict
from querybudget.ledger.windows import CalendarState, GcraState, LeaseState, SlidingState, State
from querybudget.units import NO_TIME, Algorithm, Quota

MAX_NUMBER = 2**53 - 1
"""The largest whole number that Lua counts exactly. Larger ones are cut to it."""

VERSION = 1
"""Version of the layout of an account."""

PERIODS_AHEAD = 2
"""Periods of a calendar sent beyond the present one."""

MAX_PERIODS = 5_000
"""Past periods of a calendar in one list."""

MAX_REMEMBERED = 4_096
"""Quotas whose packed form is kept."""

_ALGORITHMS = {
    Algorithm.SLIDING: b"s",
    Algorithm.GCRA: b"l",
    Algorithm.CALENDAR: b"p",
    Algorithm.LEASE: b"c",
    Algorithm.DISTINCT: b"b",
}
_VIEWS: tuple[str, ...] = tuple(VIEWS)

_GENERATION, _ID = 6, 12
"""Bytes of an account's generation, by which it differs from a forgotten one, and of an id."""

_ACCOUNT_HEAD = 1 + _GENERATION + 7 + 7 + 4 + 7
_PROFILE_HEAD = 4 + 7 + 4 + 2
_PENDING = 2 + _ID + 7 + 7 + 7

_CALL = struct.Struct(">QQQBB12s6s")
_REQUESTED_LINE = struct.Struct(">BBQQ")
_ADMISSION = struct.Struct(">QQBQQB")
_ADMITTED_LINE = struct.Struct(">qqqQ")
_RESERVATION = struct.Struct(">QQQQ")
_REASON = struct.Struct(">Bi")


def short_name(name: str) -> bytes:
    """Return the 12 bytes that name a reservation in an account."""
    return blake2b(name.encode(), digest_size=_ID).digest()


def pack_cells(charge: Charge) -> bytes:
    """Return the buckets that a call would visit."""
    cells = charge.observation.cells if charge.observation else ()
    return struct.pack(f">{len(cells)}H", *cells)


class QuotaCodec:
    """Packs quotas for scripts. Remembers all of it but the periods of calendars."""

    def __init__(self) -> None:
        self._packed: dict[int, tuple[Quota, BucketResponse | None, bytes]] = {}

    def pack(self, line: Line, moments: Sequence[int]) -> bytes:
        """Return what a script needs to know about a line's quota.

        Args:
            line: The line.
            moments: What a calendar's list of periods has to reach: the present in µs and, if a
                script asked for them, a moment and the number of periods from there on.
        """
        quota, response = line.quota, line.response
        packed = self._packed.get(id(quota))
        if packed is None or packed[0] is not quota or packed[1] is not response:
            if len(self._packed) >= MAX_REMEMBERED:
                self._packed.clear()
            packed = self._packed[id(quota)] = quota, response, _quota(quota, response)
        if quota.algorithm is Algorithm.CALENDAR:
            return packed[2] + _periods(quota, moments)
        return packed[2]


def _quota(quota: Quota, response: BucketResponse | None) -> bytes:
    key = quota.key.encode()
    gcra = quota.algorithm is Algorithm.GCRA
    numbers = (quota.burst, *quota.rate) if gcra else (quota.limit, quota.window, quota.slot)
    head = _ALGORITHMS[quota.algorithm] + b"".join(map(_uint56, numbers))
    tail = _response(response) if quota.algorithm is Algorithm.DISTINCT else b""
    return head + bytes([len(key)]) + key + tail


def _response(response: BucketResponse | None) -> bytes:
    if response is None:
        return b"\0"
    stages = b"".join(struct.pack(">BI", stage, strain) for stage, strain in response.stages)
    head = struct.pack(">BB", 1, response.scored) + _uint56(response.delay)
    prices = struct.pack(f">{len(response.prices)}I", *response.prices)
    return head + bytes([len(response.stages)]) + stages + prices


def _periods(quota: Quota, moments: Sequence[int]) -> bytes:
    """Return the periods around the first moment, and those that a script asked for."""
    bounds = quota.bounds
    if bounds is None:
        raise ValueError(f"budget {quota.name!r} has a calendar window but no calendar")
    present = bounds(moments[0])
    periods = [bounds(present[0] - 1), present]
    for _ in range(PERIODS_AHEAD):
        periods.append(bounds(periods[-1][1]))
    if len(moments) > 1:
        _, moment, count = moments
        past: list[tuple[int, int]] = []
        while len(past) < min(count, MAX_PERIODS) and moment < periods[0][0]:
            past.append(bounds(moment))
            moment = past[-1][1]
        periods = past + periods
    return b"".join(_uint56(bound) for period in periods for bound in period)


def _uint56(number: int) -> bytes:
    return min(number, MAX_NUMBER).to_bytes(7, "big")


def pack_charge(
    charge: Charge,
    numbers: Mapping[str, int],
    now: int,
    fixed_price: bool,  # noqa: FBT001 - one of the layout's fields
    uncharged: Collection[int],
) -> bytes:
    """Return a call as `reserve.lua` takes it, from the arguments of `SingleServerOps.reserve`.

    `numbers` has the number of each partition's account, from 1. `now` is in µs, and 0 for the
    server's own time.
    """
    name = short_name(charge.id)
    count = len(charge.lines)
    head = _CALL.pack(now, charge.ttl, charge.price, fixed_price, count, name, name[:_GENERATION])
    lines = [
        _REQUESTED_LINE.pack(
            numbers[line.partition],
            2 if index in uncharged else line.shadow,
            min(line.amount, MAX_NUMBER),
            min(line.minimum, MAX_NUMBER),
        )
        for index, line in enumerate(charge.lines)
    ]
    return head + b"".join(lines) + pack_probation(charge, numbers)


def pack_probation(charge: Charge | Reservation, numbers: Mapping[str, int]) -> bytes:
    """Return the numbers of the accounts that end soon, because their callers are not verified."""
    return bytes(numbers[name] for name in charge.on_probation if name in numbers)


def unpack_admission(charge: Charge, reply: bytes) -> Decision:
    """Return the decision of a call that `reserve.lua` admitted."""
    now, price, stage, delay, shadow_price, shadow_stage = _ADMISSION.unpack_from(reply, 1)
    offset = 1 + _ADMISSION.size
    held: list[int] = []
    statuses: list[LineStatus] = []
    for line in charge.lines:
        amount, left, reset, strain = _ADMITTED_LINE.unpack_from(reply, offset)
        held.append(amount)
        statuses.append(LineStatus(line, left, reset, NO_TIME, Verdict.ADMIT, strain))
        offset += _ADMITTED_LINE.size
    reservation = charge.reserved(tuple(held), now, now + charge.ttl, price)
    return Decision(
        Verdict.ADMIT,
        tuple(statuses),
        NO_TIME,
        reservation,
        price,
        Stage(stage),
        delay,
        shadow_price,
        Stage(shadow_stage),
        unpack_reasons(reply[offset:]),
    )


def pack_reasons(reasons: Sequence[Reason]) -> bytes:
    """Return the reasons of a score, five bytes for each view."""
    return b"".join(_REASON.pack(_VIEWS.index(one.signal), one.share) for one in reasons)


def unpack_reasons(packed: bytes) -> tuple[Reason, ...]:
    """Inverse of `pack_reasons`."""
    numbers: list[tuple[int, int]] = list(_REASON.iter_unpack(packed))
    return tuple(Reason(_VIEWS[view], share) for view, share in numbers)


def unpack_reservation(charge: Charge, record: bytes, accounts: int) -> Reservation:
    """Return the reservation that the server keeps of a charge on this number of accounts.

    The first number is when the server drops it, some time after it expired.
    """
    _, at, expires, price = _RESERVATION.unpack_from(record)
    offset = _RESERVATION.size + _GENERATION * accounts
    held = struct.unpack_from(f">{len(charge.lines)}q", record, offset)
    return charge.reserved(held, at, expires, price)


def unpack_account(packed: bytes) -> Account:
    """Return an account for the ledger, without its open calls and its profile's sketches.

    Raises:
        StoreError: A later version of querybudget wrote it.
    """
    if packed[0] != VERSION:
        raise StoreError(
            f"expected an account of layout {VERSION}, found {packed[0]}: a later version of"
            " querybudget wrote it"
        )
    account = Account(int.from_bytes(packed[7:14], "big"))
    for name, record in _records(packed):
        if name:
            account.windows[name] = _READERS[name.partition(":")[0]](record)
        else:
            account.profile = unpack_profile_head(record)[0]
    return account


def unpack_accounts(
    partitions: Sequence[str], packed: Sequence[bytes], now: int
) -> dict[str, Account]:
    """Return accounts by partition, new ones where there is none. Raises as `unpack_account`."""
    return {
        partition: unpack_account(account) if account else Account(now)
        for partition, account in zip(partitions, packed, strict=True)
    }


def profile_record(account: bytes) -> bytes | None:
    """Return the record of an account's profile."""
    return next((record for name, record in _records(account) if not name), None)


def unpack_profile_head(record: bytes) -> tuple[Profile, int, bytes]:
    """Return a profile with its score only, its version, and the rest, still packed."""
    score, scored_at, version, size = _uints(record, 0, (4, 7, 4, 2))
    reasons = unpack_reasons(record[_PROFILE_HEAD : _PROFILE_HEAD + size])
    profile = Profile(score, scored_at, reasons=reasons)
    return profile, version, record[_PROFILE_HEAD + size :]


def _records(account: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each record: windows by key, and the profile without a name."""
    offset = _ACCOUNT_HEAD
    while offset < len(account):
        name_end = offset + 1 + account[offset]
        start = name_end + 3
        end = start + int.from_bytes(account[name_end:start], "big")
        yield account[offset + 1 : name_end].decode(), account[start:end]
        offset = end


def _uints(record: bytes, offset: int, sizes: Sequence[int]) -> tuple[int, ...]:
    numbers: list[int] = []
    for size in sizes:
        numbers.append(int.from_bytes(record[offset : offset + size], "big"))
        offset += size
    return tuple(numbers)


def _gcra(record: bytes) -> State:
    return GcraState(*_uints(record, 0, (7, 7, 7)))


def _sliding(record: bytes) -> State:
    total, debt, due = _uints(record, 0, (7, 7, 7))
    marks = list(_uints(record, 21, (7,) * ((len(record) - 21) // 7)))
    return SlidingState(total, marks, debt, due)


def _calendar(record: bytes) -> State:
    return CalendarState(*_uints(record, 0, (7, 7)))


def _leases(record: bytes) -> State:
    return LeaseState(
        {
            record[start : start + _ID].hex(): _uints(record, start + _ID, (7,))[0]
            for start in range(0, len(record), _ID + 7)
        }
    )


def _buckets(record: bytes) -> State:
    window, tail, head, total, stage, count = _uints(record, 0, (7, 7, 7, 7, 1, 1))
    offset = 30
    layers: dict[int, bytes] = {}
    for _ in range(count):
        weight, size = _uints(record, offset, (7, 2))
        layers[weight] = record[offset + 9 : offset + 9 + size]
        offset += 9 + size
    pending: dict[int, dict[str, Pending]] = {}
    for start in range(offset, len(record), _PENDING):
        (cell,) = _uints(record, start, (2,))
        name = record[start + 2 : start + 2 + _ID].hex()
        entry = Pending(*_uints(record, start + 2 + _ID, (7, 7, 7)))
        pending.setdefault(cell, {})[name] = entry
    return BucketState(window, tail, head, total, Stage(stage), layers, pending)


_READERS = {
    "sliding": _sliding,
    "gcra": _gcra,
    "calendar": _calendar,
    "lease": _leases,
    "distinct": _buckets,
}
