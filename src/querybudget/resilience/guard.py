"""`Guard`: asks a store that can fail, and costs a request no more than the time-out.

A store across a network can be late, gone, or answer nonsense. A late answer is a `StoreError` like
any other failure. After several failures in a row the store is not asked any more, except once in a
while, so that requests during an outage do not wait at all.

Each verb runs in a task of its own, which neither the time-out nor a request's cancellation ends.
So what a late `reserve` has charged after all is known when it answers, and is given back then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar

from querybudget.breaker import CircuitBreaker
from querybudget.errors import QueryBudgetError, StoreError, UnusableStoreError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.redact import error_type, redact_error
from querybudget.resilience.health import StoreStats
from querybudget.resilience.outbox import Outbox
from querybudget.stores import AccountRecord, Administers, Clock, Renews, Store
from querybudget.units import NO_TIME, SECOND, Micros

logger = logging.getLogger("querybudget")

FAILURES = 5
"""Consecutive failures after which the store is down."""

REST = SECOND
"""µs for which a store that is down is not asked, before one call asks it again."""

SLICES = 8
"""Parts in which a time-out passes."""

LATE = 1_000
"""Late answers that are still awaited; beyond, the oldest is cancelled."""

LONGEST_ERROR = 300
"""Characters of a store's error message that are kept."""

REASONS = 20
"""Reasons for which a store can never work that are logged, each once."""

SAID = 60 * SECOND
"""µs for which single failures are not logged again, while the store is up."""

_T = TypeVar("_T")

Wait = Callable[[Collection["asyncio.Future[Any]"], float], Awaitable[object]]
"""Waits until all futures are done, at most a number of seconds; cancels none of them."""


