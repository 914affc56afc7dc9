"""`Desk`: where the limiter has its calls charged, at the store or without it.

door    who is asked: the store itself, or a guard in front of it. A store that never waits needs
        no guard, and costs none, until it fails; then it has one until it answers again
without what a budget says of calls that the store could not decide
journal what the store is told when it answers again
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from querybudget.backends import WORDS, guarantees_of, lacking
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Decision, Line, Reservation
from querybudget.limiter.admission import Admission
from querybudget.policy.model import Policy
from querybudget.redact import redact_names
from querybudget.resilience.fallback import Fallback, denies
from querybudget.resilience.guard import Guard
from querybudget.resilience.health import Health, StoreHealth
from querybudget.resilience.outbox import Outbox
from querybudget.stores import Clock, Declares, Starts, Store, StoreSettings, open_store
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

__all__ = ["DEFERRED", "Desk", "open_desk"]

logger = logging.getLogger("querybudget")

DEFERRED = "deferred"
"""Of a settlement: the store is told when it answers again."""

_PROBE = Quota("health", Unit.REQUESTS, MICRO, 60 * SECOND, Algorithm.SLIDING, MICRO)


class Desk:
    """Charges calls, also while the store fails.

    Args:
        policy: What budgets say of a store that is down.
        store: Where accounts are kept.
        clock: µs since the epoch.
        storage: How long it may take, and how many workers share it.
        name: Of the store, for people.

    Attributes:
        store: As given.
        door: Who is asked: the store, or `guard`.
        guard: Asks the store in time.
        outbox: What it has to be told.
    """

    def __init__(
        self, policy: Policy, store: Store, clock: Clock, *, storage: StoreSettings, name: str
    ) -> None:
        self.store = store
        self._name = name
        self._seconds = storage.timeout / SECOND
        self._denies = any(denies(budget) for budget in policy.budgets)
        self._without = Fallback(policy, storage.workers, clock)
        self.outbox = Outbox(clock)
        self.guard = Guard(
            store,
            clock,
            timeout=storage.timeout,
            name=name,
            answered=self._answered,
            unsettled=self._unsettled,
        )
        self.door: Store = self.guard if store.suspends else store
        self._flushing: asyncio.Task[Any] | None = None
        self._tasks = set[asyncio.Task[Any]]()
        self._probes = 0

    @property
    def busy(self) -> bool:
        """Whether anything goes on in the background."""
        return bool(self._tasks) or self.guard.busy

    async def start(self) -> None:
        """Start the store, where it wants to be told.

        Raises:
            SetupError: It can never work as it is set up.
        """
        if not isinstance(self.store, Starts):
            return
        try:
            await self.store.start()
        except SetupError:
            raise
        except Exception as error:  # noqa: BLE001 - a server starts without its store, whatever it is
            self.guard.note(error)
            logger.warning("the store (%s) did not start: %s", self._name, self.guard.last_error)

    async def decide(
        self, admission: Admission, charge: Charge, error: Exception
    ) -> Decision | None:
        """Decide a call that the store could not decide, as its budgets say.

        Args:
            admission: The call's; refused where a budget denies.
            charge: What the store was asked for.
            error: Why it could not.
        """
        self._failed(error)
        self.guard.without += 1
        return await self._without.decide(admission, charge)

    async def settle_local(self, admission: Admission, amounts: Sequence[int]) -> str:
        """Settle what was decided without the store, which is told when it answers.

        Args:
            admission: Admitted, with something reserved.
            amounts: µ-units used of each budget of its plan, before price.

        Returns:
            What was done, as `DecisionEvent.settlement` has it.
        """
        without, decision = admission.without, admission.decision
        if without is None or decision is None or decision.reservation is None:
            raise ValueError("expected an admission admitted without the store, found another")
        taken = [amounts[at] for at in without.places]
        settled = await self._without.settle(decision.reservation, taken)
        self.outbox.charge_later(without.charge, without.lines, decision.reservation, taken)
        self._flush()
        return settled.value

    def defer(self, reservation: Reservation, amounts: Sequence[int], error: Exception) -> None:
        """Settle later what the store could not settle now.

        Args:
            reservation: The store's.
            amounts: µ-units used on each line, before price.
            error: Why it could not.
        """
        self._failed(error)
        self._unsettled(reservation, amounts)

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on in the background; `aclose` waits for it."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def health(self) -> StoreHealth:
        """How the store is, as far as it is known."""
        guard, outbox = self.guard, self.outbox
        down = Health.DOWN if self._denies else Health.DEGRADED
        return StoreHealth(
            status=Health.OK if guard.up else down,
            store=self._name,
            since=guard.since,
            failures=guard.failures,
            timeouts=guard.timeouts,
            without_store=guard.without,
            local=self._without.decided,
            outbox=len(outbox),
            dropped=outbox.dropped,
            refused=outbox.refused,
            last_error=redact_names(guard.last_error),
        )

    async def check(self) -> StoreHealth:
        """`health`, after a store that did not answer the last time was asked once more.

        One that is down is asked once in each rest. So a server that gets no calls while its store
        is unwell notices that it is well again, and tells it what is left.
        """
        if not self.guard.well and self.guard.ready:
            self._probes += 1
            line = Line(_PROBE.name, _PROBE, 0, 0)
            charge = Charge(f"health-{id(self):x}-{self._probes:x}", (line,), 60 * SECOND)
            try:
                # By what calls need: a full disk can be read.
                decision = await self.guard.reserve(charge)
                if decision.reservation is not None:
                    await self.guard.settle(decision.reservation, (0,))
            except StoreError as error:
                logger.debug("the store (%s) is still down: %s", self._name, error)
        return self.health()

    async def aclose(self) -> None:
        """Wait for what goes on, no longer than for an answer; tell the store once what is left."""
        while self._tasks - {self._flushing}:
            await asyncio.gather(*(self._tasks - {self._flushing}), return_exceptions=True)
        if self._flushing is not None:
            await self._end(self._flushing)
        await self.guard.aclose()
        if self.outbox:
            await self._end(asyncio.ensure_future(self._tell(self.store)))
        if self.outbox:
            logger.warning(
                "the store (%s) was not told of %d calls and settlements before the end",
                self._name,
                len(self.outbox),
            )

    async def _end(self, task: asyncio.Future[bool]) -> None:
        """Give a task as long as any answer, then end it."""
        await self.guard.wait((task,), self._seconds)
        if task.cancel():
            await self.guard.wait((task,), self._seconds)

    async def _tell(self, store: Store) -> bool:
        """Tell the store all that is left; whether it took everything."""
        while self.outbox:
            if not await self.outbox.flush(store):
                return False
        return True

    def _failed(self, error: Exception) -> None:
        """What the guard asked it knows; what was asked of the store itself it has to be told."""
        if self.door is not self.guard:
            self.guard.note(error)
            self.door = self.guard

    def _answered(self) -> None:
        """The store is well: ask it directly if it never waits, and tell it what is left."""
        if not self.store.suspends:
            self.door = self.store
        self._flush()

    def _unsettled(self, reservation: Reservation, amounts: Sequence[int]) -> None:
        self.outbox.settle_later(reservation, amounts)

    def _flush(self) -> None:
        """Tell the store what is left, in the background, if it is well and is not being told."""
        if self._flushing is None and self.outbox and self.guard.well:
            self._flushing = task = asyncio.ensure_future(self._tell(self.guard))
            self._tasks.add(task)
            task.add_done_callback(self._flushed)

    def _flushed(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        self._flushing = None
        if not task.cancelled() and task.result():
            self._flush()  # what has come in since


def open_desk(policy: Policy, given: Store | StoreSettings | str, clock: Clock) -> Desk:
    """The desk of a policy, with its store or another.

    Args:
        policy: The policy.
        given: A store, or what names one.
        clock: µs since the epoch.

    Raises:
        SetupError: The store cannot keep the policy's budgets, or there is none of that name.
    """
    storage = policy.store
    if isinstance(given, str):
        storage = msgspec.structs.replace(storage, url=given)
    elif isinstance(given, StoreSettings):
        storage = given
    else:
        _check(given, type(given).__name__, policy)
        return Desk(policy, given, clock, storage=storage, name=type(given).__name__)
    scheme = storage.url.partition("://")[0]
    guarantees = guarantees_of(storage.url)
    if guarantees is not None and guarantees.shared and not policy.secret:
        raise SetupError(
            f"expected `secret` in the policy beside the shared store {scheme}://, found none:"
            " without it, each process has its own names for the same callers"
        )
    store = open_store(storage, clock, max_identities=policy.max_identities)
    _check(store, f"{scheme}://", policy)
    return Desk(policy, store, clock, storage=storage, name=scheme)


def _check(store: Store, name: str, policy: Policy) -> None:
    """Whether a store keeps every kind of window that the policy has."""
    if not isinstance(store, Declares):
        return
    guarantees = store.guarantees
    lacks = lacking(guarantees, [budget.quota for budget in policy.budgets])
    if lacks:
        kept = " and ".join(WORDS[kind] for kind in Algorithm if kind in guarantees.windows)
        found = "; ".join(f"budget {lack.name!r} has {WORDS[lack.algorithm]}" for lack in lacks)
        raise SetupError(
            f"the store {name} keeps {kept or 'nothing'}, and not all budgets: {found}"
        )
