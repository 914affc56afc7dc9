"""What happens to each caller's calls, and how a terminal shows it: live, or line by line."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from querybudget.events import DecisionEvent
from querybudget.policy.model import Budget
from querybudget.stores import Store
from querybudget.text import dollars
from querybudget.units import MICRO, Unit

if TYPE_CHECKING:
    from rich.console import Group

_SIGNALS = {"members": "others with this prompt", "population": "newcomers alike"}
_COLUMNS = ("caller", "sent", "refused by", "tokens", "money", "buckets", "price", "stage")
_WORDS = frozenset({"caller", "refused by", "stage"})
_WAIT = "try again in "


class Row(msgspec.Struct, eq=False):
    """One caller, or several that are alike.

    Attributes:
        asks: What it does, in a few words.
        keys: The key of the identity of each account.
        refused: Calls refused, by budget.
        tokens: Tokens settled.
        spent: What is used of its smallest budget of each unit, µ-units; of all accounts together.
        limits: The limits of these budgets, µ-units, likewise.
        price: The price of its last call, in millionths.
        stage: The stage of its last call: ``none``, ``slow``, ``degrade`` or ``refuse``.
        stages: Number of calls at each stage but ``none``.
        last: The last thing that happened.
    """

    name: str
    asks: str
    keys: tuple[str, ...]
    sent: int = 0
    admitted: int = 0
    refused: Counter[str] = msgspec.field(default_factory=Counter[str])
    tokens: int = 0
    spent: dict[Unit, int] = msgspec.field(default_factory=dict[Unit, int])
    limits: dict[Unit, int] = msgspec.field(default_factory=dict[Unit, int])
    price: int = MICRO
    stage: str = "none"
    stages: Counter[str] = msgspec.field(default_factory=Counter[str])
    last: str = ""


class Board:
    """All callers. `note` is called with a caller's name and what happened to it."""

    def __init__(self, budgets: Sequence[Budget], note: Callable[[str, str], None]) -> None:
        self.rows: dict[str, Row] = {}
        self._by_key: dict[str, Row] = {}
        own = [budget.quota for budget in budgets if budget.per == ("identity",)]
        self._shown = [q for q in own if q.unit in {Unit.TOKENS, Unit.USD, Unit.BUCKETS}]
        self._note = note

    def add(self, row: Row) -> None:
        """Add a caller."""
        self.rows[row.name] = row
        self._by_key |= dict.fromkeys(row.keys, row)

    def say(self, name: str, text: str) -> None:
        """Note what happened to a caller, once if it is repeated with another wait."""
        row = self.rows[name]
        news = row.last.partition(_WAIT)[0] != text.partition(_WAIT)[0]
        row.last = text
        if news:
            self._note(name, text)

    def on_event(self, event: DecisionEvent) -> None:
        """Count a decision: a hook of the server's limiter."""
        row = self._by_key.get(event.identity.key)
        if row is None:
            return
        self._follow(row, event)
        if event.verdict != "admit":
            row.refused[", ".join(event.violated) or event.verdict] += 1
            return
        row.admitted += 1
        if event.usage is not None:
            row.tokens += event.usage.input + event.usage.output
            if event.usage.estimated:
                self._note_estimate(row, event)

    def _follow(self, row: Row, event: DecisionEvent) -> None:
        """Note the call's stage when it is the first call at it."""
        if event.stage != "none":
            row.stages[event.stage] += 1
        first, row.stage = row.stages[event.stage] == 1, event.stage
        if first:
            why = ", ".join(
                _SIGNALS.get(reason.signal, reason.signal)
                for reason in event.reasons
                if reason.share > 0
            )
            text = f"stage {event.stage}, at a price of {event.price / MICRO:.1f}"
            self._note(row.name, f"{text}, because of {why}" if why else text)
        row.price = event.price

    def _note_estimate(self, row: Row, event: DecisionEvent) -> None:
        used, held = event.usage, event.expected
        if used is not None and used.output < held.output:
            self.say(
                row.name,
                f"settled at the {used.output} tokens that were sent; {held.output} were reserved",
            )

    async def refresh(self, store: Store) -> None:
        """Look up what each caller has used."""
        for row in self.rows.values():
            figures = [await store.peek(key, self._shown) for key in row.keys]
            for quota, lefts in zip(self._shown, zip(*figures, strict=True), strict=True):
                row.spent[quota.unit] = sum(quota.limit - left for left, _ in lefts)
                row.limits[quota.unit] = len(row.keys) * quota.limit


def printer() -> Callable[[str, str], None]:
    """Return a function that prints what happens, with the seconds since now."""
    start = time.monotonic()

    def note(name: str, text: str) -> None:
        print(f"{time.monotonic() - start:6.2f}s  {name:12} {text}", flush=True)

    return note


def screen(board: Board, url: str) -> Group:
    """Return the board: figures above, words below, within 80 columns and 24 lines.

    There are no words about callers whose calls are all answered as usual.
    """
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
        done = _stages(row) or row.last
        if done == "answered":
            continue
        text = Text.assemble((row.asks, "bold"), f": {done}" if done else "")
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
    done = _stages(row)
    limit = row.limits[Unit.BUCKETS] // MICRO
    spent = f"; {row.spent[Unit.BUCKETS] // MICRO:,} of {limit:,} buckets"
    return f"{spent}, last price {_price(row)}{', ' if done else ''}{done}"


def _stages(row: Row) -> str:
    """How many of its calls were at each stage."""
    return ", ".join(f"{name} ({count})" for name, count in row.stages.items())


def _buckets(row: Row) -> str:
    spent = row.spent.get(Unit.BUCKETS)
    if spent is None:
        return "-"
    if len(row.keys) > 1:
        return f"{spent // MICRO:,}"
    return f"{spent // MICRO:,}/{row.limits[Unit.BUCKETS] // MICRO:,}"


def _price(row: Row) -> str:
    return f"{Decimal(row.price) / MICRO:.1f}"


def _refused(row: Row) -> str:
    return ", ".join(f"{name} ({count})" for name, count in row.refused.items())


def _money(row: Row) -> str:
    return dollars(row.spent.get(Unit.USD, 0), places=5)
