"""What all commands share: how one is added to the parser, what it takes, and how it is listed."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from querybudget.errors import SetupError

POLICY = "QUERYBUDGET_POLICY"
"""The variable that names the policy where no argument does."""

TOKEN = "QUERYBUDGET_CONSOLE_TOKEN"  # noqa: S105 - the name of a variable
"""The variable with the console's token, unless ``--token-env`` names another."""

Run = Callable[[argparse.Namespace], int]
"""Runs a command; returns its exit status."""

T = TypeVar("T")


class Commands(Protocol):
    """What `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:  # noqa: ANN401 - as argparse's
        """Add a command."""
        ...


class Arguments(Protocol):
    """What takes arguments: a parser, or a group of one."""

    def add_argument(self, *names: str, **options: Any) -> object:  # noqa: ANN401 - as argparse's
        """Add an argument."""
        ...


INDENT = 12
"""Columns of the list of commands before what each does."""


def add_command(
    commands: Commands, name: str, says: str, run: Run, *examples: str
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: Where to add it.
        name: Its name.
        says: What it does, in a few words, for the list of commands.
        run: Runs it.
        examples: Whole command lines, for its ``--help``.
    """
    lines = "".join(f"\n  {example}" for example in examples)
    title = "examples" if len(examples) > 1 else "example"
    parser = commands.add_parser(
        name,
        help=says,
        description=f"{says[0].upper()}{says[1:]}.",
        epilog=f"{title}:{lines}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_policy(parser: Arguments, says: str) -> None:
    """Add ``--policy``, by default what the environment names."""
    parser.add_argument(
        "--policy",
        metavar="FILE",
        default=os.environ.get(POLICY),
        help=f"{says}; default: ${POLICY}",
    )


def add_policies(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add policies without an option's name, by default the one that the environment names."""
    usual = os.environ.get(POLICY)
    parser.add_argument(
        "policy",
        nargs="*" if several else "?",
        default=[usual] * bool(usual) if several else usual,
        help=f"a policy file (YAML), or preset:NAME; default: ${POLICY}",
    )


def policy_of(arguments: argparse.Namespace, written: str = "--policy FILE") -> str:
    """Return the policy that a command is given.

    Args:
        arguments: Those of the command.
        written: How the command's arguments name a policy.

    Raises:
        SetupError: Neither they nor the environment name one.
    """
    if not arguments.policy:
        raise SetupError(f"expected a policy: give {written}, or set {POLICY}")
    return str(arguments.policy)


def listed(title: str, parsers: Iterable[tuple[str, argparse.ArgumentParser]]) -> str:
    """Return some commands, as the command's own ``--help`` lists them."""
    lines = [f"{title}:"]
    for name, parser in parsers:
        says = (parser.description or "").removesuffix(".")
        lines.append(f"  {name:{INDENT}}{says[:1].lower()}{says[1:]}")
    return "\n".join(lines)


def examples_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the examples of a command's ``--help``."""
    lines = (parser.epilog or "").splitlines()
    return [line.strip() for line in lines if line.startswith("  querybudget ")]


@contextmanager
def quiet() -> Generator[None]:
    """Log errors alone: what the command prints says by itself who is slowed and refused."""
    logger = logging.getLogger("querybudget")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def argument(read: Callable[[str], T]) -> Callable[[str], T]:
    """Return a type of arguments, for argparse, of a function that raises `ValueError`.

    argparse shows the message of the error, which it would not of a `ValueError`.
    """

    def parse(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse
