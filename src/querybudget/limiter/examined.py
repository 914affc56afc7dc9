"""What a call holds: the facts by which budgets apply to it, and its buckets are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from querybudget.adapters.base import Call
from querybudget.coverage import Observation
from querybudget.limiter.analysis import PromptAnalyzer
from querybudget.limiter.plans import Caller
from querybudget.policy.match import OPAQUE_TEXT, opaque_bits

if TYPE_CHECKING:
    from querybudget.limiter.matching import Matcher, Route


class Examined(msgspec.Struct, frozen=True):
    """What a call holds.

    Attributes:
        observation: What its analysis shows; None if it was not analyzed.
        opaque: Kinds of what cannot be read in it, as bits in the order of `OPAQUE`.
        pools: `Partitions.templates` of it.
    """

    observation: Observation | None = None
    opaque: int = 0
    pools: tuple[str, ...] = ()

    @property
    def capabilities(self) -> int:
        """Bits of its capabilities; 0 if it was not analyzed."""
        return self.observation.capabilities if self.observation is not None else 0


_TEXT = opaque_bits((OPAQUE_TEXT,))

NOT_EXAMINED = Examined()
"""Of a call that no budget looks into."""


async def examine(
    matcher: Matcher, analyzer: PromptAnalyzer | None, caller: Caller, route: Route, call: Call
) -> Examined:
    """Return what a call holds, as far as the budgets of its route ask."""
    kinds = opaque_bits(one.kind for one in call.opaque)
    examined = Examined(None, kinds, matcher.templates(caller, call))
    if analyzer is None or not matcher.plan(caller, route, call, examined).needs_analysis:
        return examined
    observation = await analyzer.analyze(call, caller.identity.key)
    if len(observation.opaque) > len({*call.opaque}):
        kinds |= _TEXT  # the analyzer has found more than the adapter did
    return Examined(observation, kinds, examined.pools)
