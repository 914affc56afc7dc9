"""`querybudget completion`: the script by which a shell completes commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from querybudget.cli.commands import add_command
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.cli.commands import Commands

SHELLS = ("bash", "zsh", "fish")
FILES = frozenset({"log", "--junit", "--out", "--request", "--tls-cert"})
"""Arguments that name a file."""

POLICIES = frozenset({"policy", "--against"})
"""Arguments that name a policy: a file, or ``preset:NAME``."""

PRESET = "preset_name"
"""The argument that names a preset."""


_BASH = """
# $1=the word
_querybudget_policy_files() {
  compgen -f -- "$1"
  compgen -W "@PRESETS@" -- "$1"
}
"""

_ZSH = """
_querybudget_policies() {
  _alternative 'files:file:_files' 'presets:preset:(@ESCAPED@)'
}
"""

_BASH_WHOLE_WORDS = """
# Bash takes what stands around a colon for words of their own: ask about the whole, and give back
# what belongs behind the last colon.
_querybudget() {
  local -a words=()
  local index word glued=
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    if [[ $index -gt 1 && ( $glued || $word == :* ) ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
    glued=
    [[ $word == *: ]] && glued=yes
  done
  local -a COMP_WORDS=("${words[@]}")
  local COMP_CWORD=$((${#words[@]} - 1))
  _shtab_querybudget
  [[ ${COMPREPLY[*]} == *preset:* ]] && compopt +o filenames 2>/dev/null
  word=${words[-1]}
  [[ $word == *:* ]] && COMPREPLY=("${COMPREPLY[@]#"${word%:*}:"}")
  return 0
}
complete -o bashdefault -F _querybudget querybudget
"""


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
        named = {action.dest, *action.option_strings}
        if POLICIES & named:
            action.complete = _policies(names())  # type: ignore[attr-defined]
        elif FILES & named and action.choices is None:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        if action.dest == PRESET:
            action.choices = names()
    script: str = shtab.complete(parser, shell=shell)
    return script + _BASH_WHOLE_WORDS if shell == "bash" else script


def _policies(presets: Iterable[str]) -> dict[str, Any]:
    """Return what completes a policy, in each shell."""
    words = " ".join(f"preset:{name}" for name in presets)
    zsh = _ZSH.replace("@ESCAPED@", words.replace(":", r"\:"))
    return {
        "bash": "_querybudget_policy_files",
        "zsh": "_querybudget_policies",
        "fish": f"(__fish_complete_path (commandline -ct)) {words}",
        "preamble": {"bash": _BASH.replace("@PRESETS@", words), "zsh": zsh},
    }


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
