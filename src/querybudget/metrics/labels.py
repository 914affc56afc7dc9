"""The values that labels may take: words of the policy and of this package, and no others.

Callers choose the model that they ask for. A series for each would let anyone fill the memory of
whatever collects them, so a model is named only where the policy names it, by the policy's own
pattern. No label tells who called.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from querybudget.events import DecidedBy, EventStage, EventVerdict, Settlement
from querybudget.limiter.conditions import is_model
from querybudget.metrics.series import OF_DECISIONS, Kind, Metric
from querybudget.policy.match import OPAQUE
from querybudget.policy.model import Mode, Policy

OTHER = "other"
"""What the policy does not name."""

NONE = "none"
"""A call that names no model."""

TOKEN_KINDS = ("input", "cached_input", "cache_write", "output", "reasoning")
DIRECTIONS = ("input", "output")

REMEMBERED = 1_024
"""Models whose label is remembered."""

_ALL = frozenset({"*"})
_OF_HISTOGRAM = 3
"""Its series beside those of its buckets: ``+Inf``, sum and count."""


class Labels:
    """The labels of one policy.

    Args:
        policy: What the operator decided.

    Attributes:
        values: Name of a label to the values that it can take.
    """

    def __init__(self, policy: Policy) -> None:
        patterns = (*policy.models, *(m for b in policy.budgets for m in b.match.model))
        self._patterns = tuple(dict.fromkeys(p for p in patterns if p not in _ALL))
        self._models: dict[str, str] = {"": NONE}
        tiers = tuple(tier.name for tier in policy.tiers)
        self.values: Mapping[str, frozenset[str]] = {
            "model": frozenset({*self._patterns, OTHER, NONE, ""}),
            "tier": frozenset({*tiers, "default", OTHER, ""}),
            "budget": frozenset({*(budget.name for budget in policy.budgets), OTHER}),
            "unit": frozenset({""}),  # it follows from the budget
            "capability": frozenset({*(each.name for each in policy.capabilities), OTHER}),
            "verdict": frozenset(EventVerdict),
            "stage": frozenset(EventStage),
            "mode": frozenset(Mode),
            "settlement": frozenset(Settlement),
            "store": frozenset(DecidedBy),
            "kind": frozenset(TOKEN_KINDS),
            "opaque": frozenset({*OPAQUE, OTHER}),
            "direction": frozenset(DIRECTIONS),
        }

    def of(self, label: str, value: str) -> str:
        """Return a value if the label can take it, and `OTHER` if it cannot."""
        return value if value in self.values[label] else OTHER

    def model(self, name: str) -> str:
        """Return the first pattern of the policy that a model's name matches."""
        label = self._models.get(name)
        if label is None:
            matching = (pattern for pattern in self._patterns if is_model(pattern, name))
            label = next(matching, OTHER)
            if len(self._models) < REMEMBERED:
                self._models[name] = label
        return label


def most_series(policy: Policy, metrics: Iterable[Metric] = OF_DECISIONS) -> int:
    """Return a number of series that no calls of any callers exceed under a policy."""
    values = Labels(policy).values
    return sum(
        math.prod(len(values[label]) for label in metric.labels) * _series_each(metric)
        for metric in metrics
    )


def _series_each(metric: Metric) -> int:
    if metric.kind is Kind.HISTOGRAM:
        return len(metric.buckets) + _OF_HISTOGRAM
    return 1
