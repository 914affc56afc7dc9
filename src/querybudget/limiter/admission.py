"""One call on its way: what it asks, what was decided, and what it used."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from querybudget.adapters.base import UNREADABLE, Call, Dialect, Usage
from querybudget.adapters.usage_sums import sum_of
from querybudget.backends import STORE_RETRY
from querybudget.coverage import Observation, Stage
from querybudget.errors import RefusedError
from querybudget.identity import Identity
from querybudget.ledger import Decision, Line
from querybudget.limiter.checks import check_usage
from querybudget.limiter.estimation import Estimate
from querybudget.limiter.examined import NOT_EXAMINED, Examined
from querybudget.limiter.plans import Matched, Plan
from querybudget.limiter.request_ids import new_request_id
from querybudget.policy.model import Refusals
from querybudget.refusals.answers import message_and_wait
from querybudget.refusals.sentences import blocked, not_named, not_priced, store_unavailable
from querybudget.resilience.fallback import Reserved
from querybudget.units import MICRO, NO_TIME, ORDINARY_PRICE, Micros, MicroUnits, Millionths, Unit

BARE = Call(Dialect.PROBLEM, "other", generates=False)
"""A call on a path that no adapter reads: one request."""

NOTHING = Usage()
UNMETERED = Estimate(NOTHING, NOTHING, MICRO)
"""For calls that use no tokens, or whose tokens nothing counts."""

NO_BUDGETS = Plan((), frozenset(), needs_usage=False, unpriced=False)


class Refusal(enum.StrEnum):
    """Why a call may not go ahead."""

    QUOTA = "quota"
    UNPRICED = "unpriced"
    """A money budget applies and the model has no price."""
    STORE = "store_error"
    """The store did not answer, and a budget denies calls then."""
    ABNORMAL = "abnormal"
    """Only budgets of buckets refuse: none of their figures may be shown."""
    TOO_MANY_DELAYED = "too_many_delayed"
    """It was to be delayed, and too many calls are being delayed already."""
    BLOCKED = "blocked"
    """An operator has blocked the caller."""


class Outcome(enum.StrEnum):
    """How an admitted call ended, for its settlement."""

    ANSWERED = "answered"
    """Its usage is charged."""
    REJECTED = "rejected"
    """The application rejected it (4xx): only the request itself counts."""
    FAILED = "failed"
    """Not authenticated, or the server failed: everything is given back."""


# Looking up an enum's member costs as much as a call does.
_ANSWERED, _FAILED = Outcome.ANSWERED, Outcome.FAILED


class Admission(msgspec.Struct):
    """One call, from decision to settlement.

    Attributes:
        identity: The sender; the scope is left out, which would hold the admission in turn.
        tier: The sender's tier.
        call: What was asked.
        method: HTTP method or ``WEBSOCKET``.
        path: Path asked for.
        at: When it was decided, µs.
        estimate: What it was expected to use.
        plan: The budgets that apply.
        reserved: How it was decided, and what is held; None if no budget was asked.
        decision: What was decided, by the store or without it; None if nothing was.
        refusal: Why it may not go ahead; None if it may.
        settled: Whether nothing is left to settle: it has been settled, or it was refused.
        stage: What is to be done to it before it goes ahead.
        delay: µs to delay it before it goes ahead.
        observation: What its prompts show; None if they were not analyzed.
        examined: What it contains.
        reported: Usage that the application has reported by `used`; None if it has not.
        quiet: Whether no event is published about it, because another admission follows.
        settling: Its settlement, if that runs in the background.
        verified: Whether the application has verified the caller, in this call or before: it
            answered with tokens, or said so.
        nameless: Whether it is refused because a budget's partition does not name the caller.
        renewed: When its reservation was renewed, µs; 0 if it never was.
        lapsed: Whether its reservation had expired before it was renewed.
        withheld: Whether a price could be read from the figures of its budgets.
        request_id: Made when `named` is first asked for it; empty until then.
        sent_id: The id that the request came with, if hooks want to know.
        trace: The trace context that it came with, likewise.
        answer_id: The id that the application answered with, likewise.
        partitions: Partitions of the policy to the caller's pools, likewise.
        policy: Hash of the policy that decided it, likewise.
    """

    identity: Identity
    tier: str
    call: Call
    method: str
    path: str
    at: Micros
    estimate: Estimate
    plan: Plan
    reserved: Reserved | None = None
    decision: Decision | None = None
    refusal: Refusal | None = None
    settled: bool = False
    stage: Stage = Stage.NONE
    delay: Micros = NO_TIME
    observation: Observation | None = None
    examined: Examined = NOT_EXAMINED
    reported: Usage | None = None
    settling: asyncio.Task[object] | None = None
    quiet: bool = False
    verified: bool = False
    nameless: bool = False
    renewed: Micros = NO_TIME
    lapsed: bool = False
    withheld: bool = False
    request_id: str = ""
    sent_id: str = ""
    trace: str = ""
    answer_id: str = ""
    partitions: Mapping[str, str] = {}
    policy: str = ""

    @property
    def named(self) -> str:
        """The id of the request: the same in its refusal, its answer and its event."""
        if not self.request_id:
            self.request_id = new_request_id()
        return self.request_id

    @property
    def lines(self) -> tuple[Line, ...]:
        """One ledger line for each budget of the plan, in its order.

        Empty until the store was asked.
        """
        return () if self.reserved is None else self.reserved.charge.lines

    @property
    def disclosed(self) -> frozenset[str]:
        """Names of the budgets whose figures the caller may see."""
        private = self.plan.private
        if not self.withheld:
            return private
        leases = (one.quota.name for one in self.plan.budgets if one.quota.unit is Unit.CONCURRENT)
        return private.intersection(leases)  # a lease is one lease at any price

    def take(self, reserved: Reserved) -> None:
        """Note how the charge was decided."""
        self.reserved = reserved
        decision = self.decision = reserved.decision
        if decision is None:
            if reserved.denied:
                self.refusal = Refusal.STORE
            return
        if reserved.reservation is None:
            self.refusal = refusal_of(decision)
        elif self.plan.counts_buckets:
            self.stage, self.delay = decision.stage, decision.delay

    def without_request(self) -> Admission:
        """Return a copy without the prompt that the caller sent."""
        return replace(self, call=replace(self.call, template="", segments=(), opaque=()))

    def used(self, usage: Usage) -> None:
        """Report usage of the call: it is charged when the call is settled.

        Several reports add up, and add to what is read from an HTTP answer. Without any, and
        without an answer to read, a call is charged at its estimate.

        Raises:
            TypeError: It is no `Usage`, or a figure is no whole number. Nothing is added.
            ValueError: A figure is negative, or larger than what it is a part of. Nothing is added.
        """
        check_usage(usage)
        if self.reported is not None:
            usage = sum_of(self.reported, usage)
            check_usage(usage)
        self.reported = usage
        self.verified = True


async def nothing_left() -> None:
    """Return at once: the call is settled already, or is being settled in the background."""


class AdmissionView:
    """What an application may see of its call, and the usage that it may add.

    Args:
        admission: The call's.
    """

    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    @property
    def dialect(self) -> Dialect:
        """The conventions by which the caller reads errors."""
        return self._admission.call.dialect

    @property
    def request_id(self) -> str:
        """The id that the caller is told, and by which operators find the call."""
        return self._admission.named

    @property
    def price(self) -> Millionths:
        """The factor charged, in millionths: `MICRO` is the ordinary price."""
        decision = self._admission.decision
        return ORDINARY_PRICE if decision is None else decision.price

    @property
    def stage(self) -> Stage:
        """What budgets of buckets have done to the call."""
        return self._admission.stage

    @property
    def remaining(self) -> dict[str, MicroUnits]:
        """µ-units left when the call was admitted, by the names of the caller's own budgets.

        Budgets that are shared with others, shadow budgets and budgets of buckets are left out:
        their figures are not the caller's to know. So are all from which a price could be read.
        """
        admission = self._admission
        statuses = () if admission.decision is None else admission.decision.lines
        private = admission.disclosed
        return {
            status.line.quota.name: MicroUnits(status.remaining)
            for status in statuses
            if status.line.quota.name in private and not status.line.shadow
        }

    def used(self, usage: Usage) -> None:
        """Add usage that cannot be read from the answer, of tools for example.

        Raises:
            TypeError: As `Admission.used`.
            ValueError: As `Admission.used`.
        """
        self._admission.used(usage)

    def verified(self) -> None:
        """Say that the caller is real: its key was checked, for example.

        Call it where the application authenticates callers, if it answers some of them without
        using tokens. Otherwise their accounts are those of newcomers, which a flood of made-up keys
        may push out. A call that uses tokens says it by itself.
        """
        self._admission.verified = True


def refusal_of(decision: Decision) -> Refusal:
    """Return why a decision refuses: abnormal use only if nothing else does."""
    refusing = [status.line for status in decision.lines if status.verdict]
    plain = any(line.quota.unit is not Unit.BUCKETS for line in refusing if not line.shadow)
    return Refusal.QUOTA if plain else Refusal.ABNORMAL


def refused_error(admission: Admission, settings: Refusals) -> RefusedError:
    """Return the error for a refused call, in the words and with the wait of the HTTP answer."""
    decision = admission.decision
    if admission.refusal is Refusal.UNPRICED:
        return RefusedError(not_priced(admission.call.model), admission, NO_TIME)
    if admission.refusal is Refusal.BLOCKED:
        return RefusedError(blocked(), admission, NO_TIME)
    if decision is None:
        return RefusedError(store_unavailable(), admission, STORE_RETRY)
    if admission.nameless:
        return RefusedError(not_named(), admission, NO_TIME)
    message, wait = message_and_wait(decision, settings, admission.at, admission.disclosed)
    return RefusedError(message, admission, wait)


def amounts_of(admission: Admission, outcome: Outcome, usage: Usage) -> list[int]:
    """Return the µ-units that an admitted call used of each of its budgets, before price.

    Args:
        admission: The call's.
        outcome: How it ended.
        usage: Tokens it used.
    """
    plan, call = admission.plan, admission.call
    budgets = plan.budgets
    if outcome is _ANSWERED:
        if call.operation == UNREADABLE:
            call = _as_answered(call, usage)
        if plan.fixed and call.items == call.choices == 1:
            return [MICRO] * len(budgets)  # as the lines of such a call
        if not plan.counts_buckets:
            return [matched.cost_function(call, usage) for matched in budgets]
    elif outcome is _FAILED:
        return [0] * len(budgets)
    if plan.counts_buckets:
        return _with_buckets(admission, call, outcome, usage)
    return [
        matched.cost_function(call, usage) if _charged_if_rejected(admission, matched) else 0
        for matched in budgets
    ]


def _charged_if_rejected(admission: Admission, matched: Matched) -> bool:
    """Whether a budget is charged for a request that the application rejects.

    Tokens and money are not. An account that callers share is not for a stranger, who could empty
    it for all others with requests that no key is checked for.
    """
    return not matched.needs_usage and (admission.verified or not matched.shared)


def _as_answered(call: Call, usage: Usage) -> Call:
    """Return an unreadable call that a server could read, with as many answers as it may have got.

    No answer has less than a token, nor has a prompt of a call that generates nothing.
    """
    most = usage.output or (0 if usage.estimated else usage.input)
    return replace(call, items=max(call.items, most))


def _with_buckets(admission: Admission, call: Call, outcome: Outcome, usage: Usage) -> list[int]:
    """Only an answered call has visited its buckets."""
    answered = outcome is _ANSWERED
    amounts: list[int] = []
    for matched, line in zip(admission.plan.budgets, admission.lines, strict=True):
        if matched.counts_buckets:
            amounts.append(line.amount if answered else 0)
        else:
            charged = answered or _charged_if_rejected(admission, matched)
            amounts.append(matched.cost_function(call, usage) if charged else 0)
    return amounts
