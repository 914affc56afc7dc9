"""A look over many accounts at once, and over the last calls: what the overview shows."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from querybudget.admin.protocol import AccountView, Admin, BudgetUse
from querybudget.traffic.record import TrafficRecord
from querybudget.units import SECOND

PAGE = 250
MOST_ACCOUNTS = 10_000
"""Accounts that are looked at. A survey says if there are more."""

FRESH = 10 * SECOND
"""µs for which a survey is shown again."""

NEARLY = 800_000
"""Share of a budget, in millionths, from which an account counts as nearly out of it."""

TOP_FRESH = 3 * SECOND
"""µs for which a list of the first accounts is shown again, at least."""

REST = 4
"""How much longer than making one it is shown again: reading all accounts takes time from calls."""

SIZES = (100, 1_000)
"""Accounts in such a list; shorter ones are cut from it."""

TOP = 6

CALLER = "caller"
"""`AccountView.kind` of an account that callers do not share."""


class Fullness(msgspec.Struct):
    """How full the accounts of one budget are.

    Attributes:
        accounts: Accounts that have used it.
        nearly: Those that have used more than `NEARLY` of it.
        fullest: The one that has used the largest share of it; empty without one.
        share: That share, in millionths.
    """

    accounts: int = 0
    nearly: int = 0
    fullest: str = ""
    share: int = 0


class Survey(msgspec.Struct, frozen=True):
    """What was found.

    Attributes:
        at: When it was made, µs since the epoch.
        accounts: Number of accounts looked at.
        more: Whether there are more.
        callers: Those of them that callers do not share.
        budgets: Name of a budget to how full its accounts are.
        by_score: The most suspect accounts, most suspect first.
        by_use: The callers with the largest share of an enforced budget, largest first.
    """

    at: int
    accounts: int = 0
    more: bool = False
    callers: int = 0
    budgets: dict[str, Fullness] = {}
    by_score: tuple[AccountView, ...] = ()
    by_use: tuple[AccountView, ...] = ()


def fullest(account: AccountView) -> BudgetUse | None:
    """Return the enforced budget of which an account has used the largest share."""
    enforced = [use for use in account.budgets if not use.shadow]
    return max(enforced, key=lambda use: use.share, default=None)


class Surveyor:
    """Makes surveys, at most one at a time, and remembers the last for `FRESH`. Lists likewise.

    Args:
        admin: What is surveyed.
        clock: µs since the epoch.
    """

    def __init__(self, admin: Admin, clock: Callable[[], int]) -> None:
        self._admin = admin
        self._clock = clock
        self._last: Survey | None = None
        self._lock, self._reading = asyncio.Lock(), asyncio.Lock()
        self._tops: dict[tuple[str, int], tuple[int, int, Sequence[AccountView]]] = {}

    async def survey(self) -> Survey:
        """Return a survey that is at most `FRESH` old."""
        async with self._lock:
            now = self._clock()
            if self._last is None or not 0 <= now - self._last.at < FRESH:
                self._last = await _surveyed(self._admin, now)
            return self._last

    async def top(self, by: str, limit: int) -> Sequence[AccountView]:
        """As `Admin.top`, a short while old; all accounts are read by one request at a time.

        Raises:
            SetupError: There is no such order.
            StoreError: The store does not answer.
        """
        size = next((size for size in SIZES if limit <= size), SIZES[-1])
        async with self._reading:
            begun = self._clock()
            since, until, found = self._tops.get((by, size), (0, 0, ()))
            if not since <= begun < until:
                found = await self._admin.top(by, size)
                ended = self._clock()
                until = ended + max(TOP_FRESH, REST * (ended - begun))
                self._tops[by, size] = begun, until, found
        return found[:limit]

    def stale(self) -> None:
        """Make the next survey a new one: something has changed."""
        self._last = None
        self._tops.clear()


async def _surveyed(admin: Admin, now: int) -> Survey:
    seen = callers = 0
    budgets = defaultdict[str, Fullness](Fullness)
    by_score, by_use = list[AccountView](), list[AccountView]()
    cursor = ""
    while True:
        page = await admin.accounts(cursor, PAGE)
        seen, cursor = seen + len(page.accounts), page.cursor
        for account in page.accounts:
            callers += account.kind == CALLER
            _count(account, budgets)
        suspect = (account for account in page.accounts if account.score)
        by_score = _first((*by_score, *suspect), lambda account: account.score)
        using = (each for each in page.accounts if each.kind == CALLER and each.budgets)
        by_use = _first((*by_use, *using), _used)
        if not cursor or seen >= MOST_ACCOUNTS:
            break
        await asyncio.sleep(0)  # this may be the process that serves callers
    counts = (seen, bool(cursor), callers)
    return Survey(now, *counts, dict(budgets), tuple(by_score), tuple(by_use))


def _count(account: AccountView, budgets: defaultdict[str, Fullness]) -> None:
    for use in account.budgets:
        found, share = budgets[use.budget], use.share
        found.accounts += 1
        found.nearly += share >= NEARLY
        if share > found.share or not found.fullest:
            found.fullest, found.share = account.account, share


def _used(account: AccountView) -> int:
    use = fullest(account)
    return use.share if use else 0


def _first(accounts: Iterable[AccountView], key: Callable[[AccountView], int]) -> list[AccountView]:
    return sorted(accounts, key=key, reverse=True)[:TOP]


# -- The last calls ------------------------------------------------------------------------------


class CallCounts(msgspec.Struct, frozen=True):
    """What the remembered calls add up to.

    Attributes:
        calls: Their number.
        since: When the first of them was decided, µs since the epoch; 0 without any.
        refused: Those that were refused.
        slowed: Those that were admitted and slowed or degraded.
        callers: Callers among them.
        disturbed: Callers of whom a call was refused, slowed or degraded.
        would_be: Callers whom enforcing the shadow budgets would disturb as well.
        violated: Name of a budget to the calls that it refused.
        shadowed: Name of a shadow budget to the calls that it would have refused.
    """

    calls: int
    since: int
    refused: int
    slowed: int
    callers: int
    disturbed: int
    would_be: int
    violated: Counter[str]
    shadowed: Counter[str]


def counted(records: Sequence[TrafficRecord]) -> CallCounts:
    """Count calls."""
    violated, shadowed = Counter[str](), Counter[str]()
    callers, disturbed, would_be = set[str](), set[str](), set[str]()
    refused = slowed = 0
    for record in records:
        callers.add(record.identity)
        violated.update(record.violated)
        shadowed.update(record.shadowed)
        if is_refused(record):
            refused += 1
            disturbed.add(record.identity)
        elif record.stage != "none":
            slowed += 1
            disturbed.add(record.identity)
        if record.shadowed or record.shadow_stage != "none":
            would_be.add(record.identity)
    since = min((record.at for record in records), default=0)
    people = len(callers), len(disturbed), len(would_be - disturbed)
    return CallCounts(len(records), since, refused, slowed, *people, violated, shadowed)


def is_refused(record: TrafficRecord) -> bool:
    """Return True for a call that was refused."""
    if record.verdict == "store_error":
        return not record.settlement
    return record.verdict not in {"admit", ""}
