"""A service in front of a model, which budgets its callers."""
