"""What a budget of buckets must hold, worked out slowly from a log of every visit ever made.

A visit counts until the last moment of its slot is one window old; a bucket weighs what the
heaviest visit of it that counts does. Nothing else is kept, so the order of things cannot matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from querybudget.coverage import Stage
from querybudget.units import MICRO, Quota

__all__ = ["BucketLog"]


@dataclass
class BucketLog:
    """Every visit of one partition.

    Attributes:
        quota: The quota.
        observations: Reservation, bucket, weight, and when it was asked.
        stage: The stage begun last.
    """

    quota: Quota
    observations: list[tuple[str, int, int, int]] = field(
        default_factory=list[tuple[str, int, int, int]]
    )
    stage: Stage = Stage.NONE

    def end(self, at: int) -> int:
        """When a visit made at `at` counts no more."""
        slot = self.quota.slot
        return at // slot * slot + slot - 1 + self.quota.window

    def used(self, now: int, cells: Iterable[int] = (), weight: int = 0) -> int:
        """µ-buckets used, `cells` counted as visited."""
        weights = dict.fromkeys(cells, weight)
        for _, cell, heavy, at in self.observations:
            if self.end(at) > now:
                weights[cell] = max(heavy, weights.get(cell, 0))
        return sum(weights.values())

    def left(self, now: int) -> int:
        """µ-buckets that could be visited anew."""
        return self.quota.limit - self.used(now)

    def share(self, now: int) -> int:
        """How much of the quota is used, in millionths."""
        return self.used(now) * MICRO // self.quota.limit

    def novelty(self, cells: Iterable[int], weight: int, now: int) -> int:
        """µ-buckets that visiting `cells` would add."""
        return self.used(now, cells, weight) - self.used(now)

    def ends(self, now: int) -> list[int]:
        """Moments from `now` on when something stops counting."""
        return sorted({end for *_, at in self.observations if (end := self.end(at)) > now})

    def observation(self, name: str, cells: Iterable[int], weight: int, now: int) -> None:
        """Note what a reservation visits."""
        self.observations += [(name, cell, weight, now) for cell in cells]

    def give_back(self, name: str) -> None:
        """Strike out what a reservation visited."""
        self.observations = [
            observation for observation in self.observations if observation[0] != name
        ]

    def charge(self, _name: str, _amount: int, _now: int, _expires: int) -> None:
        """Nothing, though other logs note it: what is held here is said by visits."""

    def correct(self, _name: str, _difference: int, _now: int) -> None:
        """Nothing, as `charge`."""
