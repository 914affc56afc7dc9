"""Budgets in the storages of the `limits` package: memcached, MongoDB, and whatever else it has.

What this store promises is less than what the others do, and `guarantees` says so.

- **Sliding windows only**, of whole seconds (a part of a second is rounded up), kept as two
  counters: see `limits_counters`. A window of another length begins anew.
- **Not exact.** The counters take use to have been even, so a stretch of a window's length can be
  granted more than the limit, and a wait is an estimate.
- **Not one step.** Lines are charged one after the other, enforced ones first. Where one refuses,
  those before it are given back; in between, others may be refused for what is then given back.
- **What is given back** goes to the stretch of the window that it was taken from. On Redis and
  MongoDB it is kept where that stretch has ended, or does so within a second; it expires with it.
- **Debt**, use beyond what was held, counts in the stretch it is found in. It weighs less as that
  moves on, and is gone after two windows, however much it was.
- **Open calls** are remembered by the process that reserved, and a bounded number of them. A settle
  of a call that it does not know changes nothing.
- **Forgetting** clears the budgets that this process has charged or peeked at. What other processes
  then give back of open calls may be taken off what was used since.
- **A failure half way** leaves what may have been charged to its expiry: nothing is given back that
  is not known to have been charged. What is known to have been is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b

from cachetools import LRUCache

from querybudget.backends import LIMITS, Guarantees, StoreSettings, guarantees_of
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import (
    GRACE,
    UNCHARGED,
    Charge,
    Decision,
    Line,
    LineStatus,
    Reservation,
    Settled,
    Verdict,
    refusal,
)
from querybudget.stores.limits.counters import Counters, Window
from querybudget.stores.limits.storages import open_storage
from querybudget.units import SECOND, Algorithm, Quota, priced

__all__ = ["LimitsStore"]


class LimitsStore:
    """Accounts in a storage of the `limits` package.

    Args:
        storage: Its URL: ``memcached://``, ``mongodb://``, or ``limits+`` and any that `limits`
            knows. Nothing is connected to before the first use.
        clock: µs since the epoch.
        max_open: Calls remembered as open; of more than that, the oldest stay at their estimate.

    Raises:
        SetupError: There is no such storage, it keeps no sliding windows, or its client is not
            installed.
    """

    suspends = True

    def __init__(
        self, storage: StoreSettings | str, clock: Callable[[], int], *, max_open: int = 100_000
    ) -> None:
        given = StoreSettings(storage) if isinstance(storage, str) else storage
        self._scheme = given.url.partition("://")[0]
        self._prefix = _checked(given.prefix)
        self._guarantees = _guaranteed(given.url)
        self._storage = open_storage(given.url.removeprefix(LIMITS), clock)
        self._windows = self._storage.windows
        self._clock = clock
        self._open: LRUCache[str, list[Window | None]] = LRUCache(max_open)
        self._quotas: LRUCache[tuple[str, int], None] = LRUCache(_QUOTAS)
        self._repairs: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def guarantees(self) -> Guarantees:
        """What it promises, and what it does not."""
        return self._guarantees

    async def start(self) -> None:
        """Open a connection.

        Raises:
            StoreError: The storage does not answer now.
        """
        with self._answering():
            await self._windows.look(self._key("", "", 1), 1)

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none, one after the other.

        Raises:
            StoreError: The storage cannot answer; what is known to be charged is given back.
            ValueError: A line's window is not a sliding one.
        """
        _only_sliding(line.quota for line in charge.lines)
        with self._answering():
            looks = (self._look(line.partition, line.quota) for line in charge.lines)
            seen = await asyncio.gather(*looks)
            seats = [
                _Seat(line, found, charge.price)
                for line, found in zip(charge.lines, seen, strict=True)
            ]
            if any(seat.short and not seat.line.shadow for seat in seats):
                return _refused(charge, seats)
            try:
                admitted = await self._charge(seats)
            except (Exception, asyncio.CancelledError):
                self._repair(seats)
                raise
        return self._admitted(charge, seats) if admitted else _refused(charge, seats)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used, at most once.

        Raises:
            StoreError: The storage cannot answer; what was not replaced yet stays at its estimate.
        """
        windows = self._open.pop(reservation.id, None)
        now, expires = self._clock(), reservation.expires
        if windows is None or now >= expires + GRACE:
            return Settled.REPEATED
        late, price = now >= expires, reservation.price
        with self._answering():
            for window, held, amount in zip(windows, reservation.held, amounts, strict=True):
                if window is None:
                    continue
                difference = priced(amount, price) - held
                if difference > 0:
                    await self._windows.owe(window.key, window.seconds, difference)
                elif difference and not late:
                    await self._windows.give(window, -difference)
        return Settled.LATE if late else Settled.DONE

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota; changes nothing.

        Raises:
            StoreError: The storage cannot answer.
            ValueError: A window is not a sliding one.
        """
        _only_sliding(quotas)
        with self._answering():
            seen = await asyncio.gather(*(self._look(partition, quota) for quota in quotas))
        return tuple(
            (quota.limit - found.used, found.reset)
            for quota, found in zip(quotas, seen, strict=True)
        )

    async def forget(self, partition: str) -> bool:
        """Clear a partition's windows, of budgets that this process has charged or peeked at.

        Raises:
            StoreError: The storage cannot answer; some may be cleared.
        """
        keys = {self._key(partition, name, seconds): seconds for name, seconds in self._quotas}
        self._leave_alone(keys)
        with self._answering():
            clears = (self._windows.clear(key, seconds) for key, seconds in keys.items())
            return any(await asyncio.gather(*clears))

    async def aclose(self) -> None:
        """Let go of connections. What was still to be given back stays until it expires."""
        if self._closed:
            return
        self._closed = True
        repairs = list(self._repairs)
        for repair in repairs:
            repair.cancel()
        await asyncio.gather(*repairs, return_exceptions=True)
        self._open.clear()
        with suppress(*self._storage.failures):
            await self._storage.aclose()

    async def _charge(self, seats: Sequence[_Seat]) -> bool:
        """Charge the enforced lines, and the shadow ones where all fit. False, and nothing is."""
        for seat in seats:
            if not seat.line.shadow and not await self._take(seat):
                await self._give_back(seats)
                return False
        shadows = [seat for seat in seats if seat.line.shadow]
        if any(seat.short for seat in shadows):
            return True
        for seat in shadows:
            if not await self._take(seat):
                await self._give_back(shadows)
                break
        return True

    async def _take(self, seat: _Seat) -> bool:
        """Charge one line; looks again where somebody was quicker."""
        limit = seat.line.quota.limit
        for _ in range(_TRIES):
            if seat.short:
                return False
            amount = min(seat.amount, seat.room)
            window = await self._windows.take(seat.seen, amount, limit) if amount else None
            if window or not amount:
                seat.window, seat.held = window or replace(seat.seen.window, end=0), amount
                return True
            seat.seen = await self._look(seat.line.partition, seat.line.quota)
        seat.beaten = True
        return False

    async def _give_back(self, seats: Iterable[_Seat]) -> None:
        """Give back what was charged, each at most once."""
        for seat in seats:
            window, held = seat.window, seat.held
            seat.window, seat.held = None, UNCHARGED
            if window and held:
                await self._windows.give(window, held)

    def _repair(self, seats: Sequence[_Seat]) -> None:
        """Give back on the side, for a call that has failed or was cancelled half way."""
        if not any(seat.window for seat in seats):
            return

        async def give() -> None:
            with suppress(*self._storage.failures):
                await self._give_back(seats)

        task = asyncio.get_running_loop().create_task(give())
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _admitted(self, charge: Charge, seats: Sequence[_Seat]) -> Decision:
        now = self._clock()
        expires = now + charge.hold
        held = tuple(seat.held for seat in seats)
        self._open[charge.id] = [seat.window for seat in seats]
        reservation = Reservation(
            charge.id,
            charge.lines,
            held,
            now,
            expires,
            charge.price,
            charge.observation,
            charge.profiled,
        )
        statuses = tuple(seat.status() for seat in seats)
        return Decision(Verdict.ADMIT, statuses, 0, reservation, charge.price)

    def _leave_alone(self, keys: Iterable[str]) -> None:
        """Settle nothing of open calls in windows that are cleared."""
        cleared = set(keys)
        for name, windows in list(self._open.items()):
            left = [None if window and window.key in cleared else window for window in windows]
            if left == windows:
                continue
            if any(left):
                self._open[name] = left
            else:
                del self._open[name]

    async def _look(self, partition: str, quota: Quota) -> Counters:
        seconds = -(-quota.window // SECOND)
        self._quotas[quota.key, seconds] = None
        return await self._windows.look(self._key(partition, quota.key, seconds), seconds)

    def _key(self, partition: str, name: str, seconds: int) -> str:
        """Short, and of letters that every storage takes, whatever the partition is named."""
        raw = "\0".join((partition, name, str(seconds))).encode()
        return f"{self._prefix}:{blake2b(raw, digest_size=16).hexdigest()}"

    @contextmanager
    def _answering(self) -> Generator[None, None, None]:
        """Say what fails in our words; the client's own may hold a password."""
        try:
            yield
        except self._storage.failures as error:
            cause = getattr(error, "storage_error", error)
            raise StoreError(
                f"{self._scheme}:// cannot answer now ({type(cause).__name__})"
            ) from error


@dataclass(slots=True)
class _Seat:
    """A line of a charge, how its window was found, and what was charged.

    Attributes:
        line: The line.
        seen: Its window before anything was charged.
        price: In millionths.
        held: µ-units charged.
        window: Where; None where nothing is.
        beaten: Others were quicker each time.
    """

    line: Line
    seen: Counters
    price: int
    held: int = UNCHARGED
    window: Window | None = None
    beaten: bool = False

    @property
    def amount(self) -> int:
        return priced(self.line.amount, self.price)

    @property
    def minimum(self) -> int:
        return priced(self.line.minimum, self.price)

    @property
    def room(self) -> int:
        return self.line.quota.limit - self.seen.used

    @property
    def short(self) -> bool:
        """Whether the line refuses."""
        return self.minimum > self.room

    def status(self) -> LineStatus:
        if self.held != UNCHARGED:
            after = self.seen.charged(self.held)
            return LineStatus(self.line, self.room - self.held, after.reset)
        limit, reset = self.line.quota.limit, self.seen.reset
        if self.minimum > limit:
            return LineStatus(self.line, self.room, reset, 0, Verdict.NEVER)
        if self.short or self.beaten:
            wait = max(self.seen.wait(limit - self.minimum), _SOON)
            return LineStatus(self.line, self.room, reset, wait, Verdict.WAIT)
        return LineStatus(self.line, self.room, reset)


def _refused(charge: Charge, seats: Sequence[_Seat]) -> Decision:
    statuses = tuple(seat.status() for seat in seats)
    verdict, wait = refusal(statuses)
    return Decision(verdict, statuses, wait, None, charge.price)


def _only_sliding(quotas: Iterable[Quota]) -> None:
    for quota in quotas:
        if quota.algorithm is not Algorithm.SLIDING:
            raise ValueError(
                f"this store keeps only sliding windows: found {quota.algorithm} in budget "
                f"{quota.name!r}"
            )


def _guaranteed(url: str) -> Guarantees:
    guarantees = guarantees_of(url)
    if guarantees is None:
        raise SetupError(f"no storage of `limits` is named {url.partition('://')[0]}://")
    return guarantees


def _checked(prefix: str) -> str:
    if len(prefix) > _LONGEST_PREFIX or not prefix.isascii() or not prefix.isprintable():
        raise SetupError(
            f"prefix: expected at most {_LONGEST_PREFIX} printable ASCII characters, found"
            f" {prefix!r}"
        )
    if " " in prefix:
        raise SetupError(
            f"prefix: expected no spaces, because memcached splits names there: {prefix!r}"
        )
    return prefix


_TRIES = 3
"""How often a line is charged before whoever was quicker is given way."""

_SOON = 10_000
"""µs to wait for those who were quicker."""

_QUOTAS = 1_024
"""Budgets remembered, so that a partition can be forgotten."""

_LONGEST_PREFIX = 100
"""memcached's names have up to 250 letters."""
