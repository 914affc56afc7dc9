"""`querybudget report`: a page and pictures of traffic logs, or of a store."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from querybudget.backends import SCHEMES
from querybudget.cli.commands import add_command, add_policy, policy_of, quiet
from querybudget.cli.log_arguments import add_reading, records_of
from querybudget.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from querybudget.cli.commands import Commands
    from querybudget.policy.model import Policy
    from querybudget.report.page import Page

FOLDER = "report"


def add_parser(commands: Commands) -> None:
    """Add the command's arguments."""
    says = "write a page and pictures of traffic logs, or of a store"
    example = "querybudget report traffic.jsonl --policy policy.yaml --out report"
    several = "querybudget report monday.jsonl tuesday.jsonl --policy policy.yaml"
    parser = add_command(commands, "report", says, run, example, several)
    parser.add_argument(
        "source",
        nargs="+",
        metavar="LOG|STORE",
        help="traffic logs, each as a policy names it, of which all files are read; or a store's"
        " URL: redis://host, ...",
    )
    add_policy(parser, "the policy that the servers use")
    add_reading(parser)
    parser.add_argument(
        "--out", default=FOLDER, metavar="DIR", help="where to write; default: %(default)s"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write a report, and print where it is.

    Raises:
        PolicyError: The policy is wrong.
        SetupError: The extra is missing, or the store is of one process.
        StoreError: The store does not answer.
        OSError: The log cannot be read, or the report not written.
    """
    from querybudget.policy import load_policy  # noqa: PLC0415 - each command loads its own
    from querybudget.report.page import write  # noqa: PLC0415
    from querybudget.report.theme import plotting  # noqa: PLC0415

    plotting()
    policy = load_policy(policy_of(arguments))
    with quiet():
        page = _page(arguments, policy)
        paths = write(page, Path(arguments.out))
    for path in paths:
        print(path)
    return 0


def _page(arguments: argparse.Namespace, policy: Policy) -> Page:
    from querybudget.report.log_report import log_page  # noqa: PLC0415

    sources: list[str] = arguments.source
    stores = [source for source in sources if "://" in source]
    if "-" in sources:
        raise SetupError("expected a file, which is read twice, found the standard input")
    if not stores:
        return log_page(
            _titled(sources),
            policy,
            lambda: records_of(arguments, sources, policy.secret, prompts=policy.counts_buckets),
        )
    if len(sources) > 1:
        raise SetupError("expected traffic logs or one store, found a store and more")
    (source,) = stores
    scheme = source.partition("://")[0]
    guarantees = SCHEMES.get(scheme)
    if guarantees is not None and guarantees.reach == "process":
        raise SetupError(
            f"expected a traffic log or the URL of a store that several processes share, found"
            f" {scheme}://, which is of one process"
        )
    return asyncio.run(_store_page(source, policy))


def _titled(logs: Sequence[str]) -> str:
    """Return what the page calls its logs: the first, and how many more there are."""
    more = len(logs) - 1
    return f"{Path(logs[0]).name} and {more:,} more" if more else logs[0]


async def _store_page(url: str, policy: Policy) -> Page:
    from querybudget.admin import LocalAdmin  # noqa: PLC0415
    from querybudget.cli.operator import without_functions  # noqa: PLC0415
    from querybudget.limiter import Limiter  # noqa: PLC0415
    from querybudget.redact import redact_url  # noqa: PLC0415
    from querybudget.report.store_report import store_page  # noqa: PLC0415

    async with Limiter(without_functions(policy), store=url) as limiter:
        codebook = getattr(limiter.analyzer, "codebook", None) if policy.secret else None
        return await store_page(redact_url(url), LocalAdmin(limiter), codebook)
