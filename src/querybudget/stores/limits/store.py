"""Accounts in the storages of the `limits` package: memcached, MongoDB and the others it has.

This store promises less than the others, and `guarantees` says so.

- **Sliding windows only**, of whole seconds (a fraction is rounded up), kept as two counters: see
  `counters.py`. A quota whose window changes starts from zero. `reserve` and `peek` raise a
  `ValueError` for any other kind of window.
- **Not exact.** The counters assume even use, so a stretch of a window's length can be granted more
  than the limit, and a wait is an estimate.
- **Not atomic.** Lines are charged one after the other, enforced ones first. If one refuses, those
  before it are refunded. In between, other calls may be refused for what is then refunded.
- **Refunds** go to the window that was charged. On Redis and MongoDB a charge whose window has
  ended, or ends within a second, is not refunded; it expires with its window.
- **Debt**, use beyond what was held, counts in the window in which it is found. It counts less as
  that window passes, and is gone after two windows, however large it was.
- **Open calls** are remembered by the process that reserved them, up to a bound. Settling an
  unknown call changes nothing.
- **Forgetting** clears the budgets that this process has charged or peeked at. What other processes
  then refund for open calls may be taken off later use.
- **A failure part of the way** refunds what is known to have been charged. What only may have been
  charged stays until it expires.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import blake2b

from cachetools import LRUCache
from msgspec import Struct
from msgspec.structs import replace

from querybudget.backends import LIMITS, Guarantees, StoreSettings, guarantees_of
from querybudget.errors import SetupError, StoreError, UnusableStoreError
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
from querybudget.stores.clock import Clock
from querybudget.stores.limits.counters import CounterWindow, Counts, SlidingCounters
from querybudget.stores.limits.storages import OpenStorage, open_storage
from querybudget.stores.loops import PerLoop
from querybudget.units import NO_TIME, SECOND, Algorithm, Micros, Quota, priced

TRIES = 3
"""Tries to charge a line while other calls charge it first."""

SHORT_WAIT = 10_000
"""µs to wait after the last of them."""

MAX_QUOTAS = 1_024
"""Quotas remembered, so that a partition can be forgotten."""

_REFUSALS = {"AuthenticationError", "AuthorizationError", "NoPermissionError", "ReadOnlyError"}
"""Exceptions of the clients of Redis and Valkey."""

_UNAUTHORIZED = {13, 18}
"""MongoDB's codes for a user who may not do something, and for a wrong password."""

MAX_PREFIX = 100
"""memcached's keys have at most 250 characters."""


