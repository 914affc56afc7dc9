"""Calls that pack much: they are decided by what their caller will have done with them.

Any other call is decided by what its caller did before, and counts for the next one. A call that
brings as much as many calls would so be free, whatever it holds, if it is the first, or the first
after a quiet time. So it is judged with what it brings, on a copy of its caller's profile. The
profile itself observes a call when it is admitted, and a refusal leaves it as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec.msgpack import decode, encode

from querybudget import coverage as profiles  # it loads their classes when they are first used
from querybudget.ledger.types import Account, Charge, Line
from querybudget.units import Unit

if TYPE_CHECKING:
    from querybudget.coverage import CallerProfile

PACKED: Final = 8
"""Buckets newly entered from which on a call packs much."""


def profile_with(
    accounts: Mapping[str, Account], charge: Charge, novelty: int, now: int
) -> CallerProfile | None:
    """Return the profile of a caller as it will be if its call is admitted.

    Args:
        accounts: Those of `querybudget.ledger.coverage.evaluate`; not changed.
        charge: The call's.
        novelty: Buckets that the call newly enters.
        now: µs.

    Returns:
        None if the call is decided by what its caller did before: it packs little, no line asks for
        the caller's own score, or the call is replayed.
    """
    seen, own = charge.observation, charge.profiled[:1]
    if novelty < PACKED or seen is None or seen.known is not None:
        return None
    if not any(line.partition in own and _is_scored(line) for line in charge.lines):
        return None
    before = accounts[own[0]].profile
    if type(before) is profiles.CallerProfile:
        profile = decode(encode(before), type=profiles.CallerProfile)
    else:
        profile = profiles.CallerProfile()
    profile.observe(seen, now, verified=False)
    return profile


def _is_scored(line: Line) -> bool:
    return line.quota.unit is Unit.BUCKETS and line.response is not None and line.response.scored
