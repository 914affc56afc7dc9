"""The binary layout of what scripts are sent and return, and of accounts (see `lua/`)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.errors import StoreError
from querybudget.ledger import Account, Charge, Reservation
from querybudget.ledger.windows import CalendarState, GcraState, LeaseState, SlidingState, State
from querybudget.stores.accounts import AccountRecord
from querybudget.units import MICRO, Algorithm, Quota, Unit, priced

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
}

_UNPRICED = {Unit.CONCURRENT, Unit.BUCKETS}

_GENERATION, _ID = 6, 12
"""Bytes of an account's generation, which tells it from a forgotten one of the same key, and of a
reservation's id."""

_ACCOUNT_HEAD = 1 + _GENERATION + 7 + 7 + 4 + 7

_LAST = "@"
"""Name of the record of an account's last call (`lua/account.lua`)."""

_LONGEST_TIER = 255
_MOST_OPEN = 10_000

NO_PROFILE, ANY_PROFILE = bytes(_ID), b"\xff" * _ID
"""Versions that stand for no profile, and for any profile."""

_CALL = struct.Struct(">QQQBB12s6s")
_REQUESTED_LINE = struct.Struct(">BBQq")
_RESERVATION = struct.Struct(">QQQQ")
_RANGE = struct.Struct(">Bqq")

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[CallerProfile | Group] = msgspec.msgpack.Decoder(
    CallerProfile | Group
)


def short_name(name: str) -> bytes:
    """Return the 12 bytes that name a reservation in an account."""
    return blake2b(name.encode(), digest_size=_ID).digest()


class QuotaCodec:
    """Packs quotas for scripts, and remembers them: a calendar's until its period ends."""

    def __init__(self) -> None:
        self._packed: dict[int, tuple[Quota, bytes, int, int]] = {}

    def pack(self, quota: Quota, moments: Sequence[int]) -> bytes:
        """Return what a script needs to know about a quota.

        Args:
            quota: The quota.
            moments: What a calendar's list of periods has to reach: the present in µs and, if a
                script asked for them, a moment and the number of periods from there on.
        """
        found = self._packed.get(id(quota))
        if found is not None and found[0] is quota:
            if quota.algorithm is not Algorithm.CALENDAR:
                return found[1]
            if len(moments) == 1 and found[2] <= moments[0] < found[3]:
                return found[1]
        packed, begin, end = _quota(quota), 0, 0
        if quota.algorithm is Algorithm.CALENDAR:
            periods = _periods(quota, moments)
            packed += b"".join([_uint56(bound) for period in periods for bound in period])
            if len(moments) > 1:  # what few calls need
                return packed
            begin, end = periods[1]
        if len(self._packed) >= MAX_REMEMBERED:
            self._packed.clear()
        self._packed[id(quota)] = quota, packed, begin, end
        return packed


def _quota(quota: Quota) -> bytes:
    key = quota.key.encode()
    gcra = quota.algorithm is Algorithm.GCRA
    numbers = (quota.burst, *quota.rate) if gcra else (quota.limit, quota.window, quota.slot)
    head = _ALGORITHMS[quota.algorithm] + b"".join(map(_uint56, numbers))
    return head + bytes([len(key)]) + key


def _periods(quota: Quota, moments: Sequence[int]) -> list[tuple[int, int]]:
    """Return the periods around the first moment, and before them those that a script asked for."""
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
    return periods


def _uint56(number: int) -> bytes:
    return min(number, MAX_NUMBER).to_bytes(7, "big")


class Deciding(msgspec.Struct, frozen=True):
    """What a client has decided of a call before a script charges it.

    Attributes:
        price: The factor on every line but leases and buckets, in millionths.
        amounts: What each line of buckets costs, by the index of the line, µ-buckets.
        refused: Indexes of shadow lines that refuse whatever is left on them.
        uncharged: Indexes of shadow lines to leave uncharged even if they fit.
        decided: What it was decided on, packed by `pack_decided`; empty if no profile takes part.
        profiles: The new profiles of accounts, packed, in order.
    """

    price: int
    amounts: Mapping[int, int] = {}
    refused: Collection[int] = ()
    uncharged: Collection[int] = ()
    decided: bytes = b""
    profiles: Sequence[bytes] = ()


def pack_charge(charge: Charge, numbers: Mapping[str, int], now: int, deciding: Deciding) -> bytes:
    """Return a call as `reserve.lua` takes it.

    Args:
        charge: The call's.
        numbers: The number of each partition's account, from 1; those of lines come first.
        now: µs; 0 for the server's own time.
        deciding: What is decided of it.
    """
    name, lines, price = short_name(charge.id), charge.lines, deciding.price
    charged = len({line.partition for line in lines})
    head = _CALL.pack(now, charge.ttl, price, len(lines), charged, name, name[:_GENERATION])
    head += pack_tier(charge.tier)
    packed: list[bytes] = []
    for index, line in enumerate(lines):
        amount, minimum = line.amount, line.minimum
        if index in deciding.amounts:
            amount = deciding.amounts[index]
            minimum = MAX_NUMBER if index in deciding.refused else amount or -MAX_NUMBER
        elif price != MICRO and line.quota.unit not in _UNPRICED:
            amount, minimum = priced(amount, price), priced(minimum, price)
        shadow = 2 if index in deciding.uncharged else line.shadow and not line.quota.apart
        amount, minimum = min(amount, MAX_NUMBER), min(minimum, MAX_NUMBER)
        packed.append(_REQUESTED_LINE.pack(numbers[line.partition], shadow, amount, minimum))
    return head + b"".join(packed) + pack_probation(charge, numbers)


