"""The limiter: from a caller and a call to a decision, and from an answer to a settlement."""

from __future__ import annotations

from querybudget.limiter.admission import Admission, AdmissionView, Outcome, Refusal
from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.limiter import Limiter
from querybudget.limiter.reloading import Change
from querybudget.limiter.scopes import request_scope
from querybudget.resilience.health import Health, StoreHealth

__all__ = [
    "Admission",
    "AdmissionView",
    "Change",
    "Health",
    "Limiter",
    "Outcome",
    "PromptAnalyzer",
    "Refusal",
    "StoreHealth",
    "request_scope",
]
