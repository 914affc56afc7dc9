"""The `querybudget` command: its commands in groups, and their exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from querybudget.cli import (
    basic,
    calibrate,
    change,
    clear,
    completion,
    console,
    find,
    link,
    look,
    proxy,
    replay,
    report,
)
from querybudget.cli.commands import listed
from querybudget.errors import PolicyError, QueryBudgetError

if TYPE_CHECKING:
    from querybudget.cli.commands import Commands

STATUSES = (
    "Exit status: 0 done (for explain, whatever the verdict); 1 a policy, a request body or a store"
    " is wrong, a test has failed, or what was asked for is not there; 2 the arguments are wrong."
)

GROUPS: tuple[tuple[str, tuple[Callable[[Commands], None], ...]], ...] = (
    ("Try it", (basic.add_demo,)),
    (
        "Policies",
        (
            basic.add_check,
            basic.add_test,
            basic.add_explain,
            basic.add_preset,
            basic.add_schema,
        ),
    ),
    ("Serve", (proxy.add_parser, console.add_parser)),
    ("Look", (look.add_top, look.add_accounts, look.add_peek, find.add_find)),
    ("Change", (change.add_grant, change.add_override, change.add_allow, change.add_block)),
    ("Take back", (change.add_remove, clear.add_pardon, clear.add_forget)),
    ("Accounts that belong together", (link.add_link, link.add_groups, link.add_unlink)),
    ("What was changed", (change.add_overrides, change.add_audit)),
    ("Traffic logs", (replay.add_parser, calibrate.add_parser, report.add_parser)),
    ("Stores", (basic.add_store,)),
    ("Your shell", (completion.add_completion,)),
)
"""The commands, by what they are for; a function adds each, and imports little before it runs."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process.

    Returns:
        The exit status, as in `STATUSES`; 130 if interrupted.
    """
    parser = command_parser()
    words = sys.argv[1:] if argv is None else argv
    if words and not words[0].startswith("-") and words[0] not in parser.commands:
        parser.error(_unknown(words[0], parser.commands))
    arguments = parser.parse_args(words)
    if arguments.command is None:
        parser.print_help()
        return 0
    if "" not in sys.path:  # a policy may name functions of modules that are here, as servers' do
        sys.path.append("")
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except PolicyError as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:
        # The reader of our output has closed it. Python must not flush the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (QueryBudgetError, OSError) as error:
        print(f"querybudget: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    else:
        return status
    return 1


def _unknown(word: str, known: Collection[str]) -> str:
    from querybudget.notation import brief  # noqa: PLC0415 - only when something is wrong
    from querybudget.text import nearest  # noqa: PLC0415

    near = nearest(word, known) or "; `querybudget --help` lists them"
    return f"expected a command, found {brief(word)}{near}"


def command_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="querybudget", description="Budgets for the callers of a model server.")
    parser.add_argument("--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(
        dest="command", metavar="command", parser_class=argparse.ArgumentParser
    )
    groups: list[str] = []
    for title, adds in GROUPS:
        known = set(commands.choices)
        for add in adds:
            add(commands)
        added = [(name, one) for name, one in commands.choices.items() if name not in known]
        groups.append(listed(title, added))
    parser.groups = "\n\n".join(groups)
    parser.commands = dict(commands.choices)
    parser.set_defaults(whole=parser)  # for `completion`
    return parser


class Parser(argparse.ArgumentParser):
    """A parser whose ``--help`` lists commands in groups.

    Attributes:
        groups: The list.
        commands: The parser of each command.
    """

    groups = ""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as argparse's own
        super().__init__(*args, **options)
        self.commands: dict[str, argparse.ArgumentParser] = {}

    def format_help(self) -> str:
        """Return the text of ``--help``."""
        usage = "usage: querybudget [--version] COMMAND ...\n"
        more = "querybudget COMMAND --help shows the options of a command, and an example."
        texts = (usage, f"{self.description}\n", self.groups, "", more, STATUSES)
        return "\n".join((*texts, ""))


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Reading the package's metadata takes longer than most commands.
        from querybudget import __version__  # noqa: PLC0415

        print(f"querybudget {__version__}")
        parser.exit()
