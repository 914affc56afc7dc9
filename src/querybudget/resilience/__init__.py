"""A store that fails: time-outs, a circuit breaker, fallback, and what is told afterwards.

store.py     where calls are charged: at the store, or without it
guard.py     time-out and breaker
fallback.py  `on_store_error`: allow, deny, local share
outbox.py    what the store is told when it answers again
health.py    how the store is
"""
