"""The board on a terminal: a live table, or one line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from querybudget.demo.board import Board, Row
from querybudget.quota import MICRO, Unit

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["printer", "summary", "table"]

_COLUMNS = ("caller", "asks", "sent", "admitted", "refused by", "used", "left", "money")


def printer() -> Callable[[str, str], None]:
    """Prints what happens, with the seconds since now."""
    start = time.monotonic()

    def note(name: str, text: str) -> None:
        print(f"{time.monotonic() - start:6.2f}s  {name:12} {text}", flush=True)

    return note


def table(board: Board, url: str) -> Table:
    """The board as it stands."""
    from rich.table import Table as RichTable  # noqa: PLC0415 - an extra
    from rich.text import Text  # noqa: PLC0415

    caption = f"tokens of this minute, money of today; every call is real HTTP to {url}"
    grid = RichTable(title="querybudget", caption=caption, expand=True, show_lines=True)
    for column in _COLUMNS:
        right = column in {"sent", "admitted", "used", "left", "money"}
        grid.add_column(column, justify="right" if right else "left")
    for row in board.rows.values():
        name, asks, *figures = _cells(row)
        what = Text.assemble(asks, "\n", (_cut(row.last), "dim"))
        colour = "yellow" if row.refused else ""
        cells = [
            Text(cell, style=colour if at == _REFUSED else "") for at, cell in enumerate(figures)
        ]
        grid.add_row(Text(name, style="bold"), what, *cells)
    return grid


def summary(board: Board) -> str:
    """What came of it, in sentences."""
    lines = ["", "What each caller got:"]
    for row in board.rows.values():
        refused = row.refused.total()
        by = f" by {_refused(row)}" if refused else ""
        lines.append(
            f"  {row.name:12} sent {row.sent}, admitted {row.admitted}, refused {refused}{by};"
            f" {row.tokens:,} tokens, {_money(row)}"
        )
    return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    left = row.left.get(Unit.TOKENS)
    return (
        row.name,
        row.asks,
        f"{row.sent}",
        f"{row.admitted}",
        _refused(row) or "-",
        f"{row.tokens:,}",
        "-" if left is None else f"{left // MICRO:,}",
        _money(row),
    )


def _refused(row: Row) -> str:
    return ", ".join(f"{name} ({count})" for name, count in row.refused.items())


def _money(row: Row) -> str:
    return f"${Decimal(row.spent.get(Unit.USD, 0)) / MICRO:.5f}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


_REFUSED = 2
"""Which of the figures is coloured."""

_SHOWN = 110
