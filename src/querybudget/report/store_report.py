"""The report of a store: what accounts have used, how suspect they are, and where they have been.

A store remembers no calls, so nothing is shown over time, and no order of what was entered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from querybudget import text
from querybudget.admin.protocol import AccountView, Admin
from querybudget.coverage.observation import BUCKETS, CELLS_PER_BUCKET
from querybudget.report import pictures
from querybudget.report.log_report import reasons_in_words
from querybudget.report.page import Column, Page, Section, Tile
from querybudget.report.pictures import short
from querybudget.units import MICRO, Unit

if TYPE_CHECKING:
    from querybudget.embedding.codebook import Codebook

PAGE_SIZE = 500
MOST_ACCOUNTS = 20_000
"""Accounts that are read."""

MOST_ROWS = 20
MOST_BUDGETS = 6
SUSPECT = 650_000
LEAST = 5_000
"""The least score that is listed: 0.01 as it is written."""

CALLER = "caller"

SWEEPERS = (
    Column("Account", code=True),
    Column("Kind"),
    Column("Tier"),
    Column("Calls", number=True),
    Column("Covered", number=True),
    Column("Score", number=True),
    Column("Stage"),
    Column("Reasons"),
    Column("Seen"),
)
SPENDERS = (
    Column("Account", code=True),
    Column("Kind"),
    Column("Tier"),
    Column("Budget"),
    Column("Used", number=True),
    Column("Of", number=True),
    Column("Share", number=True),
)


class StoredAccount(msgspec.Struct, frozen=True):
    """One account as pictures need it.

    Attributes:
        ground: Pairs of cells that it has entered.
        score: Its sweep score, in millionths.
    """

    ground: int
    score: int


async def store_page(place: str, admin: Admin, codebook: Codebook | None) -> Page:
    """Return the report of a store.

    Args:
        place: The store's URL, without its password.
        admin: Reads it.
        codebook: The cells of the deployment; None if the policy counts no buckets, or has no
            secret, without which the cells are not those of the servers.

    Raises:
        StoreError: The store does not answer.
    """
    accounts, more = await _read(admin)
    callers = [one for one in accounts if one.kind == CALLER]
    suspects = sorted(accounts, key=lambda one: (-one.score, one.account))
    detailed = [await admin.account(one.account) for one in suspects[:2] if one.covered]
    page = Page(f"Accounts of {place}", f"{len(accounts):,} accounts were read.", _tiles(callers))
    if more:
        page.notes.append(f"The store has more accounts: the first {len(accounts):,} are shown.")
    page.notes.append("A store remembers no calls. A report of a traffic log shows use over time.")
    page.sections = [
        _use(accounts),
        _map(detailed, codebook),
        _scores(callers),
        _sweepers([one for one in suspects if one.score >= LEAST]),
        _spenders(accounts),
    ]
    return page


async def _read(admin: Admin) -> tuple[list[AccountView], bool]:
    accounts: list[AccountView] = []
    cursor = ""
    while len(accounts) < MOST_ACCOUNTS:
        found = await admin.accounts(cursor, PAGE_SIZE)
        accounts += found.accounts
        cursor = found.cursor
        if not cursor:
            break
    return accounts, bool(cursor)


def _tiles(callers: Sequence[AccountView]) -> list[Tile]:
    suspect = sum(1 for one in callers if one.score >= SUSPECT)
    spent = sum(1 for one in callers if any(use.remaining <= 0 for use in one.budgets))
    return [
        Tile(f"{len(callers):,}", "callers"),
        Tile(f"{sum(one.calls for one in callers):,}", "calls that were examined"),
        Tile(f"{sum(one.open for one in callers):,}", "calls open"),
        Tile(f"{suspect:,}", "suspect callers"),
        Tile(f"{spent:,}", "callers with a spent budget"),
        Tile(f"{sum(1 for one in callers if one.overrides):,}", "callers with overrides"),
    ]


def _use(accounts: Sequence[AccountView]) -> Section:
    shares: dict[str, list[float]] = {}
    for account in accounts:
        for one in account.budgets:
            if one.limit and one.used:
                shares.setdefault(one.budget, []).append(one.share / MICRO)
    names = sorted(shares, key=lambda name: -len(shares[name]))[:MOST_BUDGETS]
    section = Section(
        "use",
        "Use by budget",
        "How many accounts have used how much of each budget. Those at the right are near its end.",
        alt="Histograms of the share of a budget that accounts have used.",
        heights=(max(2.4, 1.45 * len(names)), max(2.4, 1.35 * len(names))),
    )
    if names:
        section.draw = pictures.shares({name: shares[name] for name in names})
    else:
        section.missing = "No account has used anything."
    return section


def _map(accounts: Sequence[AccountView], codebook: Codebook | None) -> Section:
    section = Section(
        "map",
        "Coverage map",
        "Each place is a cell of the codebook; near places stand for like prompts. Profiles keep"
        " cells in pairs, which the secret of the deployment makes: of each two places marked for a"
        " pair, the account has entered at least one. Their order and what was asked there are not"
        " kept.",
        alt="Maps of the cells that accounts may have entered.",
        heights=(5.2, 4.5 * max(1, len(accounts))),
    )
    shown = [one for one in accounts if one.cells]
    if codebook is None:
        section.missing = (
            "The policy counts no buckets, or has no secret: which cells are whose follows from it."
        )
    elif not shown:
        section.missing = "No account has entered any cell."
    else:
        from querybudget.report.layout import layout  # noqa: PLC0415 - takes a second or two

        titled = [
            (f"{short(one.account)}: score {one.score / MICRO:.2f}", cells_of(one.cells))
            for one in shown
        ]
        section.draw = pictures.covered_map(titled, layout(codebook))
    return section


def cells_of(bitmap: bytes) -> list[int]:
    """Return the cells of the buckets that a profile's bitmap has."""
    buckets = [bit for bit in range(BUCKETS) if bitmap[bit >> 3] >> (bit & 7) & 1]
    return [CELLS_PER_BUCKET * one + cell for one in buckets for cell in range(CELLS_PER_BUCKET)]


