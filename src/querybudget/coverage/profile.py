"""What a partition's calls have looked like, in sums, and how much of a sweep they look."""

from __future__ import annotations

import msgspec

from querybudget.coverage.visit import Visit

__all__ = ["Profile", "Reason", "Step"]


class Step(msgspec.Struct, frozen=True, gc=False):
    """What one visit added to its identity's profile, for the pools that the identity is in."""

    sums: tuple[int, ...] = ()
    first: bool = False


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One signal and what it adds to the score, in millionths of it."""

    signal: str
    share: int


class Profile(msgspec.Struct, array_like=True):
    """Streaming sums of one partition, and the sweep score they come to.

    Attributes:
        since: When the first visit was seen, µs.
        queries: Visits seen.
        score: The sweep score in millionths, 0 for the ordinary caller. It is on the scale of a
            spent share: 700_000 is as suspect as having spent 70 % of a bucket budget.
    """

    since: int = 0
    queries: int = 0
    score: int = 0

    def see(self, visit: Visit, now: int) -> Step:
        """Take in a visit of this identity, and judge anew where it is time to."""
        self.since = self.since or now
        self.queries += 1
        del visit
        return Step()

    def add(self, step: Step, now: int) -> None:
        """Take in what a visit added to the profile of one identity of this pool."""
        self.since = self.since or now
        self.queries += 1
        del step

    def reasons(self) -> tuple[Reason, ...]:
        """What the score is made of, largest first."""
        return ()
