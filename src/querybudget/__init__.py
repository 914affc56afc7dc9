"""Budgets for the callers of a model server: requests, tokens, money, concurrency, buckets.

    from querybudget import QueryBudgetMiddleware

    app.add_middleware(QueryBudgetMiddleware, policy="policy.yaml")

Every name below is loaded when it is first asked for, so that `import querybudget` costs next to
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querybudget.adapters.base import Call, Dialect, Usage
    from querybudget.asgi import QueryBudgetMiddleware, health_app
    from querybudget.coverage import BucketResponse, Observation, Stage
    from querybudget.embedding import Embedder
    from querybudget.errors import (
        BodyError,
        EmbeddingError,
        PolicyError,
        PolicyProblem,
        QueryBudgetError,
        SetupError,
        StoreError,
    )
    from querybudget.events import DecisionEvent
    from querybudget.identity import Identity
    from querybudget.ledger import Charge, Decision, Reservation, Settled, Verdict
    from querybudget.limiter import (
        Admission,
        Limiter,
        Outcome,
        PromptAnalyzer,
        Refusal,
        StoreHealth,
    )
    from querybudget.policy.model import Policy
    from querybudget.stores import Clock, MemoryStore, Store

    __version__: str

__all__ = [
    "Admission",
    "BodyError",
    "BucketResponse",
    "Call",
    "Charge",
    "Clock",
    "Decision",
    "DecisionEvent",
    "Dialect",
    "Embedder",
    "EmbeddingError",
    "Identity",
    "Limiter",
    "MemoryStore",
    "Observation",
    "Outcome",
    "Policy",
    "PolicyError",
    "PolicyProblem",
    "PromptAnalyzer",
    "QueryBudgetError",
    "QueryBudgetMiddleware",
    "Refusal",
    "Reservation",
    "Settled",
    "SetupError",
    "Stage",
    "Store",
    "StoreError",
    "StoreHealth",
    "Usage",
    "Verdict",
    "__version__",
    "health_app",
]

_HOMES = {
    "adapters.base": ("Call", "Dialect", "Usage"),
    "asgi": ("QueryBudgetMiddleware", "health_app"),
    "coverage": ("BucketResponse", "Stage", "Observation"),
    "embedding": ("Embedder",),
    "limiter": ("Limiter", "PromptAnalyzer", "Outcome", "Refusal", "StoreHealth", "Admission"),
    "errors": (
        "BodyError",
        "EmbeddingError",
        "PolicyProblem",
        "PolicyError",
        "QueryBudgetError",
        "SetupError",
        "StoreError",
    ),
    "events": ("DecisionEvent",),
    "identity": ("Identity",),
    "ledger": ("Charge", "Decision", "Reservation", "Settled", "Verdict"),
    "policy.model": ("Policy",),
    "stores": ("Clock", "MemoryStore", "Store"),
}
_HOME = {name: f"querybudget.{module}" for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = import_module("importlib.metadata").version("querybudget")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
