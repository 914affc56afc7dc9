"""What looks at the calls' prompts for the limiter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from querybudget.adapters.base import Call
from querybudget.coverage import Observation
from querybudget.policy.model import Policy

__all__ = ["PromptAnalyzer", "analyzer_for"]


class PromptAnalyzer(Protocol):
    """Looks at what calls ask. `querybudget.embedding.analyzer` has the one that embeds."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the capabilities it knows, by their bits in `Observation.capabilities`."""
        ...

    async def analyze(self, call: Call, /) -> Observation:
        """What a call shows of itself.

        It never raises: what cannot be had in time is left out, and a visit without cells counts
        no buckets.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and threads. Closing twice does nothing."""
        ...


def analyzer_for(policy: Policy, key: bytes) -> PromptAnalyzer | None:
    """The observer that a policy's budgets need; None where none does."""
    if not policy.counts_buckets:
        return None
    # Here and not above: it needs numpy, and few policies need it.
    from querybudget.embedding.analyzer import open_analyzer  # noqa: PLC0415

    return open_analyzer(policy, key)
