"""Limits by tier."""

from __future__ import annotations

from collections.abc import Sequence

from querybudget.policy.model import Tier
from querybudget.units import Quota


class Scales:
    """The factors of a policy's tiers.

    Args:
        tiers: The tiers.
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._scales = {tier.name: tier.scale for tier in tiers}

    def scaled(self, quota: Quota, tiers: Sequence[str]) -> Quota:
        """Return a quota with the factors of all tiers that apply, one after the other."""
        for tier in tiers:
            scale = self._scales.get(tier, {})
            factor = scale.get(quota.name, scale.get(quota.unit))
            if factor is not None:
                quota = quota.scaled(factor)
        return quota