async def within(futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until all are done, at most `seconds` by the event loop's time.

    Time for which the event loop itself was late does not count: an answer that has arrived and was
    not read yet is no failure of the store. So this waits in several slices, and the loop turns at
    least once in each.
    """
    pending = futures
    for _ in range(SLICES):
        _, pending = await asyncio.wait(pending, timeout=seconds / SLICES)
        if not pending:
            return


class Guard:
    """Asks a store in time, or fails at once while it is down.

    All verbs raise `StoreError` and nothing else: if the store raises anything, if it answers with
    the wrong type, if it is late, and while it is down.

    It logs one line when the store goes down and one when it is up again. An exception of a foreign
    type is a bug of the store: its traceback is logged once per outage.

    Args:
        store: The store; it is not closed.
        clock: µs, never going back.
        stats: Counts failures, for health.
        outbox: Takes reservations that could not be given back. Each time the store answers in
            time, the outbox is flushed in the background.
        timeout: µs that a verb may take.
        name: Name of the store in log lines: ``redis``.
        wait: Waits for answers.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        stats: StoreStats,
        outbox: Outbox,
        *,
        timeout: int,
        name: str = "",
        wait: Wait = within,
    ) -> None:
        self._store = store
        self._clock = clock
        self._stats = stats
        self._outbox = outbox
        self._seconds = timeout / SECOND
        self._name = f"the store ({name})" if name else "the store"
        self._wait = wait
        self._breaker = CircuitBreaker("", FAILURES, REST, clock)
        self._running = set[asyncio.Future[Any]]()
        self._late: dict[asyncio.Future[Any], None] = {}
        self._logged = set[type[BaseException]]()
        self._unusable = set[str]()
        self._said = -SAID
        self._before = 0

    @property
    def up(self) -> bool:
        """Whether the store is taken to be up."""
        return not self._breaker.is_open

    @property
    def would_ask(self) -> bool:
        """Whether the store would be asked now: it is up, or down and has rested."""
        return self._breaker.would_allow

    @property
    def busy(self) -> bool:
        """Whether a request is under way that is not late."""
        return len(self._running) > len(self._late)

    async def reserve(self, charge: Charge, /) -> Decision:
        """Charge all lines or none. A decision that comes too late is given back."""
        return await self._ask(Decision, self._store.reserve, charge)

    async def settle(self, reservation: Reservation, amounts: Sequence[int], /) -> Settled:
        """Replace what is held by what was used."""
        return await self._ask(Settled, self._store.settle, reservation, amounts)

    async def renew(self, reservation: Reservation, ttl: int, /) -> Micros:
        """Hold for longer what an open call has reserved; return 0 for a store that cannot."""
        if not isinstance(self._store, Renews):
            return NO_TIME
        return Micros(await self._ask(int, self._store.renew, reservation, ttl))

    async def account(self, partition: str, /) -> AccountRecord | None:
        """Return a copy of an account, or None; also of a store that cannot show any."""
        if not isinstance(self._store, Administers):
            return None
        answer: list[AccountRecord] = await self._ask(list, _listed, self._store, partition)
        return answer[0] if answer else None

    async def aclose(self, patience: float = 0.0) -> None:
        """Wait for late answers, then for what they give back; drop the rest.

        What is dropped is the store's to undo, or expires.

        Args:
            patience: Seconds to wait for late answers, at least as long as for any.
        """
        for seconds in (max(patience, self._seconds), self._seconds):
            if self._running:
                await self._wait(tuple(self._running), seconds)
                await asyncio.sleep(0)  # done callbacks run in the next turn
        left = tuple(self._running)
        for task in left:
            self._late[task] = None
            task.cancel()
        if left:
            await self._wait(left, self._seconds)

    def record_failure(self, error: BaseException) -> None:
        """Record a failed request: the guard's, or one made to the store without it."""
        stats = self._stats
        stats.failures += 1
        stats.turn(healthy=False, waits=self._store.suspends)
        expected = isinstance(error, QueryBudgetError)
        kind = type(error)
        # The message of a foreign error may contain anything, a prompt for example.
        why = redact_error(str(error))[:LONGEST_ERROR] if expected else error_type(error)
        stats.last_error = why
        if not expected and kind not in self._logged:
            self._logged.add(kind)
            logger.error("%s failed with %s", self._name, error_type(error), exc_info=error)
        if isinstance(error, UnusableStoreError) and self._is_news(why):
            logger.error(
                "%s refuses as it is set up, now and later: %s. Until it is mended, each budget's"
                " `on_store_error` decides what happens to calls",
                self._name,
                why,
            )
        now = self._clock()
        if self._breaker.record_failure(why):
            stats.since = now
            logger.warning(
                "%s is down (%s). Meanwhile, each budget's `on_store_error` decides what happens to"
                " calls",
                self._name,
                why,
            )
        elif expected and self.up and now - self._said >= SAID:
            self._said = now
            logger.warning(
                "%s failed a request (%s), %d since the start; it is taken to be up until %d fail"
                " in a row",
                self._name,
                why,
                stats.failures,
                FAILURES,
            )

    def _is_news(self, why: str) -> bool:
        if why in self._unusable or len(self._unusable) >= REASONS:
            return False
        self._unusable.add(why)
        return True

    async def _ask(self, kind: type[_T], verb: Callable[..., Awaitable[_T]], *arguments: Any) -> _T:  # noqa: ANN401 - the verb's own
        if not self._breaker.allow_request():
            raise StoreError(f"{self._name} is down: {self._stats.last_error}")
        task = asyncio.ensure_future(self._answer(kind, verb(*arguments)))
        self._track(task)
        try:
            await self._wait((task,), self._seconds)
        except asyncio.CancelledError:
            self._track(asyncio.ensure_future(self._abandon(task)))
            raise
        if not task.done():
            raise self._give_up(task)
        return self._result(task)

    async def _answer(self, kind: type[_T], answering: Awaitable[_T]) -> _T:
        try:
            answer = await answering
            if not isinstance(answer, kind):
                raise StoreError(f"expected a {kind.__name__}, found {type(answer).__name__}")  # noqa: TRY301 - a failure like the store's own
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if (
                task is None or not task.cancelling()
            ):  # else its event loop ends, or we cancelled it
                self._record(StoreError("it was cancelled during a request"))
            raise
        except Exception as error:
            self._record(error)
            raise
        self._record(None)
        return answer

    def _result(self, task: asyncio.Future[_T]) -> _T:
        if task.cancelled():
            raise StoreError(f"{self._name} was cancelled during a request")
        error = task.exception()
        if error is None or isinstance(error, StoreError):
            return task.result()
        message = str(error) if isinstance(error, QueryBudgetError) else error_type(error)
        raise StoreError(f"{self._name} failed with {message}") from error

    async def _abandon(self, task: asyncio.Future[Any]) -> None:
        await self._wait((task,), self._seconds)
        if task.done():
            self._give_back(task)
        else:
            self._give_up(task)

    def _give_up(self, task: asyncio.Future[Any]) -> StoreError:
        """Stop waiting for a task, which goes on by itself."""
        self._stats.timeouts += 1
        self._late[task] = None
        task.add_done_callback(self._give_back)
        error = StoreError(f"no answer within {self._seconds:g} s")
        self.record_failure(error)
        if len(self._late) > LATE:
            oldest = next(iter(self._late))
            oldest.cancel()
        return error

    def _record(self, error: Exception | None) -> None:
        """Record how the running task ended; a late one was recorded when it became late."""
        if asyncio.current_task() in self._late:
            return
        if error is None:
            self._record_success()
        else:
            self.record_failure(error)

    def _record_success(self) -> None:
        stats = self._stats
        stats.turn(healthy=True, waits=self._store.suspends)
        if self._breaker.record_success():
            now = self._clock()
            logger.warning(
                "%s answers again after %.1f s; %d calls were decided without it",
                self._name,
                (now - stats.since) / SECOND,
                stats.without_store - self._before,
            )
            stats.since = now
            self._logged.clear()
        self._before = stats.without_store
        self._outbox.flush_soon(self)

    def _give_back(self, task: asyncio.Future[Any]) -> None:
        """Give back what an answer has charged that comes too late."""
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        if isinstance(answer, Decision) and answer.reservation is not None:
            self._track(asyncio.ensure_future(self._undo(answer.reservation)))

    async def _undo(self, reservation: Reservation) -> None:
        nothing = [0] * len(reservation.lines)
        try:
            await self.settle(reservation, nothing)
        except StoreError:
            self._outbox.settle_later(reservation, nothing)
        except asyncio.CancelledError:
            self._outbox.settle_later(reservation, nothing)
            raise

    def _track(self, task: asyncio.Future[Any]) -> None:
        self._running.add(task)
        task.add_done_callback(self._untrack)

    def _untrack(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        self._late.pop(task, None)
        if not task.cancelled():
            task.exception()  # retrieve the exception so that asyncio does not log it


async def _listed(store: Administers, partition: str) -> list[AccountRecord]:
    """Return an account alone in a list, since the guard checks the type of answers."""
    found = await store.account(partition)
    return [] if found is None else [found]
