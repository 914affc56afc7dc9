"""The `querybudget` command.

check.py        is this policy right, and what does it say
explanation.py  what a policy makes of one request
explain.py      the same, for a terminal or as JSON
store.py        whether a store works from here
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from querybudget.errors import PolicyError, QueryBudgetError, SetupError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments; those of the process unless given.

    Returns:
        The exit status: 0 done, 1 something is wrong with what was given, 2 misused, 130 stopped.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        status = _COMMANDS[arguments.command](arguments)
        sys.stdout.flush()
    except PolicyError as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:
        # Whoever read this has read enough. Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (QueryBudgetError, OSError) as error:
        print(f"querybudget: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    else:
        return status
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="querybudget", description="Budgets for the callers of a model server."
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command")
    check = commands.add_parser("check", help="say what is wrong with a policy, or what it says")
    check.add_argument("policy", help="a policy file (YAML), or preset:NAME")
    _add_explain(commands.add_parser("explain", help="say what a policy makes of one request"))
    _add_store(commands.add_parser("store", help="say whether a store works from here"))
    preset = commands.add_parser("preset", help="print a policy that ships, to begin from")
    preset.add_argument("name", nargs="?", help="without one, all names are printed")
    commands.add_parser("schema", help="print the JSON Schema of the policy file")
    demo = commands.add_parser("demo", help="show budgets at work, in the terminal")
    demo.add_argument("--seconds", type=_seconds, default=12.0, metavar="N", help="default: 12")
    demo.add_argument("--plain", action="store_true", help="print events line by line")
    demo.add_argument("--policy", metavar="FILE", help="another policy than the demo's own")
    return parser


def _add_explain(explain: argparse.ArgumentParser) -> None:
    explain.add_argument("policy", help="a policy file (YAML), or preset:NAME")
    explain.add_argument(
        "--request", metavar="FILE", help="the request's body, as JSON; - for standard input"
    )
    explain.add_argument("--path", default="/v1/chat/completions", help="default: %(default)s")
    explain.add_argument("--method", default="POST", help="default: %(default)s")
    explain.add_argument(
        "--header", action="append", default=[], type=_header, metavar="'K: V'", help="repeatable"
    )
    explain.add_argument("--client", default="127.0.0.1", metavar="ADDR", help="the peer's address")
    explain.add_argument("--json", action="store_true", help="for programs")


def _add_store(store: argparse.ArgumentParser) -> None:
    tasks = store.add_subparsers(dest="task", metavar="task", required=True)
    check = tasks.add_parser("check", help="use it, and say what it keeps and how fast it is")
    check.add_argument("url", help="as in a policy: redis://host:6379/0, sqlite:///budgets.db, ...")
    check.add_argument("--json", action="store_true", help="for programs")


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Found only when asked for: reading a package's metadata takes longer than most commands.
        from querybudget import __version__  # noqa: PLC0415

        print(f"querybudget {__version__}")
        parser.exit()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3_600:  # noqa: PLR2004 - shorter shows nothing, longer is a mistake
        raise argparse.ArgumentTypeError(f"expected 1 to 3600 seconds, found {text!r}")
    return seconds


def _header(text: str) -> tuple[bytes, bytes]:
    name, colon, value = text.partition(":")
    try:
        pair = name.strip().lower().encode("ascii"), value.strip().encode("latin-1")
    except UnicodeEncodeError:
        pair = b"", b""
    if not colon or not pair[0]:
        raise argparse.ArgumentTypeError(f"expected 'name: value', found {text!r}")
    return pair


def _check(arguments: argparse.Namespace) -> int:
    from querybudget.cli.check import check  # noqa: PLC0415 - each command loads its own

    return check(arguments.policy)


def _explain(arguments: argparse.Namespace) -> int:
    from querybudget.cli.explain import explain  # noqa: PLC0415
    from querybudget.cli.explanation import Asked  # noqa: PLC0415

    asked = Asked(
        method=arguments.method.upper(),
        path=arguments.path,
        headers=tuple(arguments.header),
        client=arguments.client,
        body=_body(arguments.request),
    )
    return explain(arguments.policy, asked, as_json=arguments.json)


def _store(arguments: argparse.Namespace) -> int:
    from querybudget.cli.store import check_store  # noqa: PLC0415

    return check_store(arguments.url, as_json=arguments.json)


def _body(source: str | None) -> bytes:
    if source is None:
        return b""
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SetupError(f"expected a request body in {source}, found none: {reason}") from None


def _preset(arguments: argparse.Namespace) -> int:
    from querybudget.policy import presets  # noqa: PLC0415
    from querybudget.text import nearest  # noqa: PLC0415

    known = presets.names()
    if arguments.name is None:
        print("\n".join(known))
    elif arguments.name in known:
        print(presets.text(arguments.name), end="")
    else:
        near = nearest(arguments.name, known)
        raise SetupError(f"expected the name of a preset, found {arguments.name!r}{near}")
    return 0


def _schema(_: argparse.Namespace) -> int:
    from querybudget.policy.schema import json_schema  # noqa: PLC0415

    print(json.dumps(json_schema(), indent=2))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from querybudget.demo import run  # noqa: PLC0415

    return run(seconds=arguments.seconds, plain=arguments.plain, policy=arguments.policy)


_COMMANDS = {
    "check": _check,
    "explain": _explain,
    "store": _store,
    "preset": _preset,
    "schema": _schema,
    "demo": _demo,
}
