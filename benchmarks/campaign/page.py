"""The result as tables: on the terminal, and in docs/campaigns.md between markers.

`python -m benchmarks.campaign.page` puts those of benchmarks/results/campaign.json into the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sweep.report import Table

__all__ = ["BEGINS", "ENDS", "PAGE", "RESULT", "before", "filled", "show", "tables"]

HOME = Path(__file__).parents[2]
PAGE, RESULT = HOME / "docs/campaigns.md", HOME / "benchmarks/results/campaign.json"

Result = Mapping[str, Any]

BEGINS, ENDS = "<!-- campaign figures: begin -->", "<!-- campaign figures: end -->"

VERDICT = {True: "met", False: "not met", None: "not measured"}


def tables(result: Result) -> list[Table]:
    """Return the tables, the goals first."""
    return [_goals(result), _campaigns(result), _crowds(result), _before(result)]


def before(result: Result) -> dict[str, dict[str, Any]]:
    """Return what a later result shows of this one."""
    return {
        name: {member: one[member] for member in _SHOWN_LATER}
        for name, one in result["scenarios"].items()
    }


_SHOWN_LATER = (
    "share_of_corpus",
    "account_days_multiplier",
    "honest_disturbed",
    "honest_newcomers_disturbed",
    "honest_refused",
)


def show(result: Result) -> None:
    """Print the tables."""
    for table in tables(result):
        print("\n" + _written(table))


def filled(page: str, result: Result) -> str:
    """Return a page with the tables between its markers.

    Raises:
        ValueError: The page has no markers.
    """
    if BEGINS not in page or ENDS not in page:
        raise ValueError(f"expected the markers {BEGINS} and {ENDS}")
    before, _, rest = page.partition(BEGINS)
    after = rest.partition(ENDS)[2]
    inside = "\n\n".join(_written(table) for table in tables(result) if table.rows)
    return f"{before}{BEGINS}\n{inside}\n{ENDS}{after}"


def _goals(result: Result) -> Table:
    rows = [
        [
            row["goal"],
            row["wanted"],
            _text(row["measured"], row["wanted"]),
            VERDICT[row["met"]],
            _text(row.get("oracle"), row["wanted"]),
        ]
        for row in result["goals"]
    ]
    head = ["goal", "wanted", "measured", "", "an oracle at the first look"]
    return Table("Goals", head, rows)


def _campaigns(result: Result) -> Table:
    head = ["campaign", "accounts", "obtained", "in full at any price"]
    head += ["account-days to 90 %", "undefended", "first slowed", "established disturbed"]
    head += ["newcomers disturbed"]
    rows = [
        [
            name.replace("_", " "),
            f"{one['accounts']:,}",
            _percent(one["share_of_corpus"]),
            _percent(one["share_in_full_at_any_price"]),
            _count(one["account_days_to_90_percent"]),
            _count(one["undefended"]["account_days_to_90_percent"]),
            _after(one["time_to_first_slow_s"]),
            _percent(one["honest_disturbed"]),
            _percent(one["honest_newcomers_disturbed"]),
        ]
        for name, one in result["scenarios"].items()
    ]
    return Table("Campaigns", head, rows)


def _crowds(result: Result) -> Table:
    one = result["scenarios"].get("honest_crowds")
    rows = [
        [side, f"{seen['callers']:,}", _percent(seen["disturbed"]), _percent(seen["refused"])]
        for side, seen in (one["honest"] if one else {}).items()
    ]
    return Table("Honest crowds", ["who", "callers", "disturbed", "refused"], rows)


def _before(result: Result) -> Table:
    head = ["campaign", "obtained", "established disturbed", "newcomers disturbed"]
    head += ["honest refused"]
    rows = [
        [
            name.replace("_", " "),
            _percent(one["share_of_corpus"]),
            _percent(one["honest_disturbed"]),
            _percent(one["honest_newcomers_disturbed"]),
            str(one["honest_refused"]),
        ]
        for name, one in result.get("before", {}).items()
    ]
    return Table("The same before pools were tested by their members", head, rows)


def _written(table: Table) -> str:
    lines = [f"**{table.title}**", "", _row(table.head), _row(["---"] * len(table.head))]
    return "\n".join([*lines, *map(_row, table.rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: float | str | None, wanted: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return _percent(value) if "%" in wanted else f"{value:g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"


def _count(value: float | None) -> str:
    return "never" if value is None else f"{value:,}"


def _after(seconds: int | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds / 3_600:.1f} h"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(), json.loads(RESULT.read_bytes())))
