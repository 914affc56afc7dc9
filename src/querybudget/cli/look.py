"""Look at accounts: `accounts`, `peek`, `top`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING

from querybudget.cli.commands import add_command
from querybudget.cli.operator import (
    add_caller,
    add_target,
    asking,
    key_of,
    print_json,
    table,
)
from querybudget.cli.progress import accounts_read
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.admin.protocol import AccountView, Admin, BudgetUse
    from querybudget.cli.commands import Commands

ALL = 100
"""Accounts that are asked for at once."""

MANY = 10_000
"""Accounts from which on `top` says how many it has read."""

REST = 4
"""How much longer than reading all accounts `top` then rests: reading takes time from calls."""

HEADER = ("account", "kind", "tier", "score", "calls", "seen", "most used", "stage")


def add_accounts(commands: Commands) -> None:
    """Add ``accounts``."""
    parser = add_command(
        commands,
        "accounts",
        "list accounts: who there is, and what each has left",
        asking(_accounts),
        "querybudget accounts --policy policy.yaml",
        "querybudget accounts --policy policy.yaml --limit 1000 --json",
    )
    parser.add_argument("--limit", type=int, default=ALL, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--internal", action="store_true", help="with those that nobody's calls use, such as leases"
    )
    add_target(parser)


def add_peek(commands: Commands) -> None:
    """Add ``peek``."""
    parser = add_command(
        commands,
        "peek",
        "show one account: what is left of each budget, its score and why, pools, overrides",
        asking(_peek),
        "querybudget peek 3f2a9c01 --policy policy.yaml",
        "querybudget peek --user ada --policy policy.yaml",
    )
    add_caller(parser)
    add_target(parser)


def add_top(commands: Commands) -> None:
    """Add ``top``."""
    parser = add_command(
        commands,
        "top",
        "show the first accounts by score, use or time, as they change",
        asking(_top),
        "querybudget top --policy policy.yaml --once",
        "querybudget top --by tokens --policy policy.yaml --once --json",
    )
    parser.add_argument(
        "--by",
        default="score",
        metavar="WHAT",
        help="score, spent, calls, seen, or a budget's name for the share of it that is used;"
        " default: %(default)s",
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument("--every", type=float, default=2.0, metavar="N", help="seconds; default: 2")
    parser.add_argument("--once", action="store_true", help="print once, as without a terminal")
    add_target(parser)


async def _accounts(admin: Admin, arguments: argparse.Namespace) -> int:
    found: list[AccountView] = []
    cursor = ""
    while len(found) < arguments.limit:
        at_once = min(ALL, arguments.limit - len(found))
        page = await admin.accounts(cursor, at_once, internal=arguments.internal)
        found += page.accounts
        cursor = page.cursor
        if not cursor:
            break
    if arguments.json:
        print_json(found)
        return 0
    print(rows_of(found))
    if cursor:
        print(f"There are more: --limit {2 * arguments.limit} shows them.", file=sys.stderr)
    return 0


async def _peek(admin: Admin, arguments: argparse.Namespace) -> int:
    view = await admin.account(key_of(arguments))
    if arguments.json:
        print_json(view)
    else:
        print("\n".join(_details(view)))
    return 0


async def _top(admin: Admin, arguments: argparse.Namespace) -> int:
    if arguments.once or arguments.json or not sys.stdout.isatty():
        found = await admin.top(arguments.by, arguments.limit, report=accounts_read())
        if arguments.json:
            print_json(found)
        else:
            print(rows_of(found, arguments.by))
        return 0
    try:
        from rich.live import Live  # noqa: PLC0415 - an extra
        from rich.text import Text  # noqa: PLC0415
    except ImportError:
        raise SetupError(
            "`top` needs another package to go on: pip install 'querybudget[cli]', or --once"
        ) from None
    with Live(refresh_per_second=4, screen=sys.stdout.isatty()) as live:
        shown = ""

        def reading(accounts: int) -> None:
            read = f"  {accounts:,} accounts read" if accounts >= MANY else ""
            live.update(Text(f"by {arguments.by}{read}\n\n{shown}", no_wrap=True))

        while True:
            begun = monotonic()
            found = await admin.top(arguments.by, arguments.limit, report=reading)
            shown = rows_of(found, arguments.by)
            reading(0)
            # Reading all accounts takes time from calls.
            await asyncio.sleep(max(arguments.every, REST * (monotonic() - begun)))


def rows_of(accounts: Sequence[AccountView], by: str = "score") -> str:
    """Return accounts as a table, with a column of what they are sorted by if it has none yet."""
    if not accounts:
        return "no accounts"
    now = _now()
    rows = [_row(view, now) for view in accounts]
    if by in HEADER:
        return table(HEADER, rows)
    header = (HEADER[0], by, *HEADER[1:])
    more = [_used(view, by) for view in accounts]
    return table(header, [(row[0], used, *row[1:]) for row, used in zip(rows, more, strict=True)])


def _used(view: AccountView, by: str) -> str:
    """Return what an account has used of a budget, or how much money it has spent."""
    from querybudget.console.phrases import figure  # noqa: PLC0415

    named = {one.budget: one for one in view.budgets}
    used = [one for one in view.budgets if one.unit == "usd"] if by == "spent" else []
    one = named.get(by) or max(used, key=lambda each: each.used, default=None)
    return figure(one.used, one.unit) if one else "-"


def _now() -> int:
    from querybudget.stores import system_clock  # noqa: PLC0415

    return system_clock()()


def _row(view: AccountView, now: int) -> tuple[str, ...]:
    from querybudget.console.phrases import ago, percent, short  # noqa: PLC0415

    used = max(view.budgets, key=lambda one: one.used / max(1, one.limit), default=None)
    most = f"{used.budget} {percent(used.used * 1_000_000 // max(1, used.limit))}" if used else ""
    changed = " *" if view.overrides else ""
    score = f"{view.score / 1e6:.2f}" if view.calls else "-"
    name = short(view.account) + changed
    calls = str(view.calls) if view.calls else "-"
    return (name, view.kind, view.tier, score, calls, ago(view.seen, now), most, _stage(view))


def _stage(view: AccountView) -> str:
    from querybudget.console.phrases import STAGES  # noqa: PLC0415

    return STAGES.get(view.stage, view.stage) + " (shadow)" * view.stage_in_shadow


def _details(view: AccountView) -> list[str]:
    from querybudget.console.phrases import (  # noqa: PLC0415
        ago,
        override_words,
        pool_words,
        reason_words,
        score_words,
        touched_words,
    )
    from querybudget.text import moment, wait  # noqa: PLC0415

    now = _now()
    lines = [
        f"{view.account}",
        f"  {view.kind}, tier {view.tier}{'' if view.known else ', on probation'}",
        f"  since {moment(view.since)}, last seen {ago(view.seen, now)}, {view.open} calls open",
    ]
    lines += [
        f"  {one.budget}: {_use(one)}{_notes(one)}"
        + (f", unused again in {wait(_whole(one.reset))}" if one.reset else "")
        for one in view.budgets
    ]
    if stage := _stage(view):
        lines.append(f"  {stage}, by its last calls")
    if view.calls:
        words = score_words(view.score)
        lines.append(f"  score {view.score / 1e6:.2f} after {view.calls} calls: {words}")
        lines += [f"    {one.share / 1e6:+.2f} {reason_words(one)}" for one in view.reasons]
        lines.append(f"    It has entered {_entered(view)}.")
    lines += [f"  {words}" for words in touched_words(view.touched)]
    if view.group:
        lines.append(f"  linked into {view.group}: `querybudget groups {view.group}` says why")
    if view.unlinked:
        lines.append("  never linked, by an operator: `querybudget unlink KEY --undo` ends that")
    lines += [f"  {words}" for pool in view.pools for words in pool_words(pool)]
    for override in view.overrides:
        end = f" until {moment(override.until)}" if override.until else ""
        by = f", by {override.by}" if override.by else ""
        why = f": {override.reason}" if override.reason else ""
        lines.append(f"  override {override.id}: {override_words(override)}{end}{by}{why}")
    return lines


def _entered(view: AccountView) -> str:
    from querybudget.coverage.observation import BUCKETS  # noqa: PLC0415
    from querybudget.units import MICRO  # noqa: PLC0415

    return f"{round(view.covered * BUCKETS / MICRO):,} of {BUCKETS:,} buckets"


def _whole(time: int) -> int:
    """Return a time rounded up to whole seconds, µs."""
    return -(-time // 1_000_000) * 1_000_000


def _use(one: BudgetUse) -> str:
    """What is left; of money, what was spent, which may be too little to see in what is left."""
    from querybudget.console.phrases import figure, unit_words  # noqa: PLC0415

    whole = figure(one.limit, one.unit)
    if one.unit == "usd":
        return f"{figure(one.used, one.unit)} of {whole} spent"
    return f"{figure(one.remaining, one.unit)} of {whole} {unit_words(one.unit)} left"


def _notes(one: BudgetUse) -> str:
    from querybudget.console.phrases import figure  # noqa: PLC0415

    apart = f", {figure(one.apart, one.unit)} used apart while allowed" if one.apart else ""
    if one.allowed:
        return apart + " (allowed)"
    return apart + " (shadow)" * one.shadow + " (overridden)" * one.overridden
