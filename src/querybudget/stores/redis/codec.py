"""What goes to the scripts and comes back, and how an account is read: the layouts of `lua/`."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from querybudget.coverage import Profile, Reason, Stage
from querybudget.coverage.buckets import BucketState, Pending
from querybudget.coverage.response import BucketResponse
from querybudget.coverage.score import VIEWS
from querybudget.errors import StoreError
from querybudget.ledger import Account, Charge, Decision, Line, LineStatus, Reservation, Verdict
from querybudget.ledger.windows import CalendarState, GcraState, LeaseState, SlidingState, State
from querybudget.units import Algorithm, Quota

__all__ = [
    "MOST",
    "Held",
    "Quotas",
    "admitted",
    "packed_cells",
    "packed_charge",
    "packed_reasons",
    "profile_of",
    "read_account",
    "read_accounts",
    "read_held",
    "read_profile",
    "read_reasons",
    "short_name",
]

MOST = 2**53 - 1
"""The largest whole number that scripts count exactly; more is cut to it."""

VERSION = 1
"""Layout of an account."""

_KINDS = {
    Algorithm.SLIDING: b"s",
    Algorithm.GCRA: b"l",
    Algorithm.CALENDAR: b"p",
    Algorithm.LEASE: b"c",
    Algorithm.DISTINCT: b"b",
}
_CALL = struct.Struct(">QQQBB12s6s")
_ASKED = struct.Struct(">BBQQ")
_ADMITTED = struct.Struct(">QQBQQB")
_LINE = struct.Struct(">qqqQ")
_HELD = struct.Struct(">QQQQ")
_GEN, _ID = 6, 12
_REASON = struct.Struct(">Bi")
_SIGNALS: tuple[str, ...] = tuple(VIEWS)
_AHEAD = 2
"""Periods of a calendar that are told beyond the present one."""


def short_name(name: str) -> bytes:
    """The twelve bytes that a reservation goes by in an account."""
    return blake2b(name.encode(), digest_size=_ID).digest()


def packed_cells(charge: Charge) -> bytes:
    """The buckets that a call would visit."""
    cells = charge.observation.cells if charge.observation else ()
    return struct.pack(f">{len(cells)}H", *cells)


class Quotas:
    """What scripts are told of quotas. All but calendars are packed once and remembered."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Quota, BucketResponse | None, bytes]] = {}

    def packed(self, line: Line, moments: Sequence[int]) -> bytes:
        """What a script is told of a line's quota.

        Args:
            line: The line.
            moments: What a calendar's list of periods has to reach: about now in µs; and, where a
                script asked for it, a moment and for how many periods from there on.
        """
        quota, response = line.quota, line.response
        known = self._known.get(id(quota))
        if known is None or known[0] is not quota or known[1] is not response:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[id(quota)] = quota, response, _quota(quota, response)
        if quota.algorithm is Algorithm.CALENDAR:
            return known[2] + _periods(quota, moments)
        return known[2]


def _quota(quota: Quota, response: BucketResponse | None) -> bytes:
    key = quota.key.encode()
    gcra = quota.algorithm is Algorithm.GCRA
    numbers = (quota.burst, *quota.rate) if gcra else (quota.limit, quota.window, quota.slot)
    head = _KINDS[quota.algorithm] + b"".join(map(_seven, numbers))
    more = _response(response) if quota.algorithm is Algorithm.DISTINCT else b""
    return head + bytes([len(key)]) + key + more


def _response(response: BucketResponse | None) -> bytes:
    if response is None:
        return b"\0"
    stages = b"".join(struct.pack(">BI", stage, begin) for stage, begin in response.stages)
    head = struct.pack(">BB", 1, response.scored) + _seven(response.delay)
    prices = struct.pack(f">{len(response.prices)}I", *response.prices)
    return head + bytes([len(response.stages)]) + stages + prices


