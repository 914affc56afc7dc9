"""The edge: a pure ASGI middleware, with one object for each request."""

from querybudget.asgi.health import health_app
from querybudget.asgi.middleware import QueryBudgetMiddleware

__all__ = ["QueryBudgetMiddleware", "health_app"]
