"""`Guard`: what stands between requests and a store that can fail.

A store across a network can be late, gone, or answer nonsense. Behind a guard it costs a request
at most the time-out: an answer that is late is a `StoreError` like any other. After some failures
in a row the store is left alone, and asked again once in a while, so that the requests of an
outage do not wait at all.

A verb runs in a task of its own, which neither the time-out nor a request's cancellation ends. So
what a late `reserve` has charged after all is known when it answers, and given back then: nothing
stays held that nobody wants.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, ParamSpec, TypeVar

from querybudget.breaker import CircuitBreaker
from querybudget.errors import QueryBudgetError, StoreError
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.redact import redact_error
from querybudget.stores import Clock, Store
from querybudget.units import SECOND, Quota

__all__ = ["FAILURES", "REST", "Guard", "Unsettled", "Wait", "within"]

logger = logging.getLogger("querybudget")

FAILURES = 5
"""So many failures in a row, and the store is down."""

REST = SECOND
"""µs for which a store that is down is left alone, before one call asks it again."""

_LATE = 1_000
"""Late answers waited for at most: what never comes must not pile up."""

_LONGEST = 300
"""Characters of a store's own words that are repeated."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CREDENTIALS = re.compile(r"://\S*@")

Wait = Callable[[Collection["asyncio.Future[Any]"], float], Awaitable[object]]
"""Waits until all futures are done, or for so many seconds; cancels none of them."""

Unsettled = Callable[[Reservation, Sequence[int]], None]
"""Takes a reservation that could not be settled, and the amounts for it."""


async def within(futures: Collection[asyncio.Future[Any]], seconds: float) -> None:
    """Wait until all are done, or for so many seconds by the event loop's time."""
    await asyncio.wait(futures, timeout=seconds)


