"""Find the callers of a test whom its policy does not identify."""

from __future__ import annotations

from querybudget.asgi.types import Scope
from querybudget.identity import chain
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy, ResolverSpec
from querybudget.policy.scenario import ScenarioCaller
from querybudget.testing.scenario_checks import ScenarioFailure


def unread(
    limiter: Limiter, line: int, name: str, said: ScenarioCaller, scopes: tuple[Scope, Scope]
) -> list[ScenarioFailure]:
    """Return a failure for a caller whom nothing in the policy tells from an unknown one.

    All such callers would share one account, so the test would not show what it seems to.

    Args:
        limiter: The test's.
        line: Of the calls.
        name: The caller's name in the test.
        said: What the test says of it.
        scopes: A request of the caller, and the same of a caller of whom nothing is said.
    """
    specs = _specs(limiter.policy)
    if said.address and any(spec.kind == "client_address" for spec in specs):
        return []
    links = chain(specs)
    ours, nobodys = (
        (limiter.caller_for(scope).tiers, [resolve(scope) for _, resolve in links])
        for scope in scopes
    )
    if ours != nobodys:
        return []
    says = [word for word in said.__struct_fields__ if getattr(said, word)]
    sources = [source for source, _ in chain(limiter.policy.identity)]
    return [
        ScenarioFailure(
            line,
            f"a caller {name!r} whom the policy identifies",
            f"{' and '.join(f'`{word}`' for word in says)}, which it does not read: `identity` is"
            f" {', '.join(sources) or 'empty'} (leave out `caller` for a caller without a name)",
        )
    ]


def _specs(policy: Policy) -> list[ResolverSpec]:
    return [*policy.identity, *(each.resolver for each in policy.partitions.values())]
