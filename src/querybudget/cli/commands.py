"""Commands: how one is added to the parser, with an example, and how they are listed."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Protocol

Run = Callable[[argparse.Namespace], int]
"""Runs a command; returns its exit status."""


class Commands(Protocol):
    """What `ArgumentParser.add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:  # noqa: ANN401 - as argparse's
        """Add a command."""
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
