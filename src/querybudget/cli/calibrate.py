"""`querybudget calibrate`: limits that disturb at most a share of the callers of a traffic log."""

from __future__ import annotations

import argparse
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from querybudget.cli.commands import add_command, add_policy, quiet
from querybudget.cli.log_arguments import add_logs, records_of
from querybudget.cli.progress import progress
from querybudget.errors import SetupError
from querybudget.units import MICRO

if TYPE_CHECKING:
    from querybudget.cli.commands import Commands

MOST_DISTURBED = MICRO // 5
"""The largest share that may be asked for."""


def add_parser(commands: Commands) -> None:
    """Add ``calibrate``."""
    parser = add_command(
        commands,
        "calibrate",
        "propose limits that disturb at most a share of the callers of a traffic log",
        run,
        "querybudget calibrate traffic.jsonl --disturb 1% --out proposed.yaml",
    )
    add_logs(parser)
    parser.add_argument(
        "--disturb",
        required=True,
        type=_share,
        metavar="SHARE",
        help="of the callers: at most so many are ever refused, slowed or priced; such as 0.1%%",
    )
    add_policy(parser, "propose limits for its budgets, or with '' for the usual ones")
    parser.add_argument("--out", metavar="FILE", help="write the policy there, not to the output")


def run(arguments: argparse.Namespace) -> int:
    """Calibrate, write the policy, and return the exit status."""
    from querybudget.policy.load import load_text, text_of  # noqa: PLC0415 - not for `--help`
    from querybudget.replay.calibrating import calibrate  # noqa: PLC0415
    from querybudget.replay.proposal import TooFewError  # noqa: PLC0415

    if "-" in arguments.log:
        raise SetupError("expected files, which are read twice, found the standard input")
    text = text_of(arguments.policy) if arguments.policy else ""
    policy = load_text(text, arguments.policy) if text else None
    secret, prompts = (policy.secret, policy.counts_buckets) if policy else (b"", True)
    with progress(plain=arguments.plain) as report, quiet():
        try:
            found = calibrate(
                lambda: records_of(arguments, arguments.log, secret, prompts=prompts),
                arguments.disturb,
                text=text,
                source=arguments.policy or "<text>",
                logs=arguments.log,
                report=report,
                window=arguments.window,
            )
        except TooFewError as error:
            raise SetupError(str(error)) from None
    if arguments.out:
        Path(arguments.out).write_text(found.text)
    else:
        print(found.text, end="")
    if found.malformed or found.late:
        print(
            f"querybudget: {found.malformed + found.late:,} lines of the log were passed over",
            file=sys.stderr,
        )
    return 0


def _share(text: str) -> int:
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        millionths = int(Decimal(number) * (MICRO // 100 if percent else MICRO))
    except InvalidOperation:
        millionths = 0
    if not 0 < millionths <= MOST_DISTURBED:
        raise argparse.ArgumentTypeError(
            f"expected a share up to 20%, such as 0.1%, found {text!r}"
        )
    return millionths
