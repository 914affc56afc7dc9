"""`querybudget completion`: the script by which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from querybudget.cli.commands import add_command
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.cli.commands import Commands

SHELLS = ("bash", "zsh", "fish")
FILES = frozenset(
    {"policy", "log", "--against", "--junit", "--out", "--policy", "--request", "--tls-cert"}
)
"""Arguments that name a file."""

PRESET = "preset_name"
"""The argument that names a preset."""


def add_completion(commands: Commands) -> None:
    """Add ``completion``."""
    says = "print what makes your shell complete commands"
    example = "querybudget completion bash"
    completion = add_command(commands, "completion", says, _completion, example)
    completion.add_argument("shell", choices=SHELLS, help="the shell: %(choices)s")


def completion_script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script that completes a command.

    Args:
        parser: The command's.
        shell: One of `SHELLS`.

    Raises:
        SetupError: The package that writes it is not installed.
    """
    try:
        import shtab  # noqa: PLC0415 - of an extra
    except ImportError:
        raise SetupError(
            "`completion` needs another package: pip install 'querybudget[cli]'"
        ) from None
    from querybudget.policy.presets import names  # noqa: PLC0415 - loads the policy

    for action in _actions(parser):
        if FILES & {action.dest, *action.option_strings} and action.choices is None:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        if action.dest == PRESET:
            action.choices = names()
    script: str = shtab.complete(parser, shell=shell)
    return script


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a command and of its commands."""
    for action in parser._actions:  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - argparse has no other way to list them
        parsers = _parsers(action.choices)
        for each in parsers:
            yield from _actions(each)
        if not parsers:
            yield action


def _parsers(choices: Any) -> list[argparse.ArgumentParser]:  # noqa: ANN401 - argparse's own
    """Return the parsers of an argument that is a command."""
    found: list[Any] = [*choices.values()] if isinstance(choices, dict) else []  # pyright: ignore[reportUnknownMemberType]
    return [each for each in found if isinstance(each, argparse.ArgumentParser)]


def _completion(arguments: argparse.Namespace) -> int:
    print(completion_script(arguments.whole, arguments.shell))
    return 0
