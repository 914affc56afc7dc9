"""Commands that try policies and stores: their arguments, and where the rest of each is."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from querybudget import notation
from querybudget.cli.commands import add_command, add_policies, argument, policy_of, quiet
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.cli.commands import Commands
    from querybudget.policy.history import History


_KNOWN = (
    ("age", argument(notation.duration), "TIME", "for how long the store has known the caller"),
    ("calls", argument(notation.calls), "N", "how many of its calls were answered in a year"),
    ("spent", argument(notation.dollars), "MONEY", "what they cost: '$20'"),
    ("clean", argument(notation.elapsed), "TIME", "for how long nothing has slowed or refused it"),
)
"""What a store may know of a caller: words of `when`."""


def add_check(commands: Commands) -> None:
    """Add ``check``."""
    says = "report every problem of a policy, or what it says"
    check = add_command(commands, "check", says, _check, "querybudget check policy.yaml")
    add_policies(check)


def add_test(commands: Commands) -> None:
    """Add ``test``."""
    says = "run the tests that a policy carries"
    examples = ("querybudget test policy.yaml", "querybudget test policy.yaml --junit report.xml")
    test = add_command(commands, "test", says, _test, *examples)
    add_policies(test, several=True)
    test.add_argument(
        "-k", dest="only", default="", metavar="TEXT", help="only tests whose name holds this"
    )
    test.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML, too")
    test.add_argument("--json", action="store_true", help="print JSON")


def add_explain(commands: Commands) -> None:
    """Add ``explain``."""
    explain = add_command(
        commands,
        "explain",
        "show what a policy makes of one request",
        _explain,
        "querybudget explain policy.yaml --request body.json --header 'Authorization: Bearer k'",
    )
    add_policies(explain)
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
        type=header,
        metavar="'K: V'",
        help="a header; repeatable",
    )
    explain.add_argument(
        "--client", default="127.0.0.1", metavar="ADDR", help="the client's address"
    )
    explain.add_argument("--user", metavar="NAME", help="the user that the application found")
    explain.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="a claim of its token, such as org.id=acme; repeatable",
    )
    for word, reads, metavar, says in _KNOWN:
        explain.add_argument(f"--{word}", type=reads, metavar=metavar, help=says)
    explain.add_argument("--json", action="store_true", help="print JSON")


def add_store(commands: Commands) -> None:
    """Add ``store``."""
    says = "test whether a store works from this machine"
    example = "querybudget store check sqlite:///budgets.db"
    store = add_command(commands, "store", says, _store, example)
    tasks = store.add_subparsers(dest="task", metavar="task", required=True)
    check = tasks.add_parser(
        "check", help="use a store, and print what it keeps and how fast it is"
    )
    check.add_argument("url", help="as in a policy: redis://host:6379/0, sqlite:///budgets.db, ...")
    check.add_argument("--json", action="store_true", help="print JSON")


def add_preset(commands: Commands) -> None:
    """Add ``preset``."""
    says = "print a policy that comes with the package"
    preset = add_command(commands, "preset", says, _preset, "querybudget preset distillation")
    preset.add_argument(
        "preset_name", nargs="?", metavar="name", help="if omitted, print all names"
    )


def add_schema(commands: Commands) -> None:
    """Add ``schema``."""
    says = "print the JSON Schema of the policy file"
    add_command(commands, "schema", says, _schema, "querybudget schema")


def add_demo(commands: Commands) -> None:
    """Add ``demo``."""
    says = "show budgets at work in the terminal"
    demo = add_command(commands, "demo", says, _demo, "querybudget demo --seconds 3 --plain")
    demo.add_argument("--seconds", type=_seconds, default=12.0, metavar="N", help="default: 12")
    demo.add_argument("--plain", action="store_true", help="print events line by line")
    demo.add_argument("--policy", metavar="FILE", help="use this policy")


def header(text: str) -> tuple[bytes, bytes]:
    """Read ``name: value``."""
    name, colon, value = text.partition(":")
    try:
        pair = name.strip().lower().encode("ascii"), value.strip().encode("latin-1")
    except UnicodeEncodeError:
        pair = b"", b""
    if not colon or not pair[0]:
        raise argparse.ArgumentTypeError(f"expected 'name: value', found {text!r}")
    return pair


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3_600:  # noqa: PLR2004 - less shows nothing, more is a mistake
        raise argparse.ArgumentTypeError(f"expected 1 to 3600 seconds, found {text!r}")
    return seconds


def _check(arguments: argparse.Namespace) -> int:
    from querybudget.cli.check import check  # noqa: PLC0415 - each command loads its own

    return check(policy_of(arguments, "a FILE"))


def _test(arguments: argparse.Namespace) -> int:
    from querybudget.cli.policy_tests import run_tests  # noqa: PLC0415

    policy_of(arguments, "a FILE")
    with quiet():
        return run_tests(
            arguments.policy,
            only=arguments.only,
            junit=arguments.junit,
            as_json=arguments.json,
        )


def _explain(arguments: argparse.Namespace) -> int:
    from querybudget.admin.callers import named  # noqa: PLC0415
    from querybudget.cli.explain import explain  # noqa: PLC0415
    from querybudget.cli.explanation import Request  # noqa: PLC0415

    claims = [named("claim", text) for text in arguments.claim]
    policy = policy_of(arguments, "a FILE")
    path, _, query = arguments.path.partition("?")
    request = Request(
        method=arguments.method.upper(),
        path=path,
        query=query,
        headers=tuple(arguments.header),
        client=arguments.client,
        body=_body(arguments.request),
        history=_history(arguments),
        user=arguments.user,
        claims={claim.name: claim.value for claim in claims},
    )
    with quiet():
        return explain(policy, request, as_json=arguments.json)


def _history(arguments: argparse.Namespace) -> History:
    """Return what the store is taken to know of the caller, as options say."""
    from querybudget.policy.history import NEWCOMER, History  # noqa: PLC0415
    from querybudget.stores import system_clock  # noqa: PLC0415

    known = {word: getattr(arguments, word) for word, *_ in _KNOWN}
    said = {word: value for word, value in known.items() if value is not None}
    return History.at(system_clock()(), **said) if said else NEWCOMER


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
    if arguments.preset_name is None:
        print("\n".join(known))
    elif arguments.preset_name in known:
        print(presets.preset_yaml(arguments.preset_name), end="")
    else:
        near = nearest(arguments.preset_name, known)
        raise SetupError(f"expected the name of a preset, found {arguments.preset_name!r}{near}")
    return 0


def _schema(_: argparse.Namespace) -> int:
    from querybudget.policy.schema import json_schema  # noqa: PLC0415

    print(json.dumps(json_schema(), indent=2))
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from querybudget.demo import run  # noqa: PLC0415

    with quiet():
        return run(seconds=arguments.seconds, plain=arguments.plain, policy=arguments.policy)
