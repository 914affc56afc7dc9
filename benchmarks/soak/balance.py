"""Compare the accounts in the store with what the application counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.soak.clients import WINDOW
from querybudget import Limiter, Policy, request_scope
from querybudget.adapters.base import Call, Dialect
from querybudget.limiter import Outcome
from querybudget.units import MICRO

__all__ = ["balance"]


async def balance(
    policy: Mapping[str, Any], counts: Mapping[str, Mapping[str, Mapping[str, int]]]
) -> dict[str, Any]:
    """Return where the ledger and the counts differ.

    Args:
        policy: The policy under soak, whose store still holds the accounts.
        counts: ``answered``, of the application by key: complete answers and their tokens; and
            ``charged``, of the events by identity.
    """
    usage, store, leases = [], [], []
    total: Counter[str] = Counter()
    async with Limiter(Policy.load(dict(policy))) as limiter:
        for key, answered in sorted(counts["answered"].items()):
            scope = request_scope(
                "/v1/chat/completions", headers={"authorization": f"Bearer {key}"}
            )
            identity = limiter.caller_for(scope).identity.key
            charged = Counter(counts["charged"].get(identity, {}))
            total.update(charged)
            if (answered["answered"], answered["tokens"]) != (
                charged["complete"],
                charged["complete_tokens"],
            ):
                usage.append({"key": key, "answered": answered, "charged": charged})
            used = await _used(limiter, scope)
            expected = {"requests": charged["requests"], "tokens": charged["tokens"]}
            if {name: used[name] for name in expected} != expected:
                store.append({"key": key, "used": used, "expected": expected})
            if used["parallel"]:
                leases.append({"key": key, "held": used["parallel"]})
    return {
        "accounts": len(counts["answered"]),
        "total": dict(sorted(total.items())),
        "answers_charged_otherwise": usage,
        "accounts_that_differ": store,
        "leases_left": leases,
    }


async def _used(limiter: Limiter, scope: Mapping[str, Any]) -> dict[str, float]:
    """Return what the store says was used of each budget, in whole units."""
    call = Call(Dialect.OPENAI, "chat", model="model", input_bytes=4, max_output=1)
    admission = await limiter.admit(scope, call)
    await limiter.settle(admission, Outcome.FAILED)
    while limiter.busy:
        await limiter.sleep(WINDOW / 1e4)
    quotas = [line.quota for line in admission.lines]
    left = await limiter.store.peek(admission.lines[0].partition, quotas)
    return {
        quota.name: quota.limit / MICRO - remaining / MICRO
        for quota, (remaining, _) in zip(quotas, left, strict=True)
    }
