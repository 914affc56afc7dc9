"""`querybudget replay`: what a policy would have done to the calls of a traffic log."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

import msgspec

from querybudget.cli.commands import add_command, add_policy, argument, policy_of, quiet
from querybudget.cli.log_arguments import add_logs, records_of
from querybudget.cli.progress import progress
from querybudget.errors import SetupError
from querybudget.policy.model import Policy

if TYPE_CHECKING:
    from querybudget.cli.commands import Commands
    from querybudget.replay.thresholds import Condition

INTERRUPTED = 130
WRONG_ARGUMENTS = 2


def add_parser(commands: Commands) -> None:
    """Add ``replay``."""
    parser = add_command(
        commands,
        "replay",
        "say what a policy would have done to the calls of a traffic log",
        run,
        "querybudget replay traffic.jsonl --policy policy.yaml",
        "querybudget replay traffic.jsonl --policy policy.yaml --against stricter.yaml",
        "querybudget replay traffic.jsonl --policy policy.yaml --fail-if 'callers_refused > 0.1%'",
    )
    add_logs(parser)
    add_policy(parser, "a policy file (YAML), or preset:NAME")
    parser.add_argument("--against", metavar="FILE", help="a second policy, to compare with it")
    parser.add_argument(
        "--enforce", action="store_true", help="as if every budget in shadow were enforced"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        type=_condition,
        metavar="CONDITION",
        help="end with status 1 if it holds, such as 'refused > 0.1%%'; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Replay, print what happened, and return the exit status."""
    from querybudget.replay.replaying import Replay, enforced  # noqa: PLC0415 - not for `--help`
    from querybudget.replay.tables import lines_of  # noqa: PLC0415

    policy = Policy.load(policy_of(arguments))
    against = Policy.load(arguments.against) if arguments.against else None
    if arguments.enforce:
        policy, against = enforced(policy), enforced(against) if against else None
    prompts = any(one is not None and one.counts_buckets for one in (policy, against))
    try:
        for condition in arguments.fail_if:
            condition.check(policy, against)
    except SetupError as error:  # 1 says that a condition holds
        print(f"querybudget replay: error: argument --fail-if: {error}", file=sys.stderr)
        return WRONG_ARGUMENTS
    with progress(plain=arguments.plain) as report, quiet():
        found = Replay(
            records_of(arguments, arguments.log, policy.secret, prompts=prompts),
            [policy] if against is None else [policy, against],
            logs=arguments.log,
            report=report,
            window=arguments.window,
        ).run()
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        print("\n".join(lines_of(found)))
    failed = [condition for condition in arguments.fail_if if condition.holds(found)]
    for one in failed:
        print(f"querybudget: --fail-if {one.text!r} holds: {one.found(found)}", file=sys.stderr)
    if found.interrupted:
        return INTERRUPTED
    if wrong := found.unreadable:
        print(f"querybudget: {wrong}", file=sys.stderr)
    return 1 if failed or wrong else 0


@argument
def _condition(text: str) -> Condition:
    from querybudget.replay.thresholds import condition  # noqa: PLC0415

    return condition(text)
