"""What the commands of operators share: whom they ask, whom they name, and how they print.

A store that processes share is changed directly. The accounts of ``memory://`` are in the server's
process, so commands reach them through its console.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from querybudget.cli.commands import TOKEN, add_policy, quiet
from querybudget.errors import SetupError
from querybudget.text import listed

if TYPE_CHECKING:
    from querybudget.admin.protocol import Admin
    from querybudget.policy.model import Policy


Task = Callable[["Admin", argparse.Namespace], Awaitable[int]]
"""Does a command's work; returns its exit status."""


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add where a command finds accounts, and ``--json``."""
    group = parser.add_argument_group("where")
    add_policy(group, "the policy of the servers, which names the store")
    group.add_argument(
        "--console", metavar="URL", help="the console of a server, instead of its store"
    )
    group.add_argument(
        "--token-env",
        metavar="NAME",
        default=TOKEN,
        help="variable with the console's token, where it needs one; default: %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_caller(parser: argparse.ArgumentParser) -> None:
    """Add whom a command is about."""
    group = parser.add_argument_group("whom: one of these")
    group.add_argument(
        "account", nargs="?", metavar="KEY", help="an account's key, or 8 or more of its characters"
    )
    group.add_argument("--user", metavar="NAME", help="a user that the application authenticates")
    group.add_argument(
        "--api-key",
        metavar="KEY",
        help="an API key; - to type it, or to read it from standard input",
    )
    group.add_argument("--header", metavar="NAME=VALUE", help="a header of a trusted proxy")
    group.add_argument("--claim", metavar="PATH=VALUE", help="a claim, such as org.id=acme")
    group.add_argument(
        "--partition", metavar="NAME=VALUE", help="who shares an account, such as org=acme"
    )
    group.add_argument("--address", metavar="IP", help="an address")


def add_note(parser: argparse.ArgumentParser) -> None:
    """Add who makes a change, and why."""
    group = parser.add_argument_group("for the audit log")
    group.add_argument("--by", metavar="NAME", help="who does it; by default, you")
    group.add_argument("--reason", metavar="TEXT", default="", help="why")


def author(arguments: argparse.Namespace) -> str:
    """Return who makes a change."""
    if arguments.by:
        return str(arguments.by)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return ""


def asking(task: Task) -> Callable[[argparse.Namespace], int]:
    """Return a function that runs a command's work on the accounts that its arguments name."""

    def run(arguments: argparse.Namespace) -> int:
        with quiet():  # the command says itself what is wrong
            return asyncio.run(_asked(task, arguments))

    return run


async def _asked(task: Task, arguments: argparse.Namespace) -> int:
    try:
        async with opened(arguments) as admin:
            return await task(admin, arguments)
    except LookupError as error:
        raise SetupError(str(error.args[0] if error.args else error)) from None


@asynccontextmanager
async def opened(arguments: argparse.Namespace) -> AsyncGenerator[Admin]:
    """Open what a command asks: a console, or a policy's store.

    Raises:
        SetupError: Neither is named, or the store's accounts are in another process.
    """
    if arguments.console:
        from querybudget.admin.remote_admin import AccessError, RemoteAdmin  # noqa: PLC0415 - each command loads its own

        token = os.environ.get(arguments.token_env, "")
        async with RemoteAdmin(arguments.console, token) as remote:
            try:
                yield remote
            except AccessError as error:
                said = f"{error} {arguments.token_env} has {'another' if token else 'none'}"
                raise AccessError(said) from None
        return
    from querybudget.admin import LocalAdmin  # noqa: PLC0415
    from querybudget.limiter import Limiter  # noqa: PLC0415

    async with Limiter(shared_policy(arguments.policy)) as limiter:
        yield LocalAdmin(limiter)


def shared_policy(source: str | None) -> Policy:
    """Load a policy whose store processes share, without what functions of the servers return.

    Raises:
        SetupError: There is none, or its accounts are in another process.
        PolicyError: It is wrong.
    """
    from querybudget.backends import guarantees_of  # noqa: PLC0415
    from querybudget.policy import load_policy  # noqa: PLC0415

    if not source:
        raise SetupError(
            "expected where the accounts are: --policy FILE or QUERYBUDGET_POLICY for a store that"
            " processes share, or --console URL for a running server"
        )
    policy = load_policy(source)
    guarantees = guarantees_of(policy.store.url)
    if guarantees is not None and guarantees.reach == "process":
        scheme = policy.store.url.partition("://")[0]
        raise SetupError(
            f"the accounts of {scheme}:// are in the server's process: give --console URL, where"
            " the server has a console, or let the policy name a store that processes share"
        )
    return without_functions(policy)


def without_functions(policy: Policy) -> Policy:
    """Leave out overrides that functions of the servers return: their code may not be here."""
    called = [source.target for source in policy.override_sources if source.called]
    if called:
        print(f"note: what {listed(called)} returns is not looked at", file=sys.stderr)
    files = tuple(source for source in policy.override_sources if not source.called)
    return replace(policy, override_sources=files)


def key_of(arguments: argparse.Namespace) -> str:
    """Return the key of the account that a command is about, or its beginning.

    Raises:
        SetupError: None is named, or several are, or the policy knows no such callers.
    """
    kinds = ("user", "api_key", "header", "claim", "partition", "address")
    given = [(kind, value) for kind in kinds if (value := getattr(arguments, kind)) is not None]
    if len(given) + (arguments.account is not None) != 1:
        raise SetupError(
            "expected one caller: a KEY, or one of --user, --api-key, --header, --claim,"
            " --partition, --address"
        )
    if not given:
        return str(arguments.account)
    from querybudget.admin.callers import account_of, named  # noqa: PLC0415
    from querybudget.policy import load_policy  # noqa: PLC0415

    if not arguments.policy:
        raise SetupError("expected --policy FILE too: its secret makes keys of callers")
    kind, value = given[0]
    if kind == "api_key" and value == "-":
        value = _typed_key()
    return account_of(load_policy(arguments.policy), named(kind, value))


def _typed_key() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("API key: ")
    return sys.stdin.readline().strip()


def print_json(value: object) -> None:
    """Print a value as JSON."""
    from msgspec import json  # noqa: PLC0415

    print(json.format(json.encode(value), indent=2).decode())


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows as text in columns, aligned left."""
    lines: list[Sequence[str]] = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def confirmed(question: str, *, yes: bool) -> bool:
    """Ask whether to go on, unless that was said before.

    Raises:
        SetupError: There is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise SetupError("expected --yes: this cannot be undone, and there is nobody to ask")
    return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
