"""`establish`: makes a caller known to the store, as earlier months would have."""

from __future__ import annotations

from typing import Any

from querybudget import notation
from querybudget.limiter import Limiter
from querybudget.policy.history import History
from querybudget.testing.asgi import http_scope


def establish(
    limiter: Limiter,
    *,
    age: str = "",
    calls: int = 0,
    spent: str = "",
    clean: str = "",
    caller: str = "",
    **scope: Any,  # noqa: ANN401 - a scope holds whatever servers put there
) -> None:
    """Make a caller known to the store, for tiers that ask for a history.

    It awaits nothing, so it serves synchronous and asynchronous tests alike. The account itself
    stays as it is: what budgets have left is not changed.

    Args:
        limiter: From `memory_limiter`.
        age: For how long: ``30 days``.
        calls: How many of its calls were answered in the last year.
        spent: What these cost: ``$50``.
        clean: For how long it has been clean, if it was ever slowed or refused: ``3 days``.
        caller: The caller's API key.
        scope: Further arguments of `http_scope`: headers, a user.

    Raises:
        ValueError: A time or an amount is none.
    """
    history = History.at(
        limiter.clock(),
        age=notation.duration(age) if age else 0,
        calls=calls,
        spent=notation.dollars(spent) if spent else 0,
        clean=notation.elapsed(clean) if clean else None,
    )
    assume(limiter, http_scope(key=caller, **scope), history)


def assume(limiter: Limiter, scope: Any, history: History) -> None:  # noqa: ANN401 - likewise
    """Give the sender of a request this history."""
    histories = limiter.rules.remembered
    if histories is not None:
        histories.assume(limiter.caller_for(scope).identity.key, history)
