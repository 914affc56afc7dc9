"""What linking knows of one account: numbers, hashes and times."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.trace import MINUTE, Trace
from querybudget.ledger import Account
from querybudget.policy.linking import Linking


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One account that may belong to a group.

    Attributes:
        key: Key of its identity.
        seen: When its last call was admitted, minutes since the epoch.
        templates: Its first system prompts, by likeness.
        marks: What it declares.
        cells: `CallerProfile.cells`.
        active: `Trace.active`.
        last: `Trace.last`.
        began: When it began, or began anew, minutes since the epoch.
        slowed: When a budget first slowed it since, minutes since the epoch; 0 if none has.
        tail: In how many tails of honest callers its evidence lies; -1 before the first look.
        established: Whether its ways are taken for honest.
    """

    key: str
    seen: int
    templates: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()
    cells: bytes = b""
    active: bytes = b""
    last: int = 0
    began: int = 0
    slowed: int = 0
    tail: int = -1
    established: bool = False

    def bins(self) -> frozenset[int]:
        """Return the bins of `Trace` in which it called."""
        return Trace(active=self.active, last=self.last).bins()


def candidate_of(
    key: str, account: Account, settings: Linking, now: int, *, trusted: bool
) -> Candidate | None:
    """Return what an account says; None if it says nothing, or is no caller's own.

    Args:
        key: Its key.
        account: The account.
        settings: The policy's.
        now: µs since the epoch.
        trusted: Whether it may be established: it is verified, and in no group yet.
    """
    profile = account.profile
    if not isinstance(profile, CallerProfile) or profile.trace is None:
        return None
    trace, tail = profile.trace, _tail(profile.tails)
    old_enough = now - account.since >= settings.established.age
    clean = not (tail > 0 or trace.slowed or profile.stages)
    return Candidate(
        key,
        account.seen // MINUTE,
        tuple(number for number in profile.templates if number),
        trace.declared,
        bytes(profile.cells),
        trace.active,
        trace.last,
        trace.began,
        trace.slowed,
        tail,
        trusted and old_enough and clean and profile.calls >= settings.established.calls,
    )


def _tail(tails: Sequence[int]) -> int:
    """Return the tails at the last look that counted; -1 if none did."""
    return next((tail for tail in reversed(tails) if tail >= 0), -1)
