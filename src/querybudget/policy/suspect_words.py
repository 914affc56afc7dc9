"""Budgets that only those callers spend whom the population test of their pool touches."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from msgspec import Struct

from querybudget.coverage.response import Suspects
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.fields import Share, doc
from querybudget.text import in_units
from querybudget.units import MICRO

LEAST, MOST = MICRO // 1_000, MICRO // 2
"""The least and the largest share of honest callers among those touched."""


class SuspectsFile(Struct, frozen=True):
    """Shares of honest callers among those that the population test of a pool touches."""

    slow: Annotated[Share, doc("At which they count as suspect.")] = 100_000
    refuse: Annotated[Share, doc("At which they are refused, if other evidence agrees.")] = 10_000


def suspects(
    written: SuspectsFile | None,
    per: Collection[str],
    score: str | None,
    path: Path,
    problems: Problems,
) -> Suspects | None:
    """Return whom a budget is for, checked; None if for everybody.

    Args:
        written: The shares.
        per: What the budget is pooled over.
        score: Its `score`.
        path: Of the shares.
        problems: Where wrong ones are noted.
    """
    if written is None:
        return None
    if "identity" in per:
        message = "expected `per` to pool callers, as `tier` does, beside `suspects`, found"
        problems.add(path, f"{message} `identity`")
    if score == "false":
        problems.add(path, "expected no `suspects` beside `score: false`, found some")
    for key, share in (("slow", written.slow), ("refuse", written.refuse)):
        if not LEAST <= share <= MOST and not problems.wrong((*path, key)):
            problems.add((*path, key), f"expected a share of 0.1% to 50%, found {in_units(share)}")
    if written.refuse > written.slow and not problems.wrong(path):
        most = in_units(written.slow)
        message = f"expected at most {most}, as for `slow`, found {in_units(written.refuse)}"
        problems.add((*path, "refuse"), message)
    return Suspects(written.slow, written.refuse)
