"""The report of a traffic log. The log is read twice: to add it up, and for a few callers."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from querybudget import text
from querybudget.coverage import Reason
from querybudget.errors import SetupError
from querybudget.limiter.analysis import PromptAnalyzer, analyzer_for
from querybudget.policy.model import Budget, Policy
from querybudget.report import pictures
from querybudget.report.facts import CallerFacts, LogFacts
from querybudget.report.page import Column, Page, Section, Tile
from querybudget.report.pictures import short
from querybudget.report.way import Walk, walk_of
from querybudget.report.window_uses import busiest, uses
from querybudget.traffic import Problem, read
from querybudget.traffic.recognising import too_little
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO, NO_TIME

if TYPE_CHECKING:
    from querybudget.embedding.codebook import Codebook

MOST_SWEEPERS = 2
"""Sweepers whose way is drawn, beside that of an ordinary caller."""

MOST_CALLS = 5_000
"""Calls of one caller that are looked at in detail: the first ones."""

MOST_ROWS = 20
"""Callers in a table."""

MOST_BUDGETS = 6
"""Budgets whose use is drawn."""

EXAMPLES = 3
_SECRET_BYTES = 32
ORDINARY, SUSPECT = 300_000, 650_000
"""Strain below which a caller is taken for an ordinary one, and from which on it is suspect."""

Records = Callable[[], Iterator[TrafficRecord | Problem]]
"""Reads the log from its beginning."""

SWEEPERS = (
    Column("Caller", code=True),
    Column("Tier"),
    Column("Calls", number=True),
    Column("New ground", number=True),
    Column("Strain", number=True),
    Column("Price", number=True),
    Column("Stage"),
    Column("Reasons"),
)
DISTURBED = (
    Column("Caller", code=True),
    Column("Tier"),
    Column("Calls", number=True),
    Column("Refused", number=True),
    Column("Slowed", number=True),
    Column("In shadow", number=True),
    Column("By"),
    Column("First disturbed"),
)


def log_page(path: str | Path, policy: Policy, records: Records | None = None) -> Page:
    """Return the report of a traffic log.

    Args:
        path: As `querybudget.traffic.read` takes it; beside `records`, what the page calls it.
        policy: The policy that decided.
        records: Reads the log, or several, the same each time; by default as
            `querybudget.traffic.read` does.

    Raises:
        OSError: The log cannot be read.
        SetupError: It is of no known format, or most of it cannot be read.
    """
    secret = policy.secret or os.urandom(_SECRET_BYTES)

    def usual() -> Iterator[TrafficRecord | Problem]:
        return read(path, secret=secret, prompts=policy.counts_buckets)

    records = records or usual
    facts = add_up(records())
    if facts.problems and (wrong := too_little(facts.calls, facts.problems, facts.examples[0])):
        raise SetupError(f"{path}: {wrong}")
    chosen = _chosen(facts)
    calls = _calls_of(records(), {one.account for one in chosen})
    analyzer = analyzer_for(policy, policy.secret or hashlib.sha256(b"report").digest())
    walks = asyncio.run(_walks(chosen, calls, analyzer))
    page = Page(f"Traffic of {Path(path).name}", _about(facts), _tiles(facts), _notes(facts))
    page.sections = [
        _use(facts, policy),
        _map(facts, walks, getattr(analyzer, "codebook", None)),
        _scores(walks),
        _windows(policy, calls),
        _sweepers(facts),
        _disturbed(facts),
    ]
    return page


def add_up(items: Iterator[TrafficRecord | Problem]) -> LogFacts:
    """Add a log up."""
    facts = LogFacts()
    for item in items:
        if isinstance(item, Problem):
            facts.problems += 1
            if len(facts.examples) < EXAMPLES:
                facts.examples.append(str(item))
        else:
            facts.add(item)
    return facts


def _chosen(facts: LogFacts) -> list[CallerFacts]:
    """Choose the callers who are looked at in detail: sweepers, and the busiest ordinary one."""
    found = facts.sweepers[:MOST_SWEEPERS]
    busiest = sorted(facts.callers.values(), key=lambda one: (-one.calls, one.account))
    ordinary = [one for one in busiest if one not in found and one.strain < ORDINARY]
    return [*found, *ordinary[:1]]


def _calls_of(
    items: Iterator[TrafficRecord | Problem], accounts: set[str]
) -> dict[str, list[TrafficRecord]]:
    calls: dict[str, list[TrafficRecord]] = {account: [] for account in accounts}
    for item in items:
        if isinstance(item, Problem) or item.identity not in accounts:
            continue
        if len(calls[item.identity]) < MOST_CALLS:
            calls[item.identity].append(item)
    for records in calls.values():
        records.sort(key=lambda record: record.at)
    return calls


async def _walks(
    chosen: Sequence[CallerFacts],
    calls: Mapping[str, Sequence[TrafficRecord]],
    analyzer: PromptAnalyzer | None,
) -> list[tuple[str, Walk]]:
    walks: list[tuple[str, Walk]] = []
    for one in chosen:
        walk = await walk_of(one.account, calls[one.account], analyzer)
        kind = (
            "ordinary"
            if one.strain < ORDINARY
            else "suspect"
            if one.strain >= SUSPECT
            else "in between"
        )
        walks.append((f"{short(one.account)}: {kind}, {one.calls:,} calls", walk))
    return walks


# -- The parts of the page -----------------------------------------------------------------------


def _about(facts: LogFacts) -> str:
    if not facts.calls:
        return "The log holds no calls."
    policies = ", ".join(sorted(facts.policies)[:EXAMPLES]) or "not said"
    span = f"{text.moment(facts.first)} to {text.moment(facts.last)}"
    return f"{span}. Policy: {policies}."


def _tiles(facts: LogFacts) -> list[Tile]:
    callers = facts.callers.values()
    slowed = sum(one.slowed for one in callers)
    disturbed = sum(1 for one in callers if one.refused or one.slowed)
    shadowed = sum(1 for one in callers if one.shadowed)
    return [
        Tile(f"{facts.calls:,}", "calls"),
        Tile(f"{len(callers):,}", "callers"),
        Tile(_share(facts.refusals, facts.calls), "of calls refused"),
        Tile(_share(slowed, facts.calls), "of calls slowed or degraded"),
        Tile(_share(disturbed, len(callers)), "of callers disturbed"),
        Tile(_share(shadowed, len(callers)), "of callers disturbed in shadow"),
    ]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %" if whole else "0 %"


def _notes(facts: LogFacts) -> list[str]:
    notes: list[str] = []
    if facts.problems:
        examples = "; ".join(facts.examples)
        notes.append(f"{facts.problems:,} lines could not be read and are left out: {examples}.")
    if len(facts.policies) > 1:
        notes.append("Several policies decided these calls: limits may have changed meanwhile.")
    return notes


def _use(facts: LogFacts, policy: Policy) -> Section:
    budgets = {budget.name: _label(budget) for budget in policy.budgets}
    names = {name: budgets[name] for name in budgets if name in facts.used.amounts}
    used = facts.used if names else facts.units
    if not names:
        names = {name: name for name in facts.units.amounts}
    names = dict([*names.items()][:MOST_BUDGETS])
    section = Section(
        "use",
        "Use over time",
        "What all callers together used of each budget. Triangles are stretches in which it refused"
        " calls, or in shadow would have; larger ones refused more.",
        alt="Bars of use over time, one row for each budget.",
        heights=(max(2.4, 1.45 * len(names)), max(2.4, 1.35 * len(names))),
    )
    if names:
        section.draw = pictures.use(used, facts.refused, names, (facts.first, facts.last))
    if not facts.charged:
        section.missing = (
            "The log does not say what budgets were charged: requests and tokens stand in."
        )
    return section


def _label(budget: Budget) -> str:
    shadow = " (shadow)" if budget.mode.value == "shadow" else ""
    return f"{budget.name}: {text.limit(budget.quota)}{shadow}"


def _map(facts: LogFacts, walks: Sequence[tuple[str, Walk]], codebook: Codebook | None) -> Section:
    section = Section(
        "map",
        "Coverage map",
        "Each place is a cell of the codebook, and near places stand for like prompts. A mark is a"
        " cell that the caller entered, by the capability that is asked for there; the line follows"
        " the order. Whoever walks everywhere is going through what the model can do.",
        alt="Maps of the cells that callers entered, one for each caller.",
        heights=(5.6, 9.4),
    )
    walked = [(title, walk) for title, walk in walks if walk.steps]
    shown = [walked[0], walked[-1]] if len(walked) > 1 else walked
    if codebook is None:
        section.missing = "No budget of the policy counts buckets, so there is no map."
    elif not shown:
        section.missing = (
            "Prompts were not logged, so it cannot be said which cells calls entered. Log them, or"
            " make a report of the store, which remembers cells without their order."
            if not facts.texts
            else "The callers that are shown entered no cells."
        )
    else:
        from querybudget.report.layout import layout  # noqa: PLC0415 - takes a second or two

        section.draw = pictures.walk_map(shown, layout(codebook))
        section.heights = (5.6, 4.7 * len(shown) + 0.6)
    return section


def _scores(walks: Sequence[tuple[str, Walk]]) -> Section:
    exact = any(walk.steps for _, walk in walks)
    what = "sweep score" if exact else "strain"
    section = Section(
        "score",
        "Score against the band of the honest",
        "How suspect callers became as they covered new ground, beside what honest callers of the"
        " benchmark reached after as much. The score begins at 32 chunks. At 0.65 a caller is"
        " suspect, which at most 0.75 % of honest callers ever are; none of them reached 1.",
        alt="Lines of callers' scores over new ground, with the band of honest callers behind.",
        heights=(4.2, 5.0),
    )
    if any(any(walk.ground) for _, walk in walks):
        section.draw = pictures.scores(walks, what)
        if not exact:
            section.missing = (
                "Prompts were not logged. The lines show strain, the larger of the score and the"
                " spent share, over the buckets newly entered."
            )
    else:
        section.missing = "No call was examined for coverage."
    return section


def _windows(policy: Policy, calls: Mapping[str, Sequence[TrafficRecord]]) -> Section:
    section = Section(
        "windows",
        "Three windows side by side",
        "",
        alt="Use of one limit over time in a sliding, a GCRA and a calendar window.",
        heights=(3.2, 6.4),
    )
    best = busiest(policy, calls)
    if best is None:
        section.missing = "No call used any budget that has a window."
        return section
    budget, account, amounts = best
    section.words = (
        f"What the traffic of {short(account)} would use of {budget.name}"
        f" ({text.limit(budget.quota)}) in each kind of window, in its busiest stretch. A triangle"
        " is a call that would be refused. gcra drains at an even rate; calendar begins anew at"
        " whole multiples of its length."
    )
    section.draw = pictures.windows(uses(budget.quota, amounts), text.unit_name(budget.quota.unit))
    return section


def _sweepers(facts: LogFacts) -> Section:
    rows = [
        (
            short(one.account),
            one.tier,
            f"{one.calls:,}",
            f"{one.ground:,}",
            _factor(one.strain),
            _factor(one.price),
            one.stage,
            reasons_in_words(one.reasons),
        )
        for one in facts.sweepers[:MOST_ROWS]
    ]
    return Section(
        "sweepers",
        "Top sweepers",
        "Callers by how far they came in budgets of buckets, and what their score consists of.",
        columns=SWEEPERS,
        rows=rows,
        missing="" if rows else "No caller came anywhere in a budget of buckets.",
    )


def _disturbed(facts: LogFacts) -> Section:
    found = facts.disturbed
    rows = [
        (
            short(one.account),
            one.tier,
            f"{one.calls:,}",
            f"{one.refused:,}",
            f"{one.slowed:,}",
            f"{one.shadowed:,}",
            _budgets(one.by),
            text.moment(one.disturbed) if one.disturbed != NO_TIME else "only in shadow",
        )
        for one in found[:MOST_ROWS]
    ]
    more = f" The first {MOST_ROWS} of {len(found):,}." if len(found) > MOST_ROWS else ""
    return Section(
        "disturbed",
        "Callers disturbed",
        "Callers whose calls were refused, slowed or degraded, or in shadow would have been."
        + more,
        columns=DISTURBED,
        rows=rows,
        missing="" if rows else "No caller was disturbed.",
    )


def _budgets(by: Counter[str]) -> list[str]:
    return [f"{name} {count:,}" for name, count in by.most_common()]


def _factor(millionths: int) -> str:
    return f"{millionths / MICRO:.2f}"


def reasons_in_words(reasons: Sequence[Reason]) -> list[str]:
    """Return what a score consists of, strongest first."""
    return [f"{reason.signal} {reason.share / MICRO:+.2f}" for reason in reasons]
