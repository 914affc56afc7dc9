"""How accounts are linked that belong together although they say nothing of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from msgspec import Struct

from querybudget.coverage.trace import MARKS
from querybudget.policy.adaptive import Established
from querybudget.policy.diagnostics import Problems
from querybudget.policy.fields import Duration, Words, between, doc
from querybudget.policy.mode import Mode
from querybudget.text import in_units, listed, nearest
from querybudget.units import SECOND

GROUP = "group"
"""The word of `Budget.per` for the group that a caller is linked into."""

SHORTEST = 30 * SECOND
DAY = 24 * 3_600 * SECOND


class Linking(Struct, frozen=True):
    """How accounts are linked into groups, whose members share the budgets `per: group`."""

    mode: Annotated[
        Mode, doc("`shadow`: groups are found and shown, and refuse and slow nobody.")
    ] = Mode.SHADOW
    attributes: Annotated[
        Words, doc("Partitions, at most 8: accounts alike in one may belong together.")
    ] = ()
    every: Annotated[Duration, doc("Time between two looks at all accounts.")] = 300 * SECOND
    decay: Annotated[
        Duration, doc("A link ends after this unless its evidence is found again.")
    ] = 14 * DAY
    largest: Annotated[int, between(2, 10_000), doc("Accounts in one group at most.")] = 1_000
    established: Annotated[
        Established, doc("Whose ways are honest: what many of them share links nobody.")
    ] = Established()
    background: Annotated[
        bool, doc("Whether a worker links; if not, only `querybudget link` does.")
    ] = True


def linking(
    written: Linking | None,
    partitions: Collection[str],
    pooled: Collection[tuple[str, ...]],
    problems: Problems,
    *,
    counts_buckets: bool,
) -> Linking | None:
    """Return how accounts are linked, checked; None where none are.

    Args:
        written: As it is written.
        partitions: Names of the policy's partitions.
        pooled: `Budget.per` of each budget.
        problems: Takes what is wrong.
        counts_buckets: Whether any budget counts buckets.
    """
    if written is None:
        for index, per in enumerate(pooled):
            if GROUP in per:
                path = problems.item(("budgets", index, "per"), GROUP)
                problems.add(path, "expected `linking` beside `per: group`, found none")
        return None
    path = ("linking",)
    for word in written.attributes:
        if word not in partitions:
            known = (
                f"a partition of {listed(partitions)}" if partitions else "`partitions` beside it"
            )
            near = nearest(word, partitions)
            message = f"expected {known}, found `{word}`{near}"
            problems.add(problems.item((*path, "attributes"), word), message)
    if len(written.attributes) > MARKS:
        found = len(written.attributes)
        problems.add((*path, "attributes"), f"expected at most {MARKS} partitions, found {found}")
    for key, least in (("every", SHORTEST), ("decay", DAY)):
        value: int = getattr(written, key)
        if value < least and not problems.wrong((*path, key)):
            message = f"expected at least {in_units(least)} s, found {in_units(value)} s"
            problems.add((*path, key), message)
    if not counts_buckets:
        problems.add(path, "expected a budget in buckets beside `linking`, found none")
    return written
