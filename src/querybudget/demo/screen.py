"""The board on a terminal: a live table, or one line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from querybudget.demo.board import Board, Row
from querybudget.text import dollars
from querybudget.units import MICRO, Unit

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["printer", "screen", "summary"]

_COLUMNS = ("caller", "sent", "refused by", "tokens", "money", "buckets", "price", "stage")
_WORDS = frozenset({"caller", "refused by", "stage"})


def printer() -> Callable[[str, str], None]:
    """Return a function that prints what happens, with the seconds since now."""
    start = time.monotonic()

    def note(name: str, text: str) -> None:
        print(f"{time.monotonic() - start:6.2f}s  {name:12} {text}", flush=True)

    return note


def screen(board: Board, url: str) -> Group:
    """Return the board: figures above, words below, within 80 columns and 24 lines."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - an extra
    from rich.console import Group  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    title = f"querybudget: real HTTP, to {url}"
    figures = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True)
    for column in _COLUMNS:
        figures.add_column(column, justify="left" if column in _WORDS else "right", no_wrap=True)
    happens = Table.grid(padding=(0, 2), expand=True)
    happens.add_column(no_wrap=True)
    happens.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for row in board.rows.values():
        colour = "yellow" if row.refused else ""
        figures.add_row(*(Text(cell, style=colour) for cell in _cells(row)))
        text = Text.assemble((row.asks, "bold"), f": {row.last}" if row.last else "")
        happens.add_row(Text(f" {row.name}", style=colour), text)
    return Group(figures, happens)


def summary(board: Board) -> str:
    """Return the results, in sentences."""
    lines = ["", "What each caller got:"]
    for row in board.rows.values():
        refused = row.refused.total()
        by = f" by {_refused(row)}" if refused else ""
        lines.append(
            f"  {row.name:12} sent {row.sent}, admitted {row.admitted}, refused {refused}{by};"
            f" {row.tokens:,} tokens, {_money(row)}{_coverage(row)}"
        )
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.sent}",
        _refused(row) or "-",
        f"{row.tokens:,}",
        _money(row),
        _buckets(row),
        _price(row),
        "-" if row.stage == "none" else row.stage,
    )


def _coverage(row: Row) -> str:
    if Unit.BUCKETS not in row.spent:
        return ""
    done = ", ".join(f"{name} ({count})" for name, count in row.stages.items())
    buckets = "bucket" if row.spent[Unit.BUCKETS] == MICRO else "buckets"
    return f"; {_buckets(row)} {buckets}, last price {_price(row)}{', ' if done else ''}{done}"


def _buckets(row: Row) -> str:
    spent = row.spent.get(Unit.BUCKETS)
    return "-" if spent is None else f"{spent // MICRO:,}"


def _price(row: Row) -> str:
    return f"{Decimal(row.price) / MICRO:.1f}"


def _refused(row: Row) -> str:
    return ", ".join(f"{name} ({count})" for name, count in row.refused.items())


def _money(row: Row) -> str:
    return dollars(row.spent.get(Unit.USD, 0), places=5)
