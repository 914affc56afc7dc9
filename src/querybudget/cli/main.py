"""Arguments and exit statuses of the `querybudget` command."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from querybudget.errors import PolicyError, QueryBudgetError, SetupError

STATUSES = (
    "Exit status: 0 done (for explain, whatever the verdict); 1 a policy, a request body or a store"
    " is wrong; 2 the arguments are wrong."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process.

    Returns:
        The exit status, as in `STATUSES`; 130 if interrupted.
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
        # The reader of our output has closed it. Python must not flush the rest when it exits.
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
        prog="querybudget",
        description="Budgets for the callers of a model server.",
        epilog=STATUSES,
    )
    parser.add_argument("--version", action=_Version, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="command")
    check = commands.add_parser("check", help="report every problem of a policy, or what it says")
    check.add_argument("policy", help="a policy file (YAML), or preset:NAME")
    _add_explain(commands.add_parser("explain", help="show what a policy makes of one request"))
    _add_store(commands.add_parser("store", help="test whether a store works from this machine"))
    preset = commands.add_parser("preset", help="print a policy that comes with the package")
    preset.add_argument("name", nargs="?", help="if omitted, print all names")
    commands.add_parser("schema", help="print the JSON Schema of the policy file")
    demo = commands.add_parser("demo", help="show budgets at work in the terminal")
    demo.add_argument("--seconds", type=_seconds, default=12.0, metavar="N", help="default: 12")
    demo.add_argument("--plain", action="store_true", help="print events line by line")
    demo.add_argument("--policy", metavar="FILE", help="use this policy")
    return parser


def _add_explain(explain: argparse.ArgumentParser) -> None:
    explain.add_argument("policy", help="a policy file (YAML), or preset:NAME")
    explain.add_argument(
        "--request",
        metavar="FILE",
        help="file with the request's body, or a WebSocket's message; - for standard input",
    )
    explain.add_argument(
        "--path", default="/v1/chat/completions", help="and its query; default: %(default)s"
    )
    explain.add_argument("--method", default="POST", help="or WEBSOCKET; default: %(default)s")
    explain.add_argument(
        "--header",
        action="append",
        default=[],
        type=_header,
        metavar="'K: V'",
        help="a header; repeatable",
    )
    explain.add_argument(
        "--client", default="127.0.0.1", metavar="ADDR", help="the client's address"
    )
    explain.add_argument("--json", action="store_true", help="print JSON")


def _add_store(store: argparse.ArgumentParser) -> None:
    tasks = store.add_subparsers(dest="task", metavar="task", required=True)
    check = tasks.add_parser(
        "check", help="use a store, and print what it keeps and how fast it is"
    )
    check.add_argument("url", help="as in a policy: redis://host:6379/0, sqlite:///budgets.db, ...")
    check.add_argument("--json", action="store_true", help="print JSON")


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Reading the package's metadata takes longer than most commands.
        from querybudget import __version__  # noqa: PLC0415

        print(f"querybudget {__version__}")
        parser.exit()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3_600:  # noqa: PLR2004 - less shows nothing, more is a mistake
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
    from querybudget.cli.explanation import Request  # noqa: PLC0415

    path, _, query = arguments.path.partition("?")
    request = Request(
        method=arguments.method.upper(),
        path=path,
        query=query,
        headers=tuple(arguments.header),
        client=arguments.client,
        body=_body(arguments.request),
    )
    with _quiet():
        return explain(arguments.policy, request, as_json=arguments.json)


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
        raise SetupError(f"cannot read a request body from {source}: {reason}") from None


def _preset(arguments: argparse.Namespace) -> int:
    from querybudget.policy import presets  # noqa: PLC0415
    from querybudget.text import nearest  # noqa: PLC0415

    known = presets.names()
    if arguments.name is None:
        print("\n".join(known))
    elif arguments.name in known:
        print(presets.preset_yaml(arguments.name), end="")
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

    with _quiet():
        return run(seconds=arguments.seconds, plain=arguments.plain, policy=arguments.policy)


@contextmanager
def _quiet() -> Generator[None]:
    """Log errors alone: what the command prints says by itself who is slowed and refused."""
    logger = logging.getLogger("querybudget")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


_COMMANDS = {
    "check": _check,
    "explain": _explain,
    "store": _store,
    "preset": _preset,
    "schema": _schema,
    "demo": _demo,
}
