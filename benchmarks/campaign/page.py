"""The result as tables: on the terminal, and in docs/campaigns.md between markers.

`python -m benchmarks.campaign.page` puts those of benchmarks/results/campaign.json into the page,
and what they come to into the README.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.sweep.report import Table

__all__ = [
    "BEGINS",
    "ENDS",
    "PAGE",
    "README",
    "RESULT",
    "before",
    "filled",
    "show",
    "summed_up",
    "tables",
]

HOME = Path(__file__).parents[2]
PAGE, RESULT = HOME / "docs/campaigns.md", HOME / "benchmarks/results/campaign.json"
README = HOME / "README.md"

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
    return _between(page, "\n\n".join(_written(table) for table in tables(result) if table.rows))


def summed_up(page: str, result: Result) -> str:
    """Return a page with what the figures come to between its markers, in sentences.

    Raises:
        ValueError: The page has no markers.
        KeyError: A scenario that it speaks of was not measured.
    """
    return _between(page, fill(_summary(result["scenarios"]), 118))


def _summary(found: Mapping[str, Any]) -> str:
    """Return in sentences what campaigns obtain, and what it costs honest callers."""
    share = {name: one["share_of_corpus"] for name, one in found.items()}
    tied = max(share["organisation_shared"], share["network_shared"], share["payment_shared"])
    worded = max(share[f"template_{one}"] for one in ("same", "word", "date"))
    whole = found["nothing_shared"]
    disturbed = [
        max(one[member] for one in found.values() if one[member] is not None)
        for member in ("honest_disturbed", "honest_newcomers_disturbed")
    ]
    refused = sum(one["honest_refused"] for one in found.values())
    return (
        "In [a simulation](docs/campaigns.md#how-well-it-does), 1,000 new accounts ask 26 times a"
        f" day each. They obtain at most {_round(tied)} of the sweep if they share an organisation,"
        f" a network or a payment method, and at most {_round(worded)} with one system prompt,"
        " other words and dates in it included. With all of it in other words for each account"
        f" they obtain {_round(share['template_paraphrase'])}. If they share nothing and are half"
        f" of all newcomers, they obtain {_round(share['nothing_shared'])}, or"
        f" {_round(whole['share_in_full_at_any_price'])} at any price; if they are one newcomer in"
        f" fifty, {_round(share['nothing_shared_2_percent'])}; with one topic for each account,"
        f" {_round(share['topic_each'])}. Beside the worst of these campaigns,"
        f" {_round(disturbed[0])} of the established callers and {_round(disturbed[1])} of the"
        f" honest newcomers are slowed or degraded. Honest callers refused: {refused or 'none'}."
        f" {whole['simulated']['accounts']} accounts are simulated for the thousand."
        + _others(share)
    )


def _others(share: Mapping[str, float]) -> str:
    """Return in a sentence what campaigns obtain of other sweeps than that of the goals, if any."""
    worded, alone = (
        sorted(found for name, found in share.items() if name.startswith(f"{kind} of "))
        for kind in ("template_word", "nothing_shared")
    )
    if not (alone and worded):
        return ""
    return (
        f" All this is of the largest sweep. Of {len(alone)} others they obtain"
        f" {_listed(alone)} where they share nothing, and {_listed(worded)} with a word of one"
        " system prompt changed for each: what the score does not find, pools do not hold."
    )


def _listed(shares: Sequence[float]) -> str:
    *first, last = map(_round, shares)
    return f"{', '.join(first)} and {last}" if first else last


def _round(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 0.995 else "100 %"


def _between(page: str, text: str) -> str:
    if BEGINS not in page or ENDS not in page:
        raise ValueError(f"expected the markers {BEGINS} and {ENDS}")
    before, _, rest = page.partition(BEGINS)
    return f"{before}{BEGINS}\n{text}\n{ENDS}{rest.partition(ENDS)[2]}"


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
    last = json.loads(RESULT.read_bytes())
    PAGE.write_text(filled(PAGE.read_text(), last))
    README.write_text(summed_up(README.read_text(), last))