def _periods(quota: Quota, moments: Sequence[int]) -> bytes:
    """The periods around the first moment; and from the second on as many as the third says."""
    bounds = quota.bounds
    if bounds is None:
        raise ValueError(f"budget {quota.name!r} has a calendar window but no calendar")
    present = bounds(moments[0])
    periods = [bounds(present[0] - 1), present]
    for _ in range(_AHEAD):
        periods.append(bounds(periods[-1][1]))
    if len(moments) > 1:
        _, moment, owed = moments
        past: list[tuple[int, int]] = []
        while len(past) < min(owed, _LONGEST_LIST) and moment < periods[0][0]:
            past.append(bounds(moment))
            moment = past[-1][1]
        periods = past + periods
    return b"".join(_seven(bound) for period in periods for bound in period)


_LONGEST_LIST = 5_000
_REMEMBERED = 4_096


def _seven(number: int) -> bytes:
    return min(number, MOST).to_bytes(7, "big")


def packed_charge(
    charge: Charge,
    owners: Mapping[str, int],
    now: int,
    *,
    fixed: bool = False,
    alone: Collection[int] = (),
) -> bytes:
    """What `reserve.lua` is told of a call.

    Args:
        charge: The call's.
        owners: The number of each partition's account, from 1.
        now: µs; 0 for the server's own time.
        fixed: Whether the price is the last word, whatever the lines of buckets say.
        alone: Places of shadow lines that are to be left uncharged, though they may fit.
    """
    name = short_name(charge.id)
    head = _CALL.pack(now, charge.hold, charge.price, fixed, len(charge.lines), name, name[:_GEN])
    lines = [
        _ASKED.pack(
            owners[line.partition],
            2 if n in alone else line.shadow,
            min(line.amount, MOST),
            min(line.minimum, MOST),
        )
        for n, line in enumerate(charge.lines)
    ]
    return head + b"".join(lines)


def admitted(charge: Charge, reply: bytes) -> Decision:
    """The decision of a call that was admitted, as `reserve.lua` answers it."""
    now, price, stage, delay, shadow_price, shadow_stage = _ADMITTED.unpack_from(reply, 1)
    at = 1 + _ADMITTED.size
    held: list[int] = []
    statuses: list[LineStatus] = []
    for line in charge.lines:
        taken, left, reset, strain = _LINE.unpack_from(reply, at)
        held.append(taken)
        statuses.append(LineStatus(line, left, reset, 0, Verdict.ADMIT, strain))
        at += _LINE.size
    reservation = Reservation(
        charge.id,
        charge.lines,
        tuple(held),
        now,
        now + charge.hold,
        price,
        charge.observation,
        charge.profiled,
    )
    return Decision(
        Verdict.ADMIT,
        tuple(statuses),
        0,
        reservation,
        price,
        Stage(stage),
        delay,
        shadow_price,
        Stage(shadow_stage),
        read_reasons(reply[at:]),
    )


def packed_reasons(why: Sequence[Reason]) -> bytes:
    """What a judgement was made of, five bytes for each view."""
    return b"".join(_REASON.pack(_SIGNALS.index(each.signal), each.share) for each in why)


def read_reasons(packed: bytes) -> tuple[Reason, ...]:
    """The other way round."""
    found: list[tuple[int, int]] = list(_REASON.iter_unpack(packed))
    return tuple(Reason(_SIGNALS[view], share) for view, share in found)


class Held(NamedTuple):
    """A reservation as the server keeps it."""

    forgotten: int
    at: int
    expires: int
    price: int
    held: tuple[int, ...]


def read_held(record: bytes, accounts: int, lines: int) -> Held:
    """Read a reservation of so many accounts and lines."""
    numbers = _HELD.unpack_from(record)
    held = struct.unpack_from(f">{lines}q", record, _HELD.size + _GEN * accounts)
    return Held(numbers[0], numbers[1], numbers[2], numbers[3], held)


# -- Accounts ---------------------------------------------------------------------------------

_HEAD = 1 + _GEN + 7 + 7 + 4 + 7


