"""The limiter: from a caller and a call to a decision, and from an answer to a settlement.

limiter      Limiter: admit, admitted, settle
blocking     BlockingLimiter: the same for code without an event loop
admission    Admission: one call from decision to settlement, its amounts and its event
matching     which budgets apply to a call, and the ledger lines they make
conditions   the conditions of a budget, and which of them a call does not meet
cost         usage to amounts of each unit
estimation   what a call will probably use
analysis     PromptAnalyzer: analyzes what calls ask
arguments    checks of the figures that a program passes
scopes       ASGI scopes for calls that did not come over ASGI
"""

from __future__ import annotations

from querybudget.limiter.admission import Admission, AdmissionView, Outcome, Refusal
from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.limiter import Limiter
from querybudget.limiter.scopes import request_scope
from querybudget.resilience.health import Health, StoreHealth

__all__ = [
    "Admission",
    "AdmissionView",
    "Health",
    "Limiter",
    "Outcome",
    "PromptAnalyzer",
    "Refusal",
    "StoreHealth",
    "request_scope",
]
