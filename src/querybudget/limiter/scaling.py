"""What is different for a tier: limits, prices, delays and stages."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from querybudget.coverage.response import BucketResponse
from querybudget.policy.model import Tier
from querybudget.units import MICRO, Quota


class Scales:
    """The factors of a policy's tiers.

    Args:
        tiers: The tiers.
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = {tier.name: tier for tier in tiers}

    def scaled(self, quota: Quota, tiers: Sequence[str]) -> Quota:
        """Return a quota with the factors of all tiers that apply, one after the other."""
        for tier in self._of(tiers):
            factor = tier.scale.get(quota.name, tier.scale.get(quota.unit))
            if factor is not None:
                quota = quota.scaled(factor)
        return quota

    def response(self, response: BucketResponse, tiers: Sequence[str]) -> BucketResponse:
        """Return a response with what all tiers that apply make of it, one after the other.

        A tier's stages replace those of a response that has any.
        """
        for tier in self._of(tiers):
            if (tier.price, tier.delay, tier.stages) == (MICRO, MICRO, None):
                continue
            stages = response.stages
            if stages and tier.stages is not None:
                stages = tier.stages
            response = replace(
                response,
                cap=MICRO + (response.cap - MICRO) * tier.price // MICRO,
                slope=response.slope * tier.price // MICRO,
                delay=response.delay * tier.delay // MICRO,
                stages=stages,
            )
        return response

    def _of(self, tiers: Sequence[str]) -> list[Tier]:
        return [self._tiers[name] for name in tiers if name in self._tiers]
