"""Find a call by the id that its caller was told: `find`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from querybudget.cli.commands import add_command
from querybudget.cli.operator import add_target, asking, print_json
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from querybudget.admin.protocol import Admin
    from querybudget.cli.commands import Commands
    from querybudget.traffic.record import TrafficRecord


LAST = (
    "the last calls of the worker that answered: each worker remembers its own, and a traffic log"
    " (--log FILE) has those of all"
)


def add_find(commands: Commands) -> None:
    """Add ``find``."""
    parser = add_command(
        commands,
        "find",
        "find a call by the request id that its caller quotes",
        _find,
        "querybudget find REQUEST --log traffic.jsonl",
    )
    parser.add_argument(
        "id",
        metavar="REQUEST_ID",
        help="as in x-request-id, or in the error; or 12 of its characters",
    )
    parser.add_argument(
        "--log",
        metavar="FILE",
        help="a traffic log; default: the policy's `traffic_log`, or with --console the last calls"
        " of the worker that answers",
    )
    add_target(parser)


def _find(arguments: argparse.Namespace) -> int:
    if arguments.console and not arguments.log:
        return asking(_remembered)(arguments)
    arguments.log = arguments.log or _log_of(arguments.policy)
    if not arguments.log:
        raise SetupError(
            "expected where calls are remembered: --log FILE, --policy FILE whose policy has a"
            " `traffic_log`, or --console URL for the last ones"
        )
    return _shown(_logged(arguments.log, arguments.id), arguments)


def _log_of(policy: str | None) -> str:
    """Return where a policy has its traffic log; empty for nowhere."""
    from querybudget.policy import load_policy  # noqa: PLC0415 - each command loads its own

    log = load_policy(policy).traffic_log if policy else None
    return log.path if log is not None else ""


async def _remembered(admin: Admin, arguments: argparse.Namespace) -> int:
    return _shown(await admin.find(arguments.id), arguments)


def _logged(path: str, request_id: str) -> TrafficRecord | None:
    from querybudget import traffic  # noqa: PLC0415 - each command loads its own
    from querybudget.traffic.record import TrafficRecord, best_match  # noqa: PLC0415

    calls = (record for record in traffic.read(path) if isinstance(record, TrafficRecord))
    try:
        return best_match(request_id, calls)
    except LookupError as error:
        raise SetupError(str(error)) from None


def _shown(record: TrafficRecord | None, arguments: argparse.Namespace) -> int:
    from querybudget.console.phrases import sentences  # noqa: PLC0415

    if record is None:
        where = f"the log {arguments.log}" if arguments.log else LAST
        raise SetupError(f"no call with the id {arguments.id} is in {where}")
    if arguments.json:
        print_json(record)
    else:
        print("\n".join(sentences(record)))
    return 0
