"""Accounts in Redis or Valkey: every step is one script, and the ledger's in every number.

store.py       the store: what is asked of the scripts, and what follows from their answers
apart.py       the same where accounts lie on several servers
profiles.py    what calls looked like, folded into profiles by whoever settles them
links.py       connections, and many calls in one round trip
scripts.py     the scripts, put together from the rooms of lua/
wire.py        what goes to them and comes back
"""

from __future__ import annotations

from querybudget.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
