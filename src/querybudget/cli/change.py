"""Change what accounts may use: `grant`, `override`, `allow`, `block`, `remove`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from querybudget.cli.commands import add_command, argument
from querybudget.cli.operator import (
    add_caller,
    add_note,
    add_target,
    asking,
    author,
    key_of,
    print_json,
    table,
)
from querybudget.errors import SetupError, StoreError
from querybudget.text import listed

if TYPE_CHECKING:
    from querybudget.admin.protocol import Admin
    from querybudget.cli.commands import Commands
    from querybudget.cli.operator import Task
    from querybudget.overrides import Override
    from querybudget.units import Unit


def add_grant(commands: Commands) -> None:
    """Add ``grant``."""
    parser = add_command(
        commands,
        "grant",
        "let a caller use more for a while",
        asking(_change("grant")),
        "querybudget grant --user ada --factor 2 --until 2h --policy policy.yaml",
        "querybudget grant 3f2a9c01 --amount '100k tokens' --until '1 day' --policy policy.yaml",
    )
    _add_size(parser)
    parser.add_argument("--until", required=True, type=_time, metavar="TIME", help="from now: 2h")
    _add_rest(parser)


def add_override(commands: Commands) -> None:
    """Add ``override``."""
    parser = add_command(
        commands,
        "override",
        "give a caller another limit, until it is removed",
        asking(_change("override")),
        "querybudget override --user ada --budget tokens --limit '5M tokens' --policy policy.yaml",
    )
    parser.add_argument(
        "--limit", type=_amount, metavar="AMOUNT", help="the limit in its place: '5M tokens'"
    )
    _add_size(parser)
    _add_until(parser)
    _add_rest(parser)


def add_allow(commands: Commands) -> None:
    """Add ``allow``."""
    parser = add_command(
        commands,
        "allow",
        "let a caller through whatever it has used, and count apart what it uses meanwhile",
        asking(_change("allow")),
        "querybudget allow --user ada --reason 'load test' --until 4h --policy policy.yaml",
    )
    _add_budget(parser)
    _add_until(parser)
    _add_rest(parser)


def add_block(commands: Commands) -> None:
    """Add ``block``."""
    parser = add_command(
        commands,
        "block",
        "refuse every call of a caller",
        asking(_change("block")),
        "querybudget block --user ada --reason 'leaked key' --policy policy.yaml",
    )
    _add_until(parser)
    _add_rest(parser)


def add_remove(commands: Commands) -> None:
    """Add ``remove``."""
    parser = add_command(
        commands,
        "remove",
        "remove an override, by the id that `overrides` shows",
        asking(_remove),
        "querybudget remove OVERRIDE --policy policy.yaml",
    )
    parser.add_argument("id", metavar="ID", help="its id, or the beginning of it")
    add_note(parser)
    add_target(parser)


def add_overrides(commands: Commands) -> None:
    """Add ``overrides``."""
    parser = add_command(
        commands,
        "overrides",
        "list what has been changed, for whom, by whom and until when",
        asking(_overrides),
        "querybudget overrides --policy policy.yaml",
    )
    add_target(parser)


def add_audit(commands: Commands) -> None:
    """Add ``audit``."""
    parser = add_command(
        commands,
        "audit",
        "list what operators did, newest first",
        asking(_audit),
        "querybudget audit --limit 20 --policy policy.yaml",
    )
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="default: %(default)s")
    add_target(parser)


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--factor", type=_factor, metavar="N", help="times the limit: 2, or 0.5")
    parser.add_argument(
        "--amount", type=_amount, metavar="AMOUNT", help="more than the limit: '100k tokens'"
    )
    _add_budget(parser)


def _add_budget(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget",
        metavar="NAME",
        help="one budget, or a unit for all that count it; default: the amount's unit, or all",
    )


def _add_until(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--until", type=_time, metavar="TIME", help="from now: 2h; default: no end")


def _add_rest(parser: argparse.ArgumentParser) -> None:
    add_caller(parser)
    add_note(parser)
    add_target(parser)


def _change(action: str) -> Task:
    """Return the work of a command that adds an override."""

    async def change(admin: Admin, arguments: argparse.Namespace) -> int:
        entry = _entry(action, arguments)
        await _check_units(entry, admin, arguments)
        made = await admin.change(entry, action)
        await _note_missing(entry, admin)
        if arguments.json:
            print_json(made)
        else:
            print(_said(made))
        return 0

    return change


async def _note_missing(entry: Override, admin: Admin) -> None:
    """Say that there is no such account: its caller may not have called yet, or be misspelt."""
    from querybudget.admin.protocol import AccountNameError  # noqa: PLC0415

    try:
        await admin.account(entry.account)
    except AccountNameError as error:
        if not error.several:
            print(f"querybudget: nothing is kept of {entry.account[:40]} yet", file=sys.stderr)
    except StoreError:
        return  # the change is made, and that is what was asked


def _entry(action: str, arguments: argparse.Namespace) -> Override:
    from querybudget.overrides import ANY_BUDGET, Effect, Override  # noqa: PLC0415
    from querybudget.stores import system_clock  # noqa: PLC0415
    from querybudget.units import MICRO, NO_TIME, Micros, Millionths  # noqa: PLC0415

    effects = {"allow": Effect.ALLOW, "block": Effect.BLOCK}
    given = vars(arguments)
    limit: tuple[int, Unit | None] = given.get("limit") or (0, None)
    amount: tuple[int, Unit | None] = given.get("amount") or (0, None)
    factor = given.get("factor")
    if action in {"grant", "override"} and not (limit[0] or amount[0] or factor is not None):
        options = "--factor or --amount" if action == "grant" else "--limit, --factor or --amount"
        raise SetupError(f"expected how much: {options}")
    unit = limit[1] or amount[1]
    budget = given.get("budget") or (unit.value if unit else ANY_BUDGET)
    if (limit[0] or amount[0]) and budget == ANY_BUDGET:
        raise SetupError("expected of what: a unit, as in --amount '100k tokens', or --budget NAME")
    until = arguments.until
    return Override(
        id="",
        account=key_of(arguments),
        budget=budget,
        effect=effects.get(action, Effect.LIMIT),
        limit=limit[0],
        factor=Millionths(MICRO if factor is None else factor),
        amount=amount[0],
        until=Micros(system_clock()() + until) if until else NO_TIME,
        by=author(arguments),
        reason=arguments.reason,
    )


async def _check_units(entry: Override, admin: Admin, arguments: argparse.Namespace) -> None:
    """Check that the budget that is named counts what the amounts are written in.

    Raises:
        SetupError: It counts something else.
    """
    given = [pair for word in ("limit", "amount") if (pair := vars(arguments).get(word))]
    written = [unit for _, unit in given if unit is not None]
    if not written:
        return
    counted = await _counted(entry, admin, arguments)
    for unit in written:
        if counted is not None and unit != counted:
            raise SetupError(f"expected {counted}, which {entry.budget!r} counts, found {unit}")


async def _counted(entry: Override, admin: Admin, arguments: argparse.Namespace) -> str | None:
    """Return what the budget of an override counts; None if that cannot be found."""
    from querybudget.policy import load_policy  # noqa: PLC0415
    from querybudget.units import Unit  # noqa: PLC0415

    if entry.budget in {*Unit}:
        return entry.budget
    if arguments.policy:
        budgets = load_policy(arguments.policy).budgets
        units = {budget.name: budget.quota.unit.value for budget in budgets}
    else:
        try:
            view = await admin.account(entry.account)
        except LookupError:
            return None  # nothing is kept of this caller yet
        units = {one.budget: one.unit for one in view.budgets}
    return units.get(entry.budget)


def _said(made: Override) -> str:
    from querybudget.console.phrases import override_words, short  # noqa: PLC0415
    from querybudget.text import moment  # noqa: PLC0415

    end = f"until {moment(made.until)}" if made.until else "until it is removed"
    return f"{short(made.account)}: {override_words(made)}, {end} (override {made.id})"


async def _remove(admin: Admin, arguments: argparse.Namespace) -> int:
    known = (await admin.overrides()).entries
    named = [entry.id for entry in known if entry.id.startswith(arguments.id)]
    if not named:
        raise SetupError(f"there is no override {arguments.id!r}: `overrides` shows all")
    if len(named) > 1:
        raise SetupError(f"expected one override, found {len(named)}: {listed(named)}")
    removed = await admin.remove(named[0], author(arguments), arguments.reason)
    if arguments.json:
        print_json({"removed": removed})
    else:
        print(f"removed {named[0]}" if removed else "it was removed already")
    return 0 if removed else 1


async def _overrides(admin: Admin, arguments: argparse.Namespace) -> int:
    from querybudget.console.phrases import override_words, whose  # noqa: PLC0415
    from querybudget.text import moment  # noqa: PLC0415

    known = await admin.overrides()
    if arguments.json:
        print_json(known)
        return 0
    rows = [
        (
            one.id,
            whose(one),
            override_words(one),
            moment(one.until) if one.until else "",
            one.by,
            one.reason,
        )
        for one in known.entries
    ]
    print(table(("id", "account", "what", "until", "by", "why"), rows) if rows else "no overrides")
    return 0


async def _audit(admin: Admin, arguments: argparse.Namespace) -> int:
    from querybudget.console.phrases import short  # noqa: PLC0415
    from querybudget.text import moment  # noqa: PLC0415

    entries = await admin.audit(arguments.limit)
    if arguments.json:
        print_json(entries)
        return 0
    rows = [(moment(e.at), e.by, e.action, short(e.account), e.detail) for e in entries]
    print(table(("when", "by", "did", "account", "what"), rows) if rows else "nothing was done")
    return 0


@argument
def _time(text: str) -> int:
    from querybudget import notation  # noqa: PLC0415

    return notation.duration(text)


@argument
def _factor(text: str) -> int:
    from querybudget import notation  # noqa: PLC0415

    return notation.factor(text)


@argument
def _amount(text: str) -> tuple[int, Unit | None]:
    from querybudget import notation  # noqa: PLC0415

    return notation.amount_of(text, expected="an amount such as `100k tokens` or `$5`")
