"""How costs grow: with identities, workers, budgets and rules."""
