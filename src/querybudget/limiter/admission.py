"""One call on its way: what it asks, what was decided, and what it came to."""

from __future__ import annotations

import enum

import msgspec

from querybudget.adapters.base import Call
from querybudget.coverage import Observation, Stage
from querybudget.ledger import Charge, Decision, Line
from querybudget.limiter.estimation import Estimate
from querybudget.limiter.matching import Caller, Plan

__all__ = ["Admission", "Outcome", "Refusal", "Without"]


class Refusal(enum.StrEnum):
    """Why a call may not go ahead."""

    QUOTA = "quota"
    UNPRICED = "unpriced"
    """A money budget applies and the model has no price."""
    STORE = "store_error"
    """The store could not answer, and a budget says to deny then."""
    ABNORMAL = "abnormal"
    """Budgets in buckets refuse, and no other does: no figure of it may be told."""
    TOO_MANY_DELAYED = "crowded"
    """It was to be slowed, and too many calls are being slowed already."""


class Outcome(enum.Enum):
    """What an admitted call came to, for its settlement."""

    ANSWERED = "answered"
    """Its usage is charged."""
    REJECTED = "rejected"
    """The application would not do it (4xx): only the request itself counts."""
    FAILED = "failed"
    """Not authenticated, or the server failed: everything is given back."""


class Without(msgspec.Struct, frozen=True):
    """How a call was decided that the store could not decide.

    Attributes:
        charge: What the store had been asked for: a line for each budget of the plan.
        places: Which of its lines were decided by this worker alone; the decision is of these.
    """

    charge: Charge
    places: tuple[int, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The lines decided by this worker alone, of whole quotas."""
        return tuple(self.charge.lines[at] for at in self.places)


class Admission(msgspec.Struct):
    """One call, from decision to settlement.

    Attributes:
        caller: Who.
        call: What was asked.
        method: HTTP method or ``WEBSOCKET``.
        path: Path asked for.
        at: When it was decided, µs.
        estimate: What it was expected to use.
        plan: The budgets that apply.
        decision: The store's answer, or what was decided without it; None where there was none.
        refusal: Why it may not go ahead; None where it may.
        settled: Whether it has been settled.
        stage: What is to be done to it before it goes ahead.
        delay: µs to hold it back before it goes ahead.
        observation: What it shows of itself; None where nothing looks.
        without: How it was decided without the store; None where the store decided it.
    """

    caller: Caller
    call: Call
    method: str
    path: str
    at: int
    estimate: Estimate
    plan: Plan
    decision: Decision | None = None
    refusal: Refusal | None = None
    settled: bool = False
    stage: Stage = Stage.NONE
    delay: int = 0
    observation: Observation | None = None
    without: Without | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        """What was asked of each budget of the plan, in their order; empty before it was."""
        if self.without is not None:
            return self.without.charge.lines
        return tuple(status.line for status in self.decision.lines) if self.decision else ()
