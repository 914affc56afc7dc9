"""The proxy: budgets in front of a model server that is no ASGI application."""

from querybudget.proxy.serving import Proxy, app
from querybudget.proxy.upstream import Upstream

__all__ = ["Proxy", "Upstream", "app"]
