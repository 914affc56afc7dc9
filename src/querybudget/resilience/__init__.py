"""A store that fails: a time-out and a circuit breaker, decisions without it, and catching up.

store      ResilientStore: all of the below behind one reserve and one settle
guard      asks the store in time, or fails at once while it is down
fallback   decides by each budget's ``on_store_error`` what the store could not decide
outbox     what is sent to the store when it answers again
health     how the store is
"""

from __future__ import annotations
