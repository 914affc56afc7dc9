"""The proxy: budgets in front of a model server that is no ASGI application."""