class LimitsStore:
    """Accounts in a storage of the `limits` package.

    Args:
        settings: With a URL of ``memcached://``, ``mongodb://``, or ``limits+`` and any that
            `limits` knows; or that URL. It connects at its first use.
        clock: µs since the epoch.
        max_open: Open calls remembered. If there are more, the oldest stay at their estimate.

    Raises:
        SetupError: There is no such storage, it cannot refund a charge, or its client is not
            installed.
    """

    suspends = True

    def __init__(
        self, settings: StoreSettings | str, clock: Clock, *, max_open: int = 100_000
    ) -> None:
        if isinstance(settings, str):
            settings = StoreSettings(settings)
        self._scheme = settings.url.partition("://")[0]
        self._prefix = _checked(settings.prefix)
        self._guarantees = _guaranteed(settings.url)
        url = settings.url.removeprefix(LIMITS)
        in_memory = url.startswith("memory:")
        self._storages = PerLoop(partial(open_storage, url, clock), shared=in_memory)
        self._clock = clock
        self._open: LRUCache[str, list[CounterWindow | None]] = LRUCache(max_open)
        self._quotas: LRUCache[tuple[str, int], None] = LRUCache(MAX_QUOTAS)
        self._refunds: set[asyncio.Task[None]] = set()
        self._changing = threading.Lock()
        """Held while `_open` or `_quotas` changes: event loops in several threads may do so."""

    @property
    def _storage(self) -> OpenStorage:
        return self._storages.get()

    @property
    def _counters(self) -> SlidingCounters:
        return self._storages.get().counters

    @property
    def guarantees(self) -> Guarantees:
        return self._guarantees

    async def start(self) -> None:
        try:
            with self._translated():
                await self._counters.read(self._key("", "", 1), 1)
        except UnusableStoreError as error:
            raise SetupError(str(error)) from error

    async def reserve(self, charge: Charge) -> Decision:
        _only_sliding(line.quota for line in charge.lines)
        with self._translated():
            reads = (self._read(line.partition, line.quota) for line in charge.lines)
            states = [
                _LineState(line, counts, charge.price)
                for line, counts in zip(charge.lines, await asyncio.gather(*reads), strict=True)
            ]
            if any(state.short and not state.line.shadow for state in states):
                return _refused(charge, states)
            try:
                admitted = await self._charge_lines(states)
            except (Exception, asyncio.CancelledError):
                self._refund_later(states)
                raise
        return self._admitted(charge, states) if admitted else _refused(charge, states)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        with self._changing:
            windows = self._open.pop(reservation.id, None)
        now, expires = self._clock(), reservation.expires
        if windows is None or now >= expires + GRACE:
            return Settled.REPEATED
        late, price = now >= expires, reservation.price
        with self._translated():
            for window, held, amount in zip(windows, reservation.held, amounts, strict=True):
                if window is None:
                    continue
                difference = priced(amount, price) - held
                if difference > 0:
                    await self._counters.charge_debt(window.key, window.seconds, difference)
                elif difference and not late:
                    await self._counters.refund(window, -difference)
        return Settled.LATE if late else Settled.DONE

    async def renew(self, reservation: Reservation, ttl: int) -> Micros:
        """Keep an open call in mind. What it holds expires with its windows all the same."""
        now = self._clock()
        windows = self._open.get(reservation.id)
        if windows is None or now >= reservation.expires + GRACE:
            return NO_TIME
        return Micros(now + ttl)

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        _only_sliding(quotas)
        with self._translated():
            reads = await asyncio.gather(*(self._read(partition, quota) for quota in quotas))
        return tuple(
            (quota.limit - counts.used, counts.reset)
            for quota, counts in zip(quotas, reads, strict=True)
        )

    async def forget(self, partition: str) -> bool:
        keys = {self._key(partition, name, seconds): seconds for name, seconds in self._quotas}
        self._drop_open(keys)
        with self._translated():
            clears = (self._counters.clear(key, seconds) for key, seconds in keys.items())
            return any(await asyncio.gather(*clears))

    async def aclose(self) -> None:
        """Close connections. What was still to be refunded stays until it expires."""
        storage = self._storages.pop()
        if storage is None:
            return
        refunds = list(self._refunds)
        for refund in refunds:
            refund.cancel()
        await asyncio.gather(*refunds, return_exceptions=True)
        with self._changing:
            self._open.clear()
        with suppress(*storage.failures):
            await storage.aclose()

    async def _charge_lines(self, states: Sequence[_LineState]) -> bool:
        """Charge enforced lines, then shadow lines if all fit. False if an enforced one refuses.

        Those that are counted apart are charged with the enforced ones.
        """
        for state in states:
            charged = state.skipped or await self._charge_line(state)
            if not charged and not state.line.shadow:
                await self._refund(states)
                return False
        shadows = [state for state in states if state.skipped]
        if any(state.short for state in shadows):
            return True
        for state in shadows:
            if not await self._charge_line(state):
                await self._refund(shadows)
                break
        return True

    async def _charge_line(self, state: _LineState) -> bool:
        """Charge one line; read it again if another call charged it first."""
        limit = state.line.quota.limit
        for _ in range(TRIES):
            if state.short:
                return False
            amount = min(state.amount, state.room)
            window = await self._counters.charge(state.counts, amount, limit) if amount else None
            if window or not amount:
                state.window, state.held = window or replace(state.counts.window, end=0), amount
                return True
            state.counts = await self._read(state.line.partition, state.line.quota)
        state.beaten = True
        return False

    async def _refund(self, states: Iterable[_LineState]) -> None:
        """Refund what was charged, each line at most once."""
        for state in states:
            window, held = state.window, state.held
            state.window, state.held = None, UNCHARGED
            if window and held:
                await self._counters.refund(window, held)

    def _refund_later(self, states: Sequence[_LineState]) -> None:
        """Refund in a background task after a partial failure or cancellation."""
        if not any(state.window for state in states):
            return
        task = asyncio.get_running_loop().create_task(self._try_refund(states))
        self._refunds.add(task)
        task.add_done_callback(self._refunds.discard)

    async def _try_refund(self, states: Sequence[_LineState]) -> None:
        with suppress(*self._storage.failures):
            await self._refund(states)

    def _admitted(self, charge: Charge, states: Sequence[_LineState]) -> Decision:
        now = self._clock()
        held = tuple(state.held for state in states)
        with self._changing:
            self._open[charge.id] = [state.window for state in states]
        reservation = charge.reserved(held, now, now + charge.ttl, charge.price)
        statuses = tuple(state.status() for state in states)
        return Decision(Verdict.ADMIT, statuses, NO_TIME, reservation, charge.price)

    def _drop_open(self, keys: Iterable[str]) -> None:
        """Do not settle open calls in counters that are cleared."""
        cleared = set(keys)
        with self._changing:
            for name, windows in list(self._open.items()):
                left = [None if window and window.key in cleared else window for window in windows]
                if left == windows:
                    continue
                if any(left):
                    self._open[name] = left
                else:
                    del self._open[name]

    async def _read(self, partition: str, quota: Quota) -> Counts:
        seconds = -(-quota.window // SECOND)
        with self._changing:
            self._quotas[quota.key, seconds] = None
        return await self._counters.read(self._key(partition, quota.key, seconds), seconds)

    def _key(self, partition: str, name: str, seconds: int) -> str:
        """Return a key that is short and valid in every storage, whatever the partition's name."""
        raw = "\0".join((partition, name, str(seconds))).encode()
        return f"{self._prefix}:{blake2b(raw, digest_size=16).hexdigest()}"

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        """Raise a `StoreError` for the storage's errors, whose messages may contain a password."""
        try:
            yield
        except self._storages.get().failures as error:
            cause = getattr(error, "storage_error", error)
            if _never(cause):
                raise UnusableStoreError(
                    f"{self._scheme}:// refuses ({type(cause).__name__}): check the user, the"
                    " password and what the user may do, and that the server takes writes"
                ) from error
            raise StoreError(
                f"{self._scheme}:// cannot answer now ({type(cause).__name__})"
            ) from error


class _LineState(Struct):
    """A line of a charge, its counters before the charge, and the µ-units and window charged."""

    line: Line
    counts: Counts
    price: int
    held: int = UNCHARGED
    window: CounterWindow | None = None
    beaten: bool = False  # whether other calls charged it first each time

    @property
    def amount(self) -> int:
        return priced(self.line.amount, self.price)

    @property
    def minimum(self) -> int:
        return priced(self.line.minimum, self.price)

    @property
    def room(self) -> int:
        return self.line.quota.limit - self.counts.used

    @property
    def skipped(self) -> bool:
        """Whether it is left uncharged if a shadow line does not fit."""
        return self.line.shadow and not self.line.quota.apart

    @property
    def short(self) -> bool:
        """Whether the line refuses."""
        return self.minimum > self.room

    def status(self) -> LineStatus:
        if self.held != UNCHARGED:
            after = self.counts.charged(self.held)
            return LineStatus(self.line, self.room - self.held, after.reset)
        limit, reset = self.line.quota.limit, self.counts.reset
        if self.minimum > limit:
            return LineStatus(self.line, self.room, reset, NO_TIME, Verdict.NEVER)
        if self.short or self.beaten:
            wait = Micros(max(self.counts.wait(limit - self.minimum), SHORT_WAIT))
            return LineStatus(self.line, self.room, reset, wait, Verdict.WAIT)
        return LineStatus(self.line, self.room, reset)


def _refused(charge: Charge, states: Sequence[_LineState]) -> Decision:
    statuses = tuple(state.status() for state in states)
    verdict, wait = refusal(statuses)
    return Decision(verdict, statuses, wait, None, charge.price)


def _only_sliding(quotas: Iterable[Quota]) -> None:
    for quota in quotas:
        if quota.algorithm is not Algorithm.SLIDING:
            raise ValueError(
                f"this store keeps only sliding windows: found {quota.algorithm} in budget "
                f"{quota.name!r}"
            )


def _never(error: BaseException) -> bool:
    """Return True for what a server says again, however often it is asked."""
    return type(error).__name__ in _REFUSALS or getattr(error, "code", None) in _UNAUTHORIZED


def _guaranteed(url: str) -> Guarantees:
    guarantees = guarantees_of(url)
    if guarantees is None:
        raise SetupError(f"no storage of `limits` is named {url.partition('://')[0]}://")
    return guarantees


def _checked(prefix: str) -> str:
    if len(prefix) > MAX_PREFIX or not prefix.isascii() or not prefix.isprintable():
        raise SetupError(
            f"prefix: expected at most {MAX_PREFIX} printable ASCII characters, found {prefix!r}"
        )
    if " " in prefix:
        raise SetupError(
            f"prefix: expected no spaces, because memcached splits names there: {prefix!r}"
        )
    return prefix
