"""Take back what is kept about a caller: `pardon`, `forget`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from querybudget.cli.commands import add_command
from querybudget.cli.operator import (
    add_caller,
    add_note,
    add_target,
    asking,
    author,
    confirmed,
    key_of,
    print_json,
)

if TYPE_CHECKING:
    from querybudget.admin.protocol import Admin
    from querybudget.cli.commands import Commands


def add_pardon(commands: Commands) -> None:
    """Add ``pardon``."""
    parser = add_command(
        commands,
        "pardon",
        "take back what a caller is suspected of, and keep what it has used",
        asking(_pardon),
        "querybudget pardon 3f2a9c01 --reason 'a new team' --policy policy.yaml",
    )
    _add_rest(parser)


def add_forget(commands: Commands) -> None:
    """Add ``forget``."""
    parser = add_command(
        commands,
        "forget",
        "erase all that is kept about a caller",
        asking(_forget),
        "querybudget forget --user ada --yes --reason 'asked to' --policy policy.yaml",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask; it cannot be undone")
    _add_rest(parser)


def _add_rest(parser: argparse.ArgumentParser) -> None:
    add_caller(parser)
    add_note(parser)
    add_target(parser)


async def _pardon(admin: Admin, arguments: argparse.Namespace) -> int:
    key = key_of(arguments)
    pardoned = await admin.pardon(key, author(arguments), arguments.reason)
    if arguments.json:
        print_json({"pardoned": pardoned})
    elif pardoned:
        print(f"{key} is pardoned: its score begins anew, what it has used stays")
    else:
        print(f"there was nothing to pardon {key}")
    return 0


async def _forget(admin: Admin, arguments: argparse.Namespace) -> int:
    key = key_of(arguments)
    if not confirmed(f"Erase all that is kept about {key}?", yes=arguments.yes):
        return 1
    erased = await admin.forget(key, author(arguments), arguments.reason)
    if arguments.json:
        print_json({"erased": erased})
    else:
        print(f"erased {erased} account{'' if erased == 1 else 's'} of {key}")
    return 0 if erased else 1
