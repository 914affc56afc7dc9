"""Budgets for the callers of a model server: requests, tokens, money, concurrency, coverage."""