def pack_tier(tier: str) -> bytes:
    """Return a tier's name as scripts take it; one beyond 255 bytes is cut."""
    name = tier.encode("utf-8", "replace")[:_LONGEST_TIER]
    return bytes([len(name)]) + name


def pack_decided(
    versions: Sequence[tuple[bytes, bool]], ranges: Sequence[tuple[int, int, int]]
) -> bytes:
    """Return what a call was decided on, for `reserve.lua`.

    Args:
        versions: For each account the version of its profile as it was read, and whether it gets a
            new one.
        ranges: For each line of buckets its index, and the least and the most µ-buckets that may be
            left on it.
    """
    parts: list[bytes] = []
    count = 0
    for version, changes in versions:
        count += changes
        parts.append(version + bytes([count if changes else 0]))
    return b"".join(parts) + b"".join(
        _RANGE.pack(line + 1, least, most) for line, least, most in ranges
    )


def used(reservation: Reservation, amounts: Sequence[int]) -> list[int]:
    """Return what was used of each line, price included."""
    price = reservation.price
    lines = zip(reservation.lines, reservation.held, amounts, strict=True)
    return [
        (max(0, held) if amount else 0)
        if line.quota.unit is Unit.BUCKETS
        else priced(amount, price)
        for line, held, amount in lines
    ]


def pack_probation(charge: Charge | Reservation, numbers: Mapping[str, int]) -> bytes:
    """Return the numbers of the accounts that end soon, because their callers are not verified."""
    return bytes(numbers[name] for name in charge.on_probation if name in numbers)


def unpack_reservation(charge: Charge, record: bytes, accounts: int) -> Reservation:
    """Return the reservation that the server keeps of a charge on this number of accounts.

    The first number is when the server drops it, some time after it expired.
    """
    _, at, expires, price = _RESERVATION.unpack_from(record)
    offset = _RESERVATION.size + _GENERATION * accounts
    held = struct.unpack_from(f">{len(charge.lines)}q", record, offset)
    return charge.reserved(held, at, expires, price)


def unpack_account(packed: bytes) -> Account:
    """Return an account for the ledger, without its open calls.

    Raises:
        StoreError: A later version of querybudget wrote it.
    """
    if packed[0] != VERSION:
        raise StoreError(
            f"expected an account of layout {VERSION}, found {packed[0]}: a later version of"
            " querybudget wrote it"
        )
    account = Account(since(packed))
    for name, record in records(packed):
        if name == _LAST:
            account.seen, account.tier = (
                _uints(record, 1, (7,))[0],
                record[8:].decode(errors="ignore"),
            )
        elif name:
            reader = _READERS.get(name.partition(":")[0].removesuffix("+"))
            if reader is not None:  # else another version counted in it
                account.windows[name] = reader(record)
        else:
            account.profile = unpack_profile(record[_ID:])
    return account


def unpack_accounts(packed: Mapping[str, bytes], now: int) -> dict[str, Account]:
    """Return accounts by partition, new ones where there is none. Raises as `unpack_account`."""
    return {
        partition: unpack_account(account) if account else Account(now)
        for partition, account in packed.items()
    }


def record_of(partition: str, packed: bytes) -> AccountRecord:
    """Return an account for operators. Raises as `unpack_account`.

    Its open calls have numbers for names, and all are forgotten when the last of them is: servers
    keep no more.
    """
    account = unpack_account(packed)
    count, held = _uints(packed, _ACCOUNT_HEAD - 11, (4, 7))
    account.open = {str(number): held for number in range(min(count, _MOST_OPEN))}
    last = next((record for name, record in records(packed) if name == _LAST), b"\1")
    return AccountRecord(partition, account, known=last[0] == 1)


def since(account: bytes) -> int:
    """Return when an account was opened, µs."""
    return int.from_bytes(account[7:14], "big")


def profile_of(account: bytes) -> tuple[bytes, bytes]:
    """Return the version of an account's profile, and the profile, packed; empty without one."""
    record = next((record for name, record in records(account) if not name), NO_PROFILE)
    return record[:_ID], record[_ID:]


def pack_profile(profile: CallerProfile | Group | None) -> bytes:
    """Return a profile as servers keep it."""
    return _encoder.encode(profile) if profile else b""


def unpack_profile(packed: bytes) -> CallerProfile | Group | None:
    """Inverse of `pack_profile`; None if another version of querybudget wrote it, or damage."""
    try:
        return _decoder.decode(packed) if packed else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def records(account: bytes) -> Iterator[tuple[str, bytes]]:
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


def unpack_sliding(record: bytes) -> SlidingState:
    """Return a sliding window from its record."""
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


_READERS = {
    "sliding": unpack_sliding,
    "gcra": _gcra,
    "calendar": _calendar,
    "lease": _leases,
}
