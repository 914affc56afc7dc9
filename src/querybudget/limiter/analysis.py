"""The protocol of prompt analyzers, and the analyzer that a policy needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from querybudget.adapters.base import Call
from querybudget.coverage import Observation
from querybudget.policy.model import Policy


class PromptAnalyzer(Protocol):
    """Analyzes what models read. `querybudget.embedding.analyzer` has the one that embeds."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the capabilities it knows, by their bits in `Observation.capabilities`."""
        ...

    async def analyze(self, call: Call, caller: str, /) -> Observation:
        """Return what is looked at of a call.

        This never raises. Chunks that cannot be embedded in time have no cell and count no buckets.
        A call with nothing to look at has an observation without chunks, and still counts as one.

        Args:
            call: What is asked.
            caller: `Identity.key` of who asks: what it has sent before is looked at last.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and end threads. Closing twice does nothing."""
        ...


def analyzer_for(policy: Policy, key: bytes) -> PromptAnalyzer | None:
    """Return the analyzer that a policy's budgets need; None if none does."""
    if not policy.counts_buckets:
        return None
    # Imported here: it needs numpy, and few policies need it.
    from querybudget.embedding.analyzer import open_analyzer  # noqa: PLC0415

    return open_analyzer(policy, key)
