"""`ResilientStore`: a store that may fail, with everything that happens then.

It reserves and settles through the store. While the store is down, each budget's ``on_store_error``
decides, and the outbox keeps what has to be sent to the store when it answers again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from querybudget.errors import SetupError, StoreError, UnusableStoreError
from querybudget.events import DecidedBy, Settlement
from querybudget.ledger import Charge, Decision, Line, Reservation, Settled
from querybudget.policy.model import Mode, OnStoreError, Policy
from querybudget.redact import error_type, redact_names
from querybudget.resilience.administering import Administering
from querybudget.resilience.background_tasks import BackgroundTasks
from querybudget.resilience.fallback import Fallback, Reserved
from querybudget.resilience.guard import REST, Guard, Wait, within
from querybudget.resilience.health import Health, StoreHealth, StoreStats
from querybudget.resilience.outbox import Outbox
from querybudget.stores import (
    AccountRecord,
    Administers,
    Clock,
    Renews,
    Starts,
    Store,
    StoreSettings,
)
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

logger = logging.getLogger("querybudget")

PATIENCE = 5.0
"""Seconds that a store may take for all that is under way when the limiter is closed."""

QUIET = 10 * SECOND
"""µs between two probes of a store that is taken to be up, when its health is asked for."""

_PROBE = Quota("health", Unit.REQUESTS, MICRO, 60 * SECOND, Algorithm.SLIDING, MICRO)

_BUGS = (TypeError, ValueError, LookupError, AttributeError, ImportError, NameError, AssertionError)
"""Exceptions that are no answer of a server, nor of the way to it."""

# Looking up an enum's member costs as much as a call does.
_LOCAL, _SHARED = DecidedBy.LOCAL, DecidedBy.SHARED
_DONE, _SETTLED = Settled.DONE, Settlement.DONE


class ResilientStore:
    """Charges calls, also while the store fails.

    A store that never waits is asked directly, which is faster, until it fails; from then on it is
    asked through the guard until it answers again. Any other store is always guarded.

    Args:
        policy: What budgets say about a store that is down, and how many accounts are kept.
        store: Where accounts are kept.
        clock: µs since the epoch.
        settings: How long the store may take, and how many workers share it.
        name: Name of the store for people: ``redis``.
        place: Where it is, without secrets; by default, its name.
        wait: Waits for the store's answers.
        sleep: Waits a number of seconds before a store that failed is asked again.

    Attributes:
        store: As given.
        place: As given.
        renews: Whether the store can hold a reservation for longer.
        administering: What operators do to the store.
        background: Work that no call waits for; `aclose` waits for it.
    """

    def __init__(
        self,
        policy: Policy,
        store: Store,
        clock: Clock,
        *,
        settings: StoreSettings,
        name: str,
        place: str = "",
        wait: Wait = within,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.store = store
        self.place = place or name
        self._name = name
        self._seconds = settings.timeout / SECOND
        self._wait = wait
        self._sleep = sleep
        self.renews = isinstance(store, Renews)
        self.follow(policy)
        self._stats = StoreStats(since=clock(), guarded=store.suspends)
        self._outbox = Outbox(clock)
        self._guard = Guard(
            store, clock, self._stats, self._outbox, timeout=settings.timeout, name=name, wait=wait
        )
        self._fallback = Fallback(settings.workers, clock, max_identities=policy.max_identities)
        self.administering = Administering(
            store, self._fallback, self._outbox, name=name, wait=wait
        )
        self.background = BackgroundTasks()
        self._watch: asyncio.Task[None] | None = None
        self._clock = clock
        self._probes = 0
        self._probed = -QUIET

    def follow(self, policy: Policy) -> None:
        """Decide by another policy what happens to calls while the store is down."""
        self._denies = any(
            budget.on_store_error is OnStoreError.DENY and budget.mode is Mode.ENFORCE
            for budget in policy.budgets
        )

    @property
    def guarded(self) -> bool:
        """Whether the store is asked through the guard now, so that its verbs may wait."""
        return self._stats.guarded

    @property
    def busy(self) -> bool:
        """Whether anything is under way in the background."""
        return bool(self.background) or self._outbox.flushing is not None or self._guard.busy

    async def start(self) -> None:
        """Open the store's files and connections, if it has any. One that fails is only logged.

        Raises:
            SetupError: The store can never work as it is set up.
        """
        if not isinstance(self.store, Starts):
            return
        try:
            await self.store.start()
        except SetupError:
            raise
        except UnusableStoreError as error:
            raise SetupError(str(error)) from error
        except _BUGS as error:  # not the server's, so it would come again with each call
            raise SetupError(
                f"the store ({self._name}) cannot start: {error_type(error)}"
            ) from error
        except Exception as error:  # noqa: BLE001 - a server starts without its store, whatever it is
            self._guard.record_failure(error)
            logger.warning("the store (%s) did not start: %s", self._name, self._stats.last_error)

    async def reserve(self, charge: Charge, on_error: Sequence[OnStoreError]) -> Reserved:
        """Charge all lines or none: at the store, or without it if it fails.

        Args:
            charge: What is wanted.
            on_error: What the budget of each line says about a store that fails.
        """
        guarded = self._stats.guarded
        try:
            decision = await (self._guard if guarded else self.store).reserve(charge)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the call is decided
            if not guarded:
                self._guard.record_failure(error)
            self._stats.without_store += 1
            self._watch_store()
            return await self._fallback.reserve(charge, on_error)
        return Reserved(charge, _SHARED, decision, decision.reservation)

    async def renew(self, reserved: Reserved, ttl: int) -> Reserved:
        """Hold for longer what an open call has reserved.

        Args:
            reserved: As `reserve` answered.
            ttl: µs from now.

        Returns:
            What is reserved now: the same if the store fails, does not know it, or cannot renew.
        """
        reservation, guarded = reserved.reservation, self._stats.guarded
        if reservation is None:
            return reserved
        try:
            if reserved.by is _LOCAL:
                expires = await self._fallback.renew(reservation, ttl)
            elif guarded:
                expires = await self._guard.renew(reservation, ttl)
            elif isinstance(self.store, Renews):
                expires = await self.store.renew(reservation, ttl)
            else:
                return reserved
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the call goes on
            if not guarded:
                self._guard.record_failure(error)
            return reserved
        if not expires:
            return reserved
        renewed = msgspec.structs.replace(reservation, expires=expires)
        return msgspec.structs.replace(reserved, reservation=renewed)

    async def settle(
        self, reserved: Reserved, amounts: Sequence[int], *, lapsed: bool = False
    ) -> Settlement:
        """Replace what is held by what was used; later, if the store fails now.

        Args:
            reserved: As `reserve` answered.
            amounts: µ-units used on each line of its charge, before price.
            lapsed: Whether the reservation had expired before it was renewed.
        """
        reservation, guarded = reserved.reservation, self._stats.guarded
        if reservation is None:
            return Settlement.FAILED
        if reserved.by is _LOCAL:
            settled = await self._settle_local(reserved, reservation, amounts)
            return Settlement.LATE if lapsed and settled is _DONE else Settlement(settled.value)
        try:
            settled = await (self._guard if guarded else self.store).settle(reservation, amounts)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, this is sent later
            if not guarded:
                self._guard.record_failure(error)
            self._outbox.settle_later(reservation, amounts)
            self._watch_store()
            return Settlement.DEFERRED
        if settled is _DONE and not lapsed:
            return _SETTLED
        if settled is Settled.REPEATED:
            return Settlement.REPEATED
        logger.warning("a call took longer than `hold`, so its reservation had expired")
        return Settlement.LATE

    async def _settle_local(
        self, reserved: Reserved, reservation: Reservation, amounts: Sequence[int]
    ) -> Settled:
        used = [amounts[index] for index in reserved.places]
        lines = [reserved.charge.lines[index] for index in reserved.places]
        settled = await self._fallback.settle(reservation, used)
        self._outbox.charge_later(reserved.charge, lines, reservation, used)
        if self._stats.healthy:
            self._outbox.flush_soon(self._guard)
        return settled

    async def account(self, partition: str) -> AccountRecord | None:
        """Return a copy of an account for a call that waits; None if there is none.

        Raises:
            StoreError: The store fails, or cannot say.
        """
        if not isinstance(self.store, Administers):
            raise StoreError(f"the store ({self._name}) cannot show accounts")
        if self.guarded:
            return await self._guard.account(partition)
        try:
            return await self.store.account(partition)
        except Exception as error:
            self._guard.record_failure(error)
            raise StoreError(f"the store ({self._name}) failed") from error

    async def add(self, charge: Charge) -> Decision:
        """Charge at once, and settle, what was used already; no call waits for it.

        Raises:
            StoreError: The store fails; it may have been charged.
        """
        guarded = self.guarded
        verbs = self._guard if guarded else self.store
        try:
            decision = await verbs.reserve(charge)
            if decision.reservation is not None:
                await verbs.settle(decision.reservation, [line.amount for line in charge.lines])
        except Exception as error:
            if not guarded:
                self._guard.record_failure(error)
            raise StoreError(f"the store ({self._name}) failed") from error
        return decision

    def may_wait(self, reserved: Reserved) -> bool:
        """Return True if settling this may wait for the store."""
        return self._stats.guarded and reserved.by is _SHARED

    def settle_later(self, reserved: Reserved, amounts: Sequence[int]) -> None:
        """Settle, as `settle` does, when the store answers the next time."""
        if reserved.reservation is not None:
            self._outbox.settle_later(reserved.reservation, amounts)

    def health(self) -> StoreHealth:
        """Return how the store is, as far as this process knows."""
        stats, outbox = self._stats, self._outbox
        down = Health.DOWN if self._denies else Health.DEGRADED
        return StoreHealth(
            status=Health.OK if self._guard.up else down,
            store=self._name,
            since=stats.since,
            failures=stats.failures,
            timeouts=stats.timeouts,
            without_store=stats.without_store,
            local=self._fallback.decided,
            outbox=len(outbox),
            dropped=outbox.dropped,
            refused=outbox.refused,
            last_error=redact_names(stats.last_error),
        )

    async def check(self) -> StoreHealth:
        """Return `health`, after asking the store: once in `QUIET`, and one that failed again.

        One that is down is asked once in each rest. So a server without calls notices that its
        store is down, or back, and sends it what is left in the outbox.
        """
        if self._should_probe():
            self._probes += 1
            self._probed = self._clock()
            line = Line(_PROBE.name, _PROBE, 0, 0)
            charge = Charge(f"health-{id(self):x}-{self._probes:x}", (line,), 60 * SECOND)
            try:
                # What calls need, and not `peek`: a full disk can be read.
                decision = await self._guard.reserve(charge)
                if decision.reservation is not None:
                    await self._guard.settle(decision.reservation, (0,))
            except StoreError as error:
                logger.debug("the store (%s) did not answer: %s", self._name, error)
                self._watch_store()
        return self.health()

    def _should_probe(self) -> bool:
        """Return True if the store may have failed, or come back, without a call that noticed."""
        if not self._stats.healthy:
            return self._guard.would_ask
        return self.store.suspends and self._clock() - self._probed >= QUIET

    def _watch_store(self) -> None:
        """Ask the store now and then until it has taken everything, unless that is under way.

        Calls ask it too. Without calls, leases would stay held and usage would not be charged.
        """
        if self._watching is None:
            self._watch = asyncio.ensure_future(self._until_sent())

    @property
    def _watching(self) -> asyncio.Task[None] | None:
        """What asks the store now and then on this event loop; None if nothing does."""
        watch = self._watch
        if watch is None or watch.done() or watch.get_loop() is not asyncio.get_running_loop():
            return None
        return watch

    async def _until_sent(self) -> None:
        while self._outbox or not self._stats.healthy:
            await self._sleep(REST / SECOND)
            await self.check()
            if self._stats.healthy:
                self._outbox.flush_soon(self._guard)
            if (flushing := self._outbox.flushing) is not None:
                await asyncio.wait((flushing,))

    async def aclose(self) -> None:
        """Wait for what is under way, and flush the outbox once.

        A store that is slow but answers gets `PATIENCE`, more than any call would give it: nobody
        waits for it any more, and what it does not receive now is lost.
        """
        if (watch := self._watching) is not None:
            watch.cancel()
        await self.background.wait()
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        if self._outbox.flushing is not None:
            await self._end(self._outbox.flushing, end - loop.time())
        await self._guard.aclose(end - loop.time())
        if self._outbox:
            flushing = asyncio.ensure_future(self._outbox.flush_all(self.store))
            await self._end(flushing, end - loop.time())
        if self._outbox:
            logger.warning(
                "the store (%s) did not receive %d calls and settlements before the end",
                self._name,
                len(self._outbox),
            )

    async def _end(self, task: asyncio.Future[bool], seconds: float) -> None:
        """Give a task some time, and at least as long as any answer; then cancel it."""
        await self._wait((task,), max(seconds, self._seconds))
        if task.cancel():
            await self._wait((task,), self._seconds)
