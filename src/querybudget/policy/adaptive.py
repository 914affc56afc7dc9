"""How a deployment sets the threshold of the sweep score by its own callers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.fields import Duration, Share, between, doc, required
from querybudget.text import in_units
from querybudget.units import MICRO, SECOND

DAY = 24 * 3_600 * SECOND

MOST_DISTURBED = MICRO // 5
"""The largest share of callers that may be allowed to be disturbed."""


class Established(Struct, frozen=True):
    """Which callers set the threshold: those whose accounts are too old and busy to be made up."""

    age: Annotated[Duration, doc("How long ago their account was first seen.")] = 7 * DAY
    calls: Annotated[int, between(1), doc("Calls that they have made at least.")] = 50


class Adaptive(Struct, frozen=True):
    """How many of a deployment's established callers the sweep score may ever disturb."""

    disturb: Annotated[Share, required(), doc("The share of them, such as `0.5%`.")] = 0
    callers: Annotated[
        int, between(1), doc("Below this number of them the shipped threshold holds.")
    ] = 200
    established: Established = Established()
    floor: Annotated[Share, doc("The lowest score at which callers may become suspect.")] = 500_000
    ceiling: Annotated[
        Share, doc("The highest score up to which callers may go without becoming suspect.")
    ] = 900_000


def adaptive(
    written: Adaptive | None, problems: Problems, *, counts_buckets: bool
) -> Adaptive | None:
    """Return how the threshold is set, checked; None where the shipped one holds.

    Args:
        written: As it is written.
        problems: Takes what is wrong.
        counts_buckets: Whether any budget counts buckets, which alone have a sweep score.
    """
    path: Path = ("adaptive", "disturb")
    given = written is not None and "disturb" in problems.keys(("adaptive",))
    if written and given and not 0 < written.disturb <= MOST_DISTURBED and not problems.wrong(path):
        found = f"found {in_units(100 * written.disturb)}%"
        problems.add(path, f"expected a share above 0, up to 20%, {found}")
    if written and not written.floor <= SUSPECT_SCORE <= written.ceiling:
        key = "floor" if written.floor > SUSPECT_SCORE else "ceiling"
        side = "at most" if key == "floor" else "at least"
        shipped = in_units(SUSPECT_SCORE)
        problems.add(("adaptive", key), f"expected {side} {shipped}, the shipped threshold")
    if written and not counts_buckets:
        problems.add(("adaptive",), "expected a budget in buckets beside `adaptive`, found none")
    return written
