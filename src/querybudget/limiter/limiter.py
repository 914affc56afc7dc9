"""The limiter: from a caller and a call to a decision, and from an answer to a settlement.

It wires the components together and holds no policy of its own: the policy says which budgets
apply, `cost` what they are charged, and the ledger, through a store, whether that fits. It knows no
ASGI messages; `querybudget.asgi` does.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self

from querybudget.adapters.base import Call, Usage
from querybudget.errors import SetupError
from querybudget.events import Hook, Settlement
from querybudget.identity import KeyedHash, Scope
from querybudget.limiter.admission import (
    BARE,
    NO_BUDGETS,
    UNMETERED,
    Admission,
    Outcome,
    nothing_left,
)
from querybudget.limiter.admitted import admitted
from querybudget.limiter.analysis import PromptAnalyzer, analyzer_for
from querybudget.limiter.charges import charge_for, charge_names
from querybudget.limiter.checks import check_call, check_usage
from querybudget.limiter.estimation import Estimator
from querybudget.limiter.examined import NOT_EXAMINED
from querybudget.limiter.histories import Histories
from querybudget.limiter.notices import Notices
from querybudget.limiter.override_feed import OverrideFeed
from querybudget.limiter.override_sources import SourceReader, readers_of
from querybudget.limiter.plans import Caller
from querybudget.limiter.reloading import Change, change_between, prepared
from querybudget.limiter.renewals import Renewals
from querybudget.limiter.reporting import Reporter
from querybudget.limiter.route import Route
from querybudget.limiter.rules import Rules
from querybudget.limiter.scopes import method_of, paths_of
from querybudget.limiter.settler import Settler
from querybudget.limiter.switches import Switches
from querybudget.limiter.unknown import UnknownPaths
from querybudget.limiter.usage import usage_of
from querybudget.limiter.verification import Verified
from querybudget.overrides import Override
from querybudget.policy.model import Mode, Policy
from querybudget.resilience.administering import Administering
from querybudget.resilience.guard import Wait, within
from querybudget.resilience.health import StoreHealth
from querybudget.resilience.opening import open_resilient_store
from querybudget.stores import Clock, Store, StoreSettings, system_clock

logger = logging.getLogger("querybudget")

Sleep = Callable[[float], Awaitable[None]]
"""Waits a number of seconds, as `asyncio.sleep` does."""

_ANSWERED = Outcome.ANSWERED  # looking up an enum's member costs as much as a call does


class Limiter:
    """Decides and settles calls under one policy.

        async with Limiter(load_policy("policy.yaml")) as limiter:
            async with limiter.admitted(scope, call) as admission:
                ...

    Args:
        policy: What the operator decided.
        store: Where accounts are kept, or the URL of it; the policy's own by default. A store
            passed as an object is not closed by the limiter.
        clock: µs since the epoch; the system's by default.
        sleep: Waits a number of seconds, for calls that are delayed.
        wait: Waits until the store answers, at most a number of seconds.
        hooks: Called with one event for each call, beside those that the policy asks for.
        analyzer: Analyzes what calls ask; by default, one is made if a budget needs it, and closed.

    Raises:
        SetupError: There is no such store, it cannot keep the budgets, or an argument is wrong.

    Attributes:
        policy: What decides calls; `reload` puts another in its place.
        clock, sleep, analyzer: As given, or by default; no analyzer if nothing is analyzed.
        store, place: Where accounts are kept, and the URL of it without secrets or its class.
        reporter: Publishes events to the hooks.
        rules, matcher: What is made of the policy. The matcher finds the budgets of a call.
        switches: The policy as it was loaded, and what operators have switched since.
        feed: Reads the overrides that the store keeps.
        estimator: What calls are expected to use.
        renewals: Hold what open calls have reserved.
        refused_policies: How many policies were loaded in place of this one and could not be used.
        unknown: Logs the paths that no adapter reads.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        store: Store | str | None = None,
        clock: Clock | None = None,
        sleep: Sleep = asyncio.sleep,
        wait: Wait = within,
        hooks: Sequence[Hook] = (),
        analyzer: PromptAnalyzer | None = None,
    ) -> None:
        if not isinstance(policy, Policy):  # pyright: ignore[reportUnnecessaryIsInstance] - not every program is type-checked
            raise SetupError(f"expected what `load_policy` returns, found {type(policy).__name__}")
        self.clock = clock or system_clock()
        self.sleep = sleep
        named = store if store is not None else policy.store
        self._owned = isinstance(named, str | StoreSettings)
        self._resilient = open_resilient_store(policy, named, self.clock, wait=wait)
        self.store, self.place = self._resilient.store, self._resilient.place
        self.estimator = Estimator(policy.estimate)
        secret = policy.secret or os.urandom(32)
        self._opened = analyzer_for(policy, secret) if analyzer is None else None
        analyzer = self.analyzer = analyzer or self._opened
        known = Histories(self._resilient, self.clock)
        self.rules = Rules(policy, KeyedHash(secret), analyzer, None, known)
        self.policy, self.matcher = policy, self.rules.matcher
        self.switches = Switches(policy)
        self.reporter = Reporter(hooks, lambda: self.rules, self.clock)
        self._reloading = asyncio.Lock()
        self._settler = Settler(self._resilient, self.reporter)
        self._verified = Verified(self.rules.sources)
        self._notices = Notices()
        self._names = charge_names()
        self.unknown = UnknownPaths()
        self.refused_policies = 0
        self.renewals = Renewals(self._resilient, self.clock, policy.hold)
        self.feed = OverrideFeed(self._resilient, self.clock, self._apply)
        self.feed.read_from(readers_of(self.rules))

    async def reload(self, policy: Policy, *, why: str = "") -> Change:
        """Let another policy decide from now on, and return what is different. Usage is kept.

        A request is decided by one policy as a whole, and open calls settle as they were decided.
        A policy that cannot be used changes nothing. The log says `why`.

        Raises:
            SetupError: The policy needs a restart, or names something that does not exist.
        """
        async with self._reloading:  # two at once would each open an analyzer
            rules, readers = await prepared(
                policy, self.rules, self.analyzer, self.store, self.clock()
            )
            self.reporter.follow(rules.policy)
            self._opened = self._opened or (None if self.analyzer else rules.analyzer)
            self.analyzer, self.switches = rules.analyzer, Switches(rules.policy)
            return self._replace(rules, readers, why)

    def set_mode(self, budget: str, mode: Mode) -> Change:
        """Let a budget enforce, or only report, in this process, until a policy is loaded.

        Raises:
            LookupError: There is no such budget.
        """
        before = self.rules
        self.switches.switch_here(budget, mode)
        self.feed.apply()
        return change_between(before, self.rules)

    def _apply(self, entries: Sequence[Override]) -> None:
        """Apply overrides and switches from now on."""
        rules = self.switches.rules(entries, self.rules, self.analyzer)
        if rules is not self.rules:
            self._replace(rules, self.feed.readers, "an operator switched a mode")
        self.rules.apply(entries)

    def _replace(self, rules: Rules, readers: tuple[SourceReader, ...], why: str = "") -> Change:
        """Put other rules in place, in one step: nothing is awaited meanwhile."""
        change, policy = change_between(self.rules, rules), rules.policy
        self.rules, self.policy, self.matcher = rules, policy, rules.matcher
        self._verified.vouch(rules.sources)
        self.estimator.assume(policy.estimate)
        self.renewals.hold_for(policy.hold)
        self._resilient.follow(policy)
        self.feed.read_from(readers)
        logger.warning("%s%s", f"{why}: " if why else "", change)
        return change

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def policy_hash(self) -> str:
        """Names the policy in events and logs."""
        return self.rules.hash

    @property
    def busy(self) -> bool:
        """Whether a settlement, or anything else, is under way in the background."""
        return self._resilient.busy

    @property
    def administering(self) -> Administering:
        """What operators do to the store; `querybudget.admin` uses it."""
        return self._resilient.administering

    async def admit(self, scope: Scope, call: Call | None = None) -> Admission:
        """Decide a call, and hold what it is expected to use.

        Args:
            scope: An ASGI scope, or one of `request_scope`: who calls, and which path.
            call: What is asked; None for a request of no model, which counts as one request.

        Returns:
            An admission, to be settled exactly once if `Admission.refusal` is None. One to which no
            budget applies is admitted and holds nothing.

        Raises:
            TypeError: A member of the call is of the wrong type.
            ValueError: A number of the call is negative or too large, or a text is not Unicode.
        """
        if call is not None:
            check_call(call)
        method, paths, caller = method_of(scope), paths_of(scope), self.caller_for(scope)
        route, path = self.route_for(method, *paths), paths[0]
        if route is not None:
            return await self.admit_call(caller, route, method, path, call)
        who, asked, now = (caller.identity, caller.tiers[0]), call or BARE, self.clock()
        return Admission(*who, asked, method, path, now, UNMETERED, NO_BUDGETS, settled=True)

    def admitted(
        self, scope: Scope, call: Call | None = None
    ) -> AbstractAsyncContextManager[Admission]:
        """Run a body only if its call is admitted, and settle the call when the body ends.

        A call that is to be slowed is delayed first. The body reports what it used by
        `Admission.used`. If it reports nothing, a body that succeeds is charged at the estimate,
        one that raises is charged nothing, and one that is cancelled is charged the estimated input
        alone: a caller who hangs up has been served. What was reported is charged in any case.

        Args:
            scope: As for `admit`.
            call: As for `admit`.

        Raises:
            RefusedError: The call is refused; the body does not run.
            TypeError, ValueError: As `admit`.
        """
        return admitted(self, scope, call)

    def route_for(self, method: str, *paths: str) -> Route | None:
        """Return the route of a method and the `paths_of` a scope; None if no budget applies."""
        return self.matcher.route(method, *paths)

    def caller_for(self, scope: Scope) -> Caller:
        """Return the sender of a request."""
        return self.rules.caller_for(scope)

    async def admit_call(  # noqa: C901 - one step after the other; a function for each costs time
        self, caller: Caller, route: Route, method: str, path: str, call: Call | None = None
    ) -> Admission:
        """Decide a call whose caller and route are known, as `admit` does.

        Args:
            caller: From `caller_for`.
            route: From `route_for`.
            method: HTTP method or ``WEBSOCKET``.
            path: Path asked for.
            call: What is asked, its figures bounded and not checked here; None if none reads it.
        """
        rules = route.rules or self.rules
        if rules is not self.rules:  # a policy was loaded since the route was found
            caller = rules.caller_for(caller.scope)
        if rules.histories is not None:
            caller = await rules.with_history(caller)
        asked, call = call is not None, call or BARE
        examined, identity, now = NOT_EXAMINED, caller.identity, self.clock()
        if now > self.feed.due:
            self.feed.wake(now)
        overrides = rules.overrides
        blocked = overrides is not None and overrides.blocks(caller, now)
        if route.examined and not blocked:
            examined = await rules.examiner.examine(caller, route, call)
            now = self.clock()
        plan = rules.matcher.plan(caller, route, call, examined)
        estimate = UNMETERED
        if asked and (plan.needs_usage or self.reporter.on):
            estimate = self.estimator.estimate(identity.key, call)
        admission = Admission(identity, caller.tiers[0], call, method, path, now, estimate, plan)
        admission.verified = self._verified.has(identity.key, identity.source)
        if examined is not NOT_EXAMINED:
            admission.examined, admission.observation = examined, examined.observation
        if self.reporter.on:
            self.reporter.begin(admission, caller, rules)
        charge = charge_for(next(self._names), caller, admission, rules, blocked=blocked)
        if charge is not None:
            admission.take(await self._resilient.reserve(charge, plan.on_error))
        withheld = rules.withheld
        if withheld is not None and (plan.counts_buckets or withheld):
            withheld.note(admission)
        refused = admission.refusal is not None
        if refused or admission.stage:
            self._notices.about(admission)
            rules.note_trouble(admission)
        if refused:
            admission.settled = True
            self.reporter.publish(admission, None, 0, Settlement.NONE)
        elif examined.opaque:
            rules.examiner.note(caller, examined)
        return admission

    def reads(self, admission: Admission) -> bool:
        """Return True if anything needs to know what the answer used, as for a newcomer."""
        return admission.plan.needs_usage or self.reporter.on or not admission.verified

    async def settle(
        self, admission: Admission, outcome: Outcome, usage: Usage | None = None, status: int = 0
    ) -> None:
        """Replace what an admission holds by what its call used.

        An answered call verifies its caller: an application that settles its calls itself knows
        whom it answers. Settling twice changes nothing, nor does settling a refused call. This does
        not wait for a store that may wait: the settlement runs in the background, and `aclose`
        waits for it. So cancelling this never loses a settlement.

        Args:
            admission: The call's.
            outcome: How the call ended.
            usage: Tokens used, for an answered call; what it has reported is added. By default,
                what it has reported, or else the estimate.
            status: HTTP status of the answer.

        Raises:
            TypeError: `usage` is no `Usage`, or a figure is no whole number. The call is settled as
                if there were none.
            ValueError: A figure is negative, or larger than what it is a part of: likewise. Or
                there is no such outcome, and nothing is settled.
        """
        outcome = Outcome(outcome)
        try:
            if usage is not None:
                check_usage(usage)
        except (TypeError, ValueError):
            await self.settle_call(admission, outcome, status=status)
            raise
        admission.verified = admission.verified or outcome is _ANSWERED
        await self.settle_call(admission, outcome, usage, status)

    def settle_call(
        self, admission: Admission, outcome: Outcome, usage: Usage | None = None, status: int = 0
    ) -> Awaitable[object]:
        """Settle as `settle` does, without its checks: the caller has bounded the figures."""
        if admission.settled:
            return nothing_left()
        admission.settled = True
        self.renewals.remove(admission)
        usage = usage_of(admission, outcome, usage, self.estimator)
        if admission.verified:
            self._verified.add(admission.identity.key)
            if self.matcher.learns and outcome is _ANSWERED:
                self.rules.note(admission, usage)
        return self._settler.settle(admission, outcome, usage, status)

    async def start(self) -> None:
        """Open the store's files and connections; without this, the first call does.

        Raises:
            SetupError: The store can never work as it is set up. One that is down is only logged.
        """
        try:
            await self._resilient.start()
            await self.feed.start()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Wait for settlements under way, then close the store unless it was passed as an object.

        It may be used again: its next call opens the store, whose accounts in memory are new.
        """
        self.renewals.stop()
        self.feed.stop()
        await self._resilient.aclose()
        await self.reporter.aclose()
        if self._owned:
            await self.store.aclose()
        if self._opened is not None:
            await self._opened.aclose()

    def health(self) -> StoreHealth:
        """Return how the store is, as far as this process knows."""
        return self._resilient.health()

    async def check(self) -> StoreHealth:
        """Return `health`, after asking the store: at most every ten seconds while it answers."""
        return await self._resilient.check()