def read_account(blob: bytes) -> Account:
    """An account as the ledger has it, less its open calls and what its profile rests on.

    Raises:
        StoreError: A later version wrote it.
    """
    if blob[0] != VERSION:
        raise StoreError(
            f"expected an account of layout {VERSION}, found {blob[0]}: a later version of"
            " querybudget wrote it"
        )
    account = Account(int.from_bytes(blob[7:14], "big"))
    for name, record in _records(blob):
        if name:
            account.windows[name] = _READERS[name.partition(":")[0]](record)
        else:
            account.profile = read_profile(record)[0]
    return account


def read_accounts(
    partitions: Sequence[str], blobs: Sequence[bytes], now: int
) -> dict[str, Account]:
    """Accounts as they are kept, new ones for whom there is none. Raises as `read_account` does."""
    return {
        partition: read_account(blob) if blob else Account(now)
        for partition, blob in zip(partitions, blobs, strict=True)
    }


def _records(blob: bytes) -> Iterator[tuple[str, bytes]]:
    at = _HEAD
    while at < len(blob):
        name_ends = at + 1 + blob[at]
        begin = name_ends + 3
        end = begin + int.from_bytes(blob[name_ends:begin], "big")
        yield blob[at + 1 : name_ends].decode(), blob[begin:end]
        at = end


_PROFILE = 4 + 7 + 4 + 2


def read_profile(record: bytes) -> tuple[Profile, int, bytes]:
    """The score of a profile, its version, and what it rests on, still packed."""
    found, at, version, size = _numbers(record, 0, (4, 7, 4, 2))
    why = read_reasons(record[_PROFILE : _PROFILE + size])
    profile = Profile(found, at, reasons=why)
    return profile, version, record[_PROFILE + size :]


def profile_of(blob: bytes) -> bytes | None:
    """The record of an account's profile."""
    return next((record for name, record in _records(blob) if not name), None)


def _numbers(record: bytes, at: int, sizes: Sequence[int]) -> tuple[int, ...]:
    found: list[int] = []
    for size in sizes:
        found.append(int.from_bytes(record[at : at + size], "big"))
        at += size
    return tuple(found)


def _level(record: bytes) -> State:
    return GcraState(*_numbers(record, 0, (7, 7, 7)))


def _slots(record: bytes) -> State:
    total, debt, due = _numbers(record, 0, (7, 7, 7))
    marks = list(_numbers(record, 21, (7,) * ((len(record) - 21) // 7)))
    return SlidingState(total, marks, debt, due)


def _period(record: bytes) -> State:
    return CalendarState(*_numbers(record, 0, (7, 7)))


def _leases(record: bytes) -> State:
    return LeaseState(
        {
            record[at : at + _ID].hex(): int.from_bytes(record[at + _ID : at + _ID + 7], "big")
            for at in range(0, len(record), _ID + 7)
        }
    )


_ENTRY = 2 + _ID + 7 + 7 + 7


def _buckets(record: bytes) -> State:
    window, tail, head, total, stage, count = _numbers(record, 0, (7, 7, 7, 7, 1, 1))
    at = 30
    layers: dict[int, bytes] = {}
    for _ in range(count):
        weight, size = _numbers(record, at, (7, 2))
        layers[weight] = record[at + 9 : at + 9 + size]
        at += 9 + size
    pending: dict[int, dict[str, Pending]] = {}
    for entry in range(at, len(record), _ENTRY):
        (cell,) = _numbers(record, entry, (2,))
        name = record[entry + 2 : entry + 2 + _ID].hex()
        asked = Pending(*_numbers(record, entry + 2 + _ID, (7, 7, 7)))
        pending.setdefault(cell, {})[name] = asked
    return BucketState(window, tail, head, total, Stage(stage), layers, pending)


_READERS = {
    "sliding": _slots,
    "gcra": _level,
    "calendar": _period,
    "lease": _leases,
    "distinct": _buckets,
}