class Guard:
    """A store that answers in time, or says at once that it does not.

    Every verb raises `StoreError` and nothing else: where the store fails, whatever it raises;
    where it answers nothing that the verb can answer; where it is late; and while it is down.

    One line is logged when the store goes down and one when it is up again, and none in between.
    An exception that is none of ours is a fault of the store: it is logged with its traceback,
    once until the store is up again.

    Args:
        store: The store; it stays its owner's to close.
        clock: µs, never going back.
        timeout: µs that a verb may take.
        name: Of the store, for people: ``redis``.
        answered: Called each time the store has answered, when it is taken to be up.
        unsettled: Is given what had to be given back and could not.

    Attributes:
        failures: Verbs that failed, late ones included.
        timeouts: Verbs that were late.
        without: Calls decided without the store: counted by whoever decides them.
        since: When it went down, or came up, µs.
        last_error: Why the last verb failed that did; empty where none has.
        wait: Waits for answers; tests put their own here.
    """

    suspends = True

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        timeout: int,
        name: str = "",
        answered: Callable[[], None],
        unsettled: Unsettled,
    ) -> None:
        self._store = store
        self._clock = clock
        self._seconds = timeout / SECOND
        self._name = f"the store ({name})" if name else "the store"
        self._answered = answered
        self._unsettled = unsettled
        self._breaker = CircuitBreaker("", FAILURES, REST, clock)
        self._under_way = set[asyncio.Future[Any]]()
        self._late: dict[asyncio.Future[Any], None] = {}
        self._told = set[type[BaseException]]()
        self._before = 0
        self.failures = self.timeouts = self.without = 0
        self.since = clock()
        self.last_error = ""
        self.wait: Wait = within

    @property
    def up(self) -> bool:
        """Whether the store is taken to be up."""
        return not self._breaker.is_open

    @property
    def well(self) -> bool:
        """Whether it answered the last time."""
        return self._breaker.healthy

    @property
    def ready(self) -> bool:
        """Whether it would be asked now: it is up, or down and has rested."""
        return self._breaker.would_allow

    @property
    def busy(self) -> bool:
        """Whether the store has been asked something that is neither answered nor late."""
        return len(self._under_way) > len(self._late)

    async def reserve(self, charge: Charge) -> Decision:
        """Charge all lines or none, in time. What is not wanted any more is given back."""
        return await self._ask(Decision, self._store.reserve, charge)

    async def settle(self, reservation: Reservation, amounts: Sequence[int]) -> Settled:
        """Replace what is held by what was used, in time."""
        return await self._ask(Settled, self._store.settle, reservation, amounts)

    async def peek(self, partition: str, quotas: Sequence[Quota]) -> tuple[tuple[int, int], ...]:
        """(remaining µ-units, µs to reset) of each quota, in time."""
        return await self._ask(tuple, self._store.peek, partition, quotas)

    async def forget(self, partition: str) -> bool:
        """Drop a partition's account, in time."""
        return await self._ask(bool, self._store.forget, partition)

    async def aclose(self) -> None:
        """Wait for late answers, as long as for any, then for what they give back; drop the rest.

        What is dropped is the store's to undo, or expires.
        """
        for _ in range(2):
            if self._under_way:
                await self.wait(tuple(self._under_way), self._seconds)
                await asyncio.sleep(0)  # What follows from their ends begins in the next turn.
        left = tuple(self._under_way)
        for task in left:
            self._late[task] = None
            task.cancel()
        if left:
            await self.wait(left, self._seconds)

    def note(self, error: BaseException) -> None:
        """A verb failed: of this guard, or one that was asked of the store itself."""
        self.failures += 1
        expected = isinstance(error, QueryBudgetError)
        kind = type(error)
        # The words of an error that is not ours may hold anything, a prompt for example.
        why = self.last_error = redact_error(str(error))[:_LONGEST] if expected else kind.__name__
        if not expected and kind not in self._told:
            self._told.add(kind)
            logger.error("%s failed with %s", self._name, kind.__name__, exc_info=error)
        if self._breaker.record_failure(why):
            self.since = self._clock()
            logger.warning(
                "%s does not answer (%s). Until it does, each budget's `on_store_error` says what"
                " becomes of calls",
                self._name,
                why,
            )

    async def _ask(
        self,
        kind: type[_T],
        verb: Callable[_P, Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        if not self._breaker.allow_request():
            raise StoreError(f"{self._name} is down: {self.last_error}")

        async def answer() -> _T:
            try:
                found = await verb(*args, **kwargs)
                if not isinstance(found, kind):
                    raise StoreError(f"expected a {kind.__name__}, found {type(found).__name__}")  # noqa: TRY301 - a failure like the store's own
            except (Exception, asyncio.CancelledError) as error:
                self._hear(error)
                raise
            self._hear(None)
            return found

        task = asyncio.ensure_future(answer())
        self._keep(task)
        try:
            await self.wait((task,), self._seconds)
        except asyncio.CancelledError:
            self._keep(asyncio.ensure_future(self._watch(task)))
            raise
        if not task.done():
            raise self._give_up(task)
        return self._result(task)

    def _result(self, task: asyncio.Future[_T]) -> _T:
        if task.cancelled():
            raise StoreError(f"{self._name} was cancelled while it was asked")
        error = task.exception()
        if error is None or isinstance(error, StoreError):
            return task.result()
        words = str(error) if isinstance(error, QueryBudgetError) else type(error).__name__
        raise StoreError(f"{self._name} failed with {words}") from error

    async def _watch(self, task: asyncio.Future[Any]) -> None:
        """Wait for an answer that nobody else waits for."""
        await self.wait((task,), self._seconds)
        if task.done():
            self._give_back(task)
        else:
            self._give_up(task)

    def _give_up(self, task: asyncio.Future[Any]) -> StoreError:
        """Wait no longer for a task; it goes on by itself."""
        self.timeouts += 1
        self._late[task] = None
        task.add_done_callback(self._give_back)
        error = StoreError(f"no answer within {self._seconds:g} s")
        self.note(error)
        if len(self._late) > _LATE:
            oldest = next(iter(self._late))
            oldest.cancel()
        return error

    def _hear(self, error: BaseException | None) -> None:
        """The task that runs has been answered. What was late was counted when it was."""
        if asyncio.current_task() in self._late:
            return
        if error is None:
            self._work()
        elif isinstance(error, asyncio.CancelledError):
            self.note(StoreError("it was cancelled while it was asked"))
        else:
            self.note(error)

    def _work(self) -> None:
        """The store has answered in time."""
        if self._breaker.record_success():
            now = self._clock()
            logger.warning(
                "%s answers again after %.1f s; %d calls were decided without it",
                self._name,
                (now - self.since) / SECOND,
                self.without - self._before,
            )
            self.since = now
            self._told.clear()
        self._before = self.without
        self._answered()

    def _give_back(self, task: asyncio.Future[Any]) -> None:
        """Nobody waits for this answer any more: what it charged is charged to nobody."""
        if task.cancelled() or task.exception() is not None:
            return
        found = task.result()
        if isinstance(found, Decision) and found.reservation is not None:
            self._keep(asyncio.ensure_future(self._undo(found.reservation)))

    async def _undo(self, reservation: Reservation) -> None:
        nothing = [0] * len(reservation.lines)
        try:
            await self.settle(reservation, nothing)
        except StoreError:
            self._unsettled(reservation, nothing)
        except asyncio.CancelledError:
            self._unsettled(reservation, nothing)
            raise

    def _keep(self, task: asyncio.Future[Any]) -> None:
        self._under_way.add(task)
        task.add_done_callback(self._drop)

    def _drop(self, task: asyncio.Future[Any]) -> None:
        self._under_way.discard(task)
        self._late.pop(task, None)
        if not task.cancelled():
            task.exception()  # seen, so that nobody is told of one that nobody waits for
