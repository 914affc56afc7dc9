"""Reporting: the event about a call that was refused or settled, and who receives it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from querybudget.adapters.base import Usage
from querybudget.events import (
    DecidedBy,
    DecisionEvent,
    EventStage,
    EventVerdict,
    Hook,
    Settlement,
    checked_hooks,
    is_async,
    publish,
)
from querybudget.ledger import Decision
from querybudget.ledger.types import UNCHARGED
from querybudget.limiter.admission import Admission, Refusal
from querybudget.limiter.async_hooks import AsyncHook, AsyncHooks
from querybudget.limiter.matching import Matcher
from querybudget.limiter.output_hooks import OutputHooks, close
from querybudget.limiter.plans import Caller
from querybudget.limiter.request_ids import sent_id, trace_of
from querybudget.limiter.rules import Rules
from querybudget.policy.match import kinds_of
from querybudget.policy.model import Policy
from querybudget.redact import shown
from querybudget.resilience.fallback import Reserved
from querybudget.stores import Clock
from querybudget.units import NO_TIME, Micros, Millionths, Unit, priced

_BY_NO_BUDGET = {
    Refusal.UNPRICED: EventVerdict.UNPRICED,
    Refusal.STORE: EventVerdict.STORE_ERROR,
    Refusal.TOO_MANY_DELAYED: EventVerdict.TOO_MANY_DELAYED,
    Refusal.BLOCKED: EventVerdict.BLOCKED,
}

Kind = TypeVar("Kind")


class Follower(Protocol):
    """What goes from one policy to the next with the limiter."""

    def follow(self, policy: Policy, /) -> None:
        """Do what this policy asks for, from the next event on.

        Raises:
            SetupError: A library that this needs is missing. Everything stays as it was.
        """
        ...


class Reporter:
    """Publishes one event for each call to the hooks of a limiter.

    Args:
        hooks: Called with each event, beside those that the policy asks for.
        rules: Returns the present ones, which know the policy and the names of capabilities.
        clock: µs since the epoch.

    Attributes:
        on: Whether there are any hooks. Without them nothing is noted or made.
        wants_texts: Whether any of them wants what calls hold, by an attribute of this name.
    """

    def __init__(self, hooks: Sequence[Hook], rules: Callable[[], Rules], clock: Clock) -> None:
        self._own, self._hooks = tuple[Hook, ...](), tuple[Hook, ...]()
        self._outputs = OutputHooks(rules().policy, clock)
        self._later, self._followers = AsyncHooks(), list[Follower]()
        self._rules = rules
        self._clock = clock
        self.on = self.wants_texts = False
        self.add(hooks)

    def add(self, hooks: Sequence[Hook]) -> None:
        """Call these hooks too, from now on.

        Raises:
            SetupError: One of them cannot be called.
        """
        self._own += checked_hooks(hooks)
        self._collect()

    def remove(self, hook: Hook) -> None:
        """Call a hook no more."""
        self._own = tuple(one for one in self._own if one is not hook)
        self._collect()

    def followed_by(self, follower: Follower) -> None:
        """Tell this one of each policy that is loaded from now on."""
        self._followers.append(follower)

    def follow(self, policy: Policy) -> None:
        """Write and send what this policy asks for, from the next event on.

        Raises:
            SetupError: A library that this needs is missing. Everything stays as it was.
        """
        self._outputs.follow(policy)
        for follower in self._followers:
            follower.follow(policy)
        self._collect()

    def _collect(self) -> None:
        every = (*self._own, *self._outputs.hooks)
        self._hooks = tuple(
            partial(self._later.put, cast("AsyncHook", hook)) if is_async(hook) else hook
            for hook in every
        )
        self.on = bool(every)
        self.wants_texts = any(getattr(hook, "wants_texts", False) for hook in every)

    def hook(self, kind: type[Kind]) -> Kind | None:
        """Return the first hook of a kind, of those that were given."""
        hooks = cast("Sequence[object]", self._own)
        return next((hook for hook in hooks if isinstance(hook, kind)), None)

    def begin(self, admission: Admission, caller: Caller, rules: Rules) -> None:
        """Note what only the request and the rules that decide it say, and only events need."""
        admission.policy = rules.hash
        admission.sent_id = sent_id(caller.scope)
        admission.trace = trace_of(caller.scope)
        admission.partitions = rules.matcher.pools(caller)

    def publish(
        self,
        admission: Admission,
        usage: Usage | None,
        status: int,
        settlement: Settlement,
        amounts: Sequence[int] = (),
    ) -> None:
        """Publish the event about an admission that was refused or settled.

        Args:
            admission: The call's.
            usage: Tokens it was settled at.
            status: HTTP status of the answer.
            settlement: How its reservation ended.
            amounts: What it was settled at, µ-units before price; empty if nothing was settled.
        """
        if not self.on or admission.quiet:
            return
        event = event_for(
            admission,
            self._rules().matcher,
            self._clock(),
            usage,
            status,
            settlement,
            policy=admission.policy,
            charged=charged_of(admission.reserved, amounts, settlement),
            texts=admission.call.segments if self.wants_texts else (),
        )
        publish(self._hooks, event)

    async def aclose(self) -> None:
        """Wait for hooks that are awaited, then close those that can be closed."""
        await self._later.aclose()
        for hook in self._own:
            await close(hook)
        await self._outputs.aclose()


def charged_of(
    reserved: Reserved | None, amounts: Sequence[int], settlement: Settlement
) -> dict[str, int]:
    """Return what a call took of each budget in the end, as settling it did in the ledger.

    Args:
        reserved: Where and how it was decided; None if no budget was asked.
        amounts: µ-units used on each line of its charge, before price; empty if it was not settled.
        settlement: How its reservation ended.
    """
    if reserved is None or reserved.reservation is None or settlement is Settlement.REPEATED:
        return {}
    reservation, charged = reserved.reservation, dict[str, int]()
    used = [amounts[n] for n in reserved.places] if reserved.places else amounts
    for line, held, amount in zip(reservation.lines, reservation.held, used, strict=False):
        unit = line.quota.unit
        if held == UNCHARGED or unit is Unit.CONCURRENT:
            continue
        if unit is Unit.BUCKETS:
            spent = held if amount else 0
        else:
            spent = priced(amount, reservation.price)
        if settlement is Settlement.LATE:  # only what is above the estimate was charged then
            spent = max(spent, held)
        charged[line.quota.name] = charged.get(line.quota.name, 0) + spent
    return charged


def event_for(
    admission: Admission,
    matcher: Matcher,
    now: Micros,
    usage: Usage | None,
    status: int,
    settlement: Settlement,
    **added: Any,  # noqa: ANN401 - of several types
) -> DecisionEvent:
    """Return the event about an admission that was refused or settled.

    Args:
        admission: The call's.
        matcher: Knows the names of capabilities.
        now: µs since the epoch.
        usage: Tokens it was settled at.
        status: HTTP status of the answer.
        settlement: How its reservation ended.
        added: Further members.
    """
    decision, call, refused = admission.decision, admission.call, admission.refusal is not None
    return DecisionEvent(
        at=admission.at,
        identity=admission.identity,
        tier=admission.tier,
        method=shown(admission.method),
        path=shown(admission.path),
        operation=call.operation,
        model=shown(call.model),
        stream=call.stream,
        verdict=_verdict(admission),
        violated=decision.violated if decision else (),
        shadowed=decision.shadowed if decision else (),
        wait=decision.wait if decision else NO_TIME,
        price=decision.price if decision else Millionths(0),
        expected=admission.estimate.usage,
        usage=None if refused else usage,
        status=status,
        duration=Micros(now - admission.at),
        settlement=Settlement.NONE if refused else settlement,
        decision=decision,
        store=admission.reserved.by if admission.reserved else DecidedBy.NONE,
        request_id=admission.named,
        sent_id=admission.sent_id,
        trace=admission.trace,
        answer_id=admission.answer_id,
        partitions=admission.partitions,
        items=call.items,
        choices=call.choices,
        max_output=call.max_output,
        input_bytes=call.input_bytes,
        input_tokens=call.input_tokens,
        images=call.images,
        **_coverage(admission, matcher),
        **added,
    )


def _coverage(admission: Admission, matcher: Matcher) -> dict[str, Any]:
    """The members of an event that are about buckets."""
    decision, observation = admission.decision, admission.observation
    members: dict[str, Any] = {"opaque": kinds_of(admission.examined.opaque)}
    if observation is not None:
        chunks = (*observation.said, *observation.fed)
        members["covered"] = any(chunk.cell >= 0 for chunk in chunks)
        members["looked"] = len(chunks)
        members["capabilities"] = matcher.names(observation.capabilities)
    # Without the store, a decision may be about other budgets than those of buckets.
    if decision is not None and admission.plan.counts_buckets and _counts_buckets(decision):
        if any(one.line.amount and one.line.quota.unit is Unit.BUCKETS for one in decision.lines):
            members["novelty"] = decision.novelty
        members["scores"] = decision.scores
        members["touched"] = decision.touched
        members["strain"] = Millionths(max(status.strain for status in decision.lines))
        members["shift"] = Millionths(decision.shift)
        members["stage"] = EventStage[decision.stage.name]
        members["delay"] = admission.delay
        members["shadow_price"] = decision.shadow_price
        members["shadow_stage"] = EventStage[decision.shadow_stage.name]
        members["reasons"] = decision.reasons
    return members


def _counts_buckets(decision: Decision) -> bool:
    return any(status.line.quota.unit is Unit.BUCKETS for status in decision.lines)


def _verdict(admission: Admission) -> EventVerdict:
    if admission.refusal is not None and admission.refusal in _BY_NO_BUDGET:
        return _BY_NO_BUDGET[admission.refusal]
    decision = admission.decision
    return EventVerdict[decision.verdict.name] if decision else EventVerdict.STORE_ERROR