def _scores(callers: Sequence[AccountView]) -> Section:
    section = Section(
        "score",
        "Score against the band of the honest",
        "How suspect callers are, over the ground that they have covered, beside what honest"
        " callers of the benchmark reached after as much. At 0.65 a caller is suspect, which at"
        " most 0.75 % of honest callers ever are.",
        alt="Points of callers' scores over covered ground, before the band of honest callers.",
        heights=(4.2, 4.6),
    )
    points = [
        StoredAccount(one.covered * BUCKETS // MICRO, one.score) for one in callers if one.covered
    ]
    if points:
        section.draw = pictures.stored_scores(points)
    else:
        section.missing = "No caller has a profile."
    return section


def _populations(account: AccountView) -> list[str]:
    return [
        f"population of {name}: {one.observed:,}, and {one.expected:,} if all were honest"
        for name, one in account.touched.items()
    ]


def _sweepers(suspects: Sequence[AccountView]) -> Section:
    rows = [
        (
            short(one.account),
            one.kind,
            one.tier,
            f"{one.calls:,}",
            f"{one.covered * 100 / MICRO:.1f} %",
            f"{one.score / MICRO:.2f}",
            one.stage,
            [*reasons_in_words(one.reasons), *_populations(one)],
            text.moment(one.seen) if one.seen else "not known",
        )
        for one in suspects[:MOST_ROWS]
    ]
    return Section(
        "sweepers",
        "Top sweepers",
        "Accounts by their sweep score, and what it consists of.",
        columns=SWEEPERS,
        rows=rows,
        missing="" if rows else "No account is suspect.",
    )


def _spenders(accounts: Sequence[AccountView]) -> Section:
    fullest = [
        (one, max(used, key=lambda use: use.share))
        for one in accounts
        if (used := [use for use in one.budgets if use.used])
    ]
    fullest.sort(key=lambda pair: -pair[1].share)
    rows = [
        (
            short(one.account),
            one.kind,
            one.tier,
            use.budget,
            text.amount(use.used, Unit(use.unit)),
            text.amount(use.limit, Unit(use.unit)),
            f"{100 * use.share / MICRO:.0f} %",
        )
        for one, use in fullest[:MOST_ROWS]
    ]
    return Section(
        "spenders",
        "Nearest to a limit",
        "Accounts by the budget of which they have used the largest share.",
        columns=SPENDERS,
        rows=rows,
        missing="" if rows else "No account has used anything.",
    )
