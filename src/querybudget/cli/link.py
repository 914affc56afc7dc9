"""Linked accounts: `link`, `groups`, `unlink`."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from querybudget.cli.commands import add_command, quiet
from querybudget.cli.operator import (
    add_note,
    add_target,
    asking,
    author,
    confirmed,
    print_json,
    shared_policy,
    table,
)
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.admin.protocol import Admin
    from querybudget.cli.commands import Commands
    from querybudget.linking.linker import Linker, Look

SHOWN = 40
"""Links that a dry run shows; with ``--json`` it shows all."""


def add_link(commands: Commands) -> None:
    """Add ``link``."""
    parser = add_command(
        commands,
        "link",
        "link accounts that belong together, again and again or once",
        _link,
        "querybudget link --policy policy.yaml",
        "querybudget link --once --policy policy.yaml",
        "querybudget link --dry-run --policy policy.yaml",
    )
    parser.add_argument("--once", action="store_true", help="look once, and say what was found")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="look once, also while another process links, and say what would be linked",
    )
    add_target(parser)


def add_groups(commands: Commands) -> None:
    """Add ``groups``."""
    parser = add_command(
        commands,
        "groups",
        "list linked groups, or the accounts of one and why they are linked",
        asking(_groups),
        "querybudget groups --policy policy.yaml",
        "querybudget groups group:8a8e9907c471 --policy policy.yaml",
    )
    parser.add_argument("group", nargs="?", metavar="GROUP", help="a group, or its beginning")
    add_target(parser)


def add_unlink(commands: Commands) -> None:
    """Add ``unlink``."""
    parser = add_command(
        commands,
        "unlink",
        "take an account, or all of a group, out of groups for good, or take that back",
        asking(_unlink),
        "querybudget unlink 3f2a9c01 --reason 'a school' --policy policy.yaml",
        "querybudget unlink group:8a8e9907c471 --yes --policy policy.yaml",
        "querybudget unlink 3f2a9c01 --undo --policy policy.yaml",
    )
    parser.add_argument("name", metavar="KEY|GROUP", help="an account's key, or a group")
    parser.add_argument(
        "--undo",
        action="store_true",
        help="let it be linked again; of a group, the accounts whose link has not ended",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_note(parser)
    add_target(parser)


def _link(arguments: argparse.Namespace) -> int:
    if arguments.console:
        raise SetupError("expected --policy FILE: a server's console links nothing")
    with quiet():
        return asyncio.run(_linked(arguments))


async def _linked(arguments: argparse.Namespace) -> int:
    from querybudget.limiter import Limiter  # noqa: PLC0415 - each command loads its own
    from querybudget.linking.linker import Linker  # noqa: PLC0415

    policy = shared_policy(arguments.policy)
    settings = policy.linking
    if settings is None:
        raise SetupError("expected `linking` in the policy, found none")
    async with Limiter(policy) as limiter:
        linker = Linker(limiter)
        if arguments.dry_run:
            return await _preview(linker, arguments)
        try:
            while True:
                elected = await linker.elected(settings)
                await _look(linker, arguments, elected=elected)
                if arguments.once:
                    return 0 if elected else 1
                await asyncio.sleep(settings.every / 1_000_000)
        finally:
            await linker.stop()


async def _look(linker: Linker, arguments: argparse.Namespace, *, elected: bool) -> None:
    if not elected:
        print(
            "another process links these accounts: `querybudget groups` shows what it has found,"
            " and `querybudget link --dry-run` looks beside it"
        )
        return
    found = await linker.look()
    if arguments.json:
        print_json(found)
        return
    print(_words(found, "added or renewed"), flush=True)


async def _preview(linker: Linker, arguments: argparse.Namespace) -> int:
    from querybudget.console.phrases import evidence_words, short  # noqa: PLC0415

    look, due = await linker.preview()
    if arguments.json:
        print_json({"look": look, "links": due})
        return 0
    print(_words(look, "would be added or renewed"))
    rows = [(link.group, short(link.account), evidence_words(dict(link.reasons))) for link in due]
    if rows:
        print(table(("group", "account", "why, in nats"), rows[:SHOWN]))
    if len(rows) > SHOWN:
        print(f"and {len(rows) - SHOWN:,} more: --json has all")
    return 0


def _words(look: Look, links: str) -> str:
    return (
        f"{look.accounts:,} accounts, {look.established:,} of them established:"
        f" {look.linked:,} belong to {look.groups:,} groups; {look.changed:,} links {links}"
    )


async def _groups(admin: Admin, arguments: argparse.Namespace) -> int:
    from querybudget.text import moment  # noqa: PLC0415

    if arguments.group:
        return await _group(admin, arguments)
    found = await admin.groups()
    if arguments.json:
        print_json(found)
        return 0
    rows = [
        (one.group, f"{one.size:,}", moment(one.since), moment(one.until), ", ".join(one.kinds))
        for one in found
    ]
    header = ("group", "accounts", "found", "ends", "linked by")
    print(table(header, rows) if rows else "no accounts are linked")
    return 0


async def _group(admin: Admin, arguments: argparse.Namespace) -> int:
    from querybudget.console.phrases import evidence_words  # noqa: PLC0415
    from querybudget.text import moment  # noqa: PLC0415

    group = await admin.group(arguments.group)
    if arguments.json:
        print_json(group)
        return 0
    rows = [
        (each.account, moment(each.at), moment(each.until), evidence_words(each.reasons))
        for each in group.accounts
    ]
    print(f"{group.group}: {group.size:,} accounts")
    print(table(("account", "found", "ends", "why, in nats"), rows))
    return 0


async def _unlink(admin: Admin, arguments: argparse.Namespace) -> int:
    name = arguments.name
    if arguments.undo:
        return await _relink(admin, arguments)
    if name.startswith("group:") and not confirmed(
        f"Unlink all accounts of {name} for good?", yes=arguments.yes
    ):
        return 1
    count = await admin.unlink(name, author(arguments), arguments.reason)
    if arguments.json:
        print_json({"unlinked": count})
    else:
        print(f"unlinked {count:,} account{'s' * (count != 1)}, never to be linked again")
    return 0


async def _relink(admin: Admin, arguments: argparse.Namespace) -> int:
    count = await admin.relink(arguments.name, author(arguments), arguments.reason)
    if arguments.json:
        print_json({"relinked": count})
    elif count:
        print(f"{count:,} account{'s' * (count != 1)} may be linked again")
    else:
        print("nobody there was unlinked: `querybudget audit` shows who was")
    return 0
