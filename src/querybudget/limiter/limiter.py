"""The limiter: from a caller and a call to a decision, and from an answer to a settlement.

It puts the rooms together and decides nothing itself: the policy says which budgets match, pricing
what they cost, the ledger (through a store) whether they fit. It knows no ASGI messages;
`querybudget.asgi` is its edge.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from querybudget.adapters.base import UNREADABLE, Call, Dialect, Usage
from querybudget.coverage import Observation
from querybudget.coverage.observation import FINE
from querybudget.events import Hook, publish
from querybudget.identity import KeyedHash, chain, identify, tier_rules
from querybudget.ledger import Charge, Decision, Reservation, Settled
from querybudget.limiter.admission import Admission, Outcome, Refusal
from querybudget.limiter.analysis import PromptAnalyzer, analyzer_for
from querybudget.limiter.estimation import Estimate, Estimator
from querybudget.limiter.matching import Caller, Matcher, Route
from querybudget.limiter.settling import amounts_of
from querybudget.limiter.telling import event_of
from querybudget.policy.model import Policy
from querybudget.resilience.health import StoreHealth
from querybudget.resilience.store import DEFERRED, open_desk
from querybudget.stores import Clock, Store, StoreSettings, system_clock
from querybudget.units import MICRO, Unit

__all__ = ["Limiter"]

logger = logging.getLogger("querybudget")

BARE = Call(Dialect.PROBLEM, "other", generates=False)
"""A call on a path that no adapter knows: one request."""


NOTHING = Usage()
UNSEEN = Observation()
"""Of a call that was not observed: it visits nothing."""

UNMETERED = Estimate(NOTHING, NOTHING, MICRO)
"""For calls that have no tokens, or of which nobody counts them."""

# Looking up an enum's member costs as much as a call does.
_ANSWERED, _LATE = Outcome.ANSWERED, Settled.LATE


class Limiter:
    """Decides and settles calls under one policy.

    Args:
        policy: What the operator decided.
        store: Where accounts are kept, or the URL of it; the policy's own unless given. A store
            given as an object stays its owner's to close.
        clock: µs since the epoch; the system's unless given.
        hooks: Called with one event for each call.
        analyzer: Looks at what calls ask; unless given, one is made from the policy where any of
            its budgets needs it. One that is given stays its owner's to close.

    Raises:
        SetupError: There is no such store, or it cannot keep the policy's budgets.

    Attributes:
        store: Where accounts are kept.
        analyzer: Looks at what calls ask; None where nothing does.
        route: `Matcher.route`: what applies to a method and path, None where nothing does.
        pause: Waits for so many seconds, for calls that are slowed; tests put their own here.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        store: Store | str | None = None,
        clock: Clock | None = None,
        hooks: Sequence[Hook] = (),
        analyzer: PromptAnalyzer | None = None,
    ) -> None:
        self.policy = policy
        self.clock = clock or system_clock()
        given = store if store is not None else policy.store
        self._owned = isinstance(given, str | StoreSettings)
        self._desk = open_desk(policy, given, self.clock)
        self.store = self._desk.store
        self.estimator = Estimator(policy.estimate)
        self._hooks = tuple(hooks)
        secret = policy.secret or os.urandom(32)
        self._hash = KeyedHash(secret)
        self._chain = chain(policy.identity)
        self._tier = tier_rules(policy.tiers)
        self._opened = analyzer_for(policy, secret) if analyzer is None else None
        analyzer = self.analyzer = analyzer or self._opened
        self.matcher = Matcher(policy, self._hash, analyzer.names if analyzer else ())
        self.route = self.matcher.route
        self._prefix, self._count = os.urandom(8).hex(), 0
        self.pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    @property
    def busy(self) -> bool:
        """Whether a settlement, or anything else, is still under way in the background."""
        return self._desk.busy

    def caller(self, scope: Mapping[str, Any]) -> Caller:
        """Who sent a request."""
        identity = identify(self._chain, self._hash, scope)
        return Caller(identity, self._tier(identity, scope), scope)

    async def admit(
        self, caller: Caller, route: Route, method: str, path: str, call: Call | None = None
    ) -> Admission:
        """Decide a call, and hold what it will probably use.

        Args:
            caller: Who.
            route: From `route`.
            method: HTTP method or ``WEBSOCKET``.
            path: Path asked for.
            call: What is asked; None for a request that no adapter reads.

        Returns:
            An admission, to be settled exactly once if `Admission.refusal` is None.
        """
        asked, call = call is not None, call or BARE
        plan, observation = self.matcher.plan(caller, route, call), None
        if plan.needs_analysis and self.analyzer is not None:
            observation = await self.analyzer.analyze(call)
            plan = self.matcher.plan(caller, route, call, observation.capabilities)
        estimate = UNMETERED
        if asked and (plan.needs_usage or self._hooks):
            estimate = self.estimator.estimate(caller.identity.key, call)
        admission = Admission(
            caller, call, method, path, self.clock(), estimate, plan, observation=observation
        )
        if plan.unpriced:
            admission.refusal = Refusal.UNPRICED
        else:
            self._count += 1
            name = f"{self._prefix}{self._count:x}"
            if plan.counts_buckets:
                charge = self._covered(name, admission)
            else:
                lines = self.matcher.lines(caller, plan, call, estimate)
                charge = Charge(name, lines, self.policy.hold)
            decision: Decision | None
            try:
                decision = await self._desk.door.reserve(charge)
            except Exception as error:  # noqa: BLE001 - whatever a store raises, it is no 500
                decision = await self._desk.decide(admission, charge, error)
            admission.decision = decision
            if decision is None:
                pass
            elif decision.reservation is None:
                admission.refusal = _why(decision) if plan.counts_buckets else Refusal.QUOTA
            elif plan.counts_buckets:
                admission.stage, admission.delay = decision.stage, decision.delay
        if admission.refusal is not None:
            self._tell(admission, None, 0, "")
        return admission

    def _covered(self, name: str, admission: Admission) -> Charge:
        """The charge of a call that budgets in buckets look at."""
        plan, caller, observation = (
            admission.plan,
            admission.caller,
            admission.observation or UNSEEN,
        )
        if admission.call.operation == UNREADABLE:
            # What only the server can read is no way around a budget: each counts as new ground.
            cell = int(self._hash("body", admission.call.ask)[:8], 16) % FINE
            observation = admission.observation = Observation(cells=(cell,))
        lines = self.matcher.lines(
            caller, plan, admission.call, admission.estimate, observation.capabilities
        )
        profiled = self.matcher.profiled(caller, plan, lines)
        return Charge(name, lines, self.policy.hold, observation=observation, profiled=profiled)

    def reads(self, admission: Admission) -> bool:
        """Whether anybody wants to know what the answer used."""
        return admission.plan.needs_usage or bool(self._hooks)

    async def settle(
        self, admission: Admission, outcome: Outcome, usage: Usage | None = None, status: int = 0
    ) -> None:
        """Replace what an admission holds by what its call used. Settling twice changes nothing.

        A store that may wait is not waited for: its settlement goes on by itself, and `aclose`
        waits for it.

        Args:
            admission: An admitted admission.
            outcome: How the call ended.
            usage: Tokens used, for an answered call; what was foreseen unless given.
            status: HTTP status of the answer.
        """
        if admission.settled:
            return
        admission.settled = True
        if outcome is not _ANSWERED:
            usage = NOTHING
        elif usage is None:
            usage = admission.estimate.usage
        elif admission.plan.needs_usage:
            self.estimator.learn(admission.caller.identity.key, admission.call, usage)
        decision = admission.decision
        if decision is None or decision.reservation is None:
            self._tell(admission, usage, status, "failed")
            return
        amounts = amounts_of(admission, outcome, usage)
        work = self._settle(admission, decision.reservation, amounts, usage, status)
        if self._desk.door.suspends and admission.without is None:
            self._desk.keep(work)
        else:
            await work

    async def withdraw(self, admission: Admission, refusal: Refusal) -> None:
        """Refuse an admitted admission after all: everything it holds is given back."""
        admission.refusal = refusal
        await self.settle(admission, Outcome.FAILED)

    async def aclose(self) -> None:
        """Wait for settlements under way, then close the store if it is the limiter's own.

        What the store could not be told while it was down is told once more, for as long as an
        answer may take.
        """
        await self._desk.aclose()
        if self._owned:
            await self.store.aclose()
        if self._opened is not None:
            await self._opened.aclose()

    async def start(self) -> None:
        """Open the store's files and connections. A store that does not answer is only logged.

        Without it they are opened by the first call.

        Raises:
            SetupError: The store can never work as it is set up.
        """
        await self._desk.start()

    def health(self) -> StoreHealth:
        """How the store is, as far as this process knows."""
        return self._desk.health()

    async def check(self) -> StoreHealth:
        """`health`, after a store that did not answer the last time was asked once more."""
        return await self._desk.check()

    async def _settle(
        self,
        admission: Admission,
        reservation: Reservation,
        amounts: Sequence[int],
        usage: Usage,
        status: int,
    ) -> None:
        desk = self._desk
        if admission.without is not None:
            settlement = await desk.settle_local(admission, amounts)
        else:
            try:
                settled = await desk.door.settle(reservation, amounts)
            except Exception as error:  # noqa: BLE001 - whatever a store raises, it is told later
                desk.defer(reservation, amounts, error)
                settlement = DEFERRED
            else:
                settlement = settled.value
                if settled is _LATE:
                    logger.warning("a call outlived its reservation; `hold` is too short for it")
        if self._hooks:
            self._tell(admission, usage, status, settlement)

    def _tell(
        self, admission: Admission, usage: Usage | None, status: int, settlement: str
    ) -> None:
        if self._hooks:
            event = event_of(admission, self.matcher, self.clock(), usage, status, settlement)
            publish(self._hooks, event)


def _why(decision: Decision) -> Refusal:
    """Why a decision refuses: abnormal use only where nothing else does."""
    refusing = [status.line for status in decision.lines if status.verdict]
    plain = any(line.quota.unit is not Unit.BUCKETS for line in refusing if not line.shadow)
    return Refusal.QUOTA if plain else Refusal.ABNORMAL
