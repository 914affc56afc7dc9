"""Budgets for the callers of a model server: requests, tokens, money, concurrency, buckets.

    from querybudget import QueryBudgetMiddleware

    app.add_middleware(QueryBudgetMiddleware, policy="policy.yaml")

These names are what an application needs. Authors of a store or an embedder find the rest in
`querybudget.ledger`, `querybudget.stores` and `querybudget.embedding`, and tests their tools in
`querybudget.testing`.

A name is imported when it is first used. Importing all of them takes some 200 ms, which the pytest
plugin would otherwise cost every test run in an environment that has querybudget installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from querybudget.adapters.base import Call as Call
    from querybudget.adapters.base import Dialect as Dialect
    from querybudget.adapters.base import Usage as Usage
    from querybudget.asgi import QueryBudgetMiddleware as QueryBudgetMiddleware
    from querybudget.asgi import health_app as health_app
    from querybudget.embedding import Embedder as Embedder
    from querybudget.errors import PolicyError as PolicyError
    from querybudget.errors import PolicyProblem as PolicyProblem
    from querybudget.errors import QueryBudgetError as QueryBudgetError
    from querybudget.errors import RefusedError as RefusedError
    from querybudget.errors import SetupError as SetupError
    from querybudget.errors import StoreError as StoreError
    from querybudget.events import DecisionEvent as DecisionEvent
    from querybudget.events import Hook as Hook
    from querybudget.identity import Identity as Identity
    from querybudget.limiter import Admission as Admission
    from querybudget.limiter import Limiter as Limiter
    from querybudget.limiter import Outcome as Outcome
    from querybudget.limiter import PromptAnalyzer as PromptAnalyzer
    from querybudget.limiter import Refusal as Refusal
    from querybudget.limiter import request_scope as request_scope
    from querybudget.limiter.blocking import BlockingLimiter as BlockingLimiter
    from querybudget.policy import Policy as Policy
    from querybudget.policy import load_policy as load_policy
    from querybudget.stores import MemoryStore as MemoryStore
    from querybudget.stores import Store as Store
    from querybudget.stores import open_store as open_store

    __version__: str

_MODULES = {
    "adapters.base": "Call Dialect Usage",
    "asgi": "QueryBudgetMiddleware health_app",
    "embedding": "Embedder",
    "errors": "PolicyError PolicyProblem QueryBudgetError RefusedError SetupError StoreError",
    "events": "DecisionEvent Hook",
    "identity": "Identity",
    "limiter": "Admission Limiter Outcome PromptAnalyzer Refusal request_scope",
    "limiter.blocking": "BlockingLimiter",
    "policy": "Policy load_policy",
    "stores": "MemoryStore Store open_store",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604 # pyright: ignore[reportUnsupportedDunderAll] - all are strings


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _MODULE_OF:
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def _version() -> str:
    """Return the distribution's version; ``unknown`` for a copy of the source without metadata."""
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("querybudget"))
    except metadata.PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
