"""The pictures of a report: use over time, the map, scores, and windows side by side."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from querybudget.coverage.evidence import FIRST_LOOK
from querybudget.coverage.response import SUSPECT_SCORE
from querybudget.report.facts import Bins
from querybudget.report.honest import BAND
from querybudget.report.layout import SIDE
from querybudget.report.theme import (
    BLUE,
    FAINT,
    INK,
    MARKERS,
    MUTE,
    PAPER,
    RED,
    SERIES,
    SOFT,
    Draw,
    Look,
)
from querybudget.report.way import NO_CAPABILITY, Walk
from querybudget.report.window_uses import WindowUse
from querybudget.units import MICRO, SECOND

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from querybudget.report.store_report import StoredAccount

Axes = Any
"""matplotlib's: of its types, many are only known in part."""

SUSPECT = SUSPECT_SCORE / MICRO
_MINUTE = 60 * SECOND
_STEPS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000),
)
"""Seconds between labels of an axis of time: round times in UTC."""

TICKS = 4
MOST_NAMES = 6
"""Capabilities that have a colour of their own; the others share one."""

OTHERS = "others"


def short(account: str) -> str:
    """Return the beginning of an account's key, as logs show it."""
    return account[:12]


# -- Use over time -------------------------------------------------------------------------------


def use(used: Bins, refused: Bins, labels: Mapping[str, str], span: tuple[int, int]) -> Draw:
    """Draw what was used in each stretch of time, and above it how many calls were refused.

    Args:
        used: Use, by name.
        refused: Calls refused, by the same names.
        labels: What each name is called, and its unit.
        span: The first and the last moment, µs.
    """

    def draw(figure: Figure, look: Look) -> None:
        words = "" if look.narrow else "refused or would be: "
        rows = _rows(figure, len(labels))
        for axes, (name, label) in zip(rows, labels.items(), strict=True):
            axes.set_title(label)
            width = used.width / SECOND / 86_400
            row = used.amounts.get(name, {})
            days = [_day(number * used.width) for number in row]
            axes.bar(days, [*row.values()], width=width, align="edge", color=BLUE, linewidth=0)
            axes.set_ylim(bottom=0)
            axes.margins(x=0.01)
            _refusals(axes, refused.amounts.get(name, {}), refused.width, words)
            _plain_numbers(axes)
        _dates(rows, *span)

    return draw


def _refusals(axes: Axes, row: Mapping[int, float], width: int, words: str) -> None:
    if not row:
        return
    top = axes.get_ylim()[1]
    axes.set_ylim(top=top * 1.18)
    most = max(row.values())
    axes.scatter(
        [_day(number * width + width // 2) for number in row],
        [top * 1.08] * len(row),
        s=[10 + 40 * count / most for count in row.values()],
        marker="v",
        color=RED,
        linewidths=0,
        label=f"{words}{sum(row.values()):,.0f}",
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0, handletextpad=0.2)


def _rows(figure: Figure, count: int) -> list[Axes]:
    rows: Any = figure.subplots(count, 1, sharex=True, squeeze=False)
    return [row[0] for row in rows]


def _day(at: float) -> float:
    """Return a moment as matplotlib counts: days since the epoch."""
    return at / SECOND / 86_400


def _dates(rows: Sequence[Axes], begin: int, end: int, most: int = 6) -> None:
    """Label the axis below in UTC, at round times, as finely as the stretch of time asks."""
    formatter = import_module("matplotlib.dates").DateFormatter
    span = max(1, end - begin)
    step = next((one * SECOND for one in _STEPS if span <= most * one * SECOND), span // most)
    ticks = [_day(at) for at in range(begin - begin % step + step, end + 1, step)]
    days = step >= _STEPS[-4] * SECOND
    form = "%d %b" if days else "%H:%M:%S" if step < _MINUTE else "%H:%M"
    several = begin // (_STEPS[-4] * SECOND) != end // (_STEPS[-4] * SECOND)
    form = "%d %b\n%H:%M" if several and not days else form
    for axes in rows:
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(formatter(form, tz=dt.UTC))
    date = dt.datetime.fromtimestamp(begin / SECOND, dt.UTC)
    rows[-1].set_xlabel(f"{date:%Y}, UTC" if several or days else f"{date:%Y-%m-%d}, UTC")


def _plain_numbers(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: PLC0415 - an extra

    axes.yaxis.set_major_locator(MaxNLocator(TICKS, integer=axes.get_ylim()[1] > TICKS))
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))


def shares(used: Mapping[str, Sequence[float]]) -> Draw:
    """Draw how many accounts have used which share of each budget; those in debt stand at 1."""

    def draw(figure: Figure, _: Look) -> None:
        from matplotlib.ticker import MaxNLocator, PercentFormatter  # noqa: PLC0415 - an extra

        rows = _rows(figure, len(used))
        for axes, (name, values) in zip(rows, used.items(), strict=True):
            axes.set_title(f"{name}: {len(values):,} accounts")
            axes.hist([min(value, 1.0) for value in values], bins=20, range=(0, 1), color=BLUE)
            axes.axvline(1, color=RED, linewidth=1, linestyle="--")
            axes.yaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
            axes.xaxis.set_major_formatter(PercentFormatter(1))
        rows[-1].set_xlabel("share of the limit that is used")

    return draw


# -- The map -------------------------------------------------------------------------------------


def walk_map(walks: Sequence[tuple[str, Walk]], places: NDArray[Any]) -> Draw:
    """Draw the ways of some callers over the map, a panel for each.

    Args:
        walks: What each is called, and its way.
        places: `querybudget.report.layout.layout`.
    """
    names = _names([walk for _, walk in walks])

    def draw(figure: Figure, look: Look) -> None:
        for axes, (title, walk) in zip(_panels(figure, look, len(walks)), walks, strict=True):
            _ground(axes, title)
            points = places[[step.cell for step in walk.steps]] + 0.5
            axes.plot(points[:, 0], points[:, 1], color=INK, alpha=0.18, linewidth=0.6)
            for name, color, marker in _styles(names):
                chosen = [n for n, step in enumerate(walk.steps) if _named(step, names) == name]
                axes.scatter(
                    points[chosen, 0],
                    points[chosen, 1],
                    s=13,
                    marker=marker,
                    color=color,
                    linewidths=0,
                    label=name.replace("_", " "),
                )
        _legend(figure.axes[0], look, markerscale=1.6)

    return draw


def covered_map(accounts: Sequence[tuple[str, Sequence[int]]], places: NDArray[Any]) -> Draw:
    """Draw the cells that some accounts may have entered.

    Args:
        accounts: What each is called, and cells: of each pair, it has entered one at least.
        places: `querybudget.report.layout.layout`.
    """

    def draw(figure: Figure, look: Look) -> None:
        for axes, (title, cells) in zip(
            _panels(figure, look, len(accounts)), accounts, strict=True
        ):
            _ground(axes, title)
            points = places[list(cells)] + 0.5
            axes.scatter(points[:, 0], points[:, 1], s=7, marker="s", color=BLUE, linewidths=0)

    return draw


def _panels(figure: Figure, look: Look, count: int) -> list[Axes]:
    across = 1 if look.narrow else count
    grid: Any = figure.subplots(count // across, across, squeeze=False)
    return [axes for row in grid for axes in row]


def _ground(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_aspect("equal")
    axes.set_xlim(0, SIDE)
    axes.set_ylim(0, SIDE)
    axes.set_facecolor(SOFT)
    axes.set_xticks(range(0, SIDE + 1, 4), labels=[])
    axes.set_yticks(range(0, SIDE + 1, 4), labels=[])
    axes.tick_params(length=0)
    axes.grid(color=PAPER, linewidth=1)


def _names(walks: Sequence[Walk]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for walk in walks:
        for step in walk.steps:
            counts[step.capability] = counts.get(step.capability, 0) + 1
    counts.pop(NO_CAPABILITY, None)
    return tuple(sorted(counts, key=lambda name: -counts[name])[:MOST_NAMES])


def _named(step: Any, names: Sequence[str]) -> str:  # noqa: ANN401 - a step
    if step.capability == NO_CAPABILITY:
        return NO_CAPABILITY
    return step.capability if step.capability in names else OTHERS


def _styles(names: Sequence[str]) -> list[tuple[str, str, str]]:
    styles = [
        (name, color, marker) for name, color, marker in zip(names, SERIES, MARKERS, strict=False)
    ]
    return [*styles, (OTHERS, INK, "*"), (NO_CAPABILITY, MUTE, ".")]


# -- Scores --------------------------------------------------------------------------------------


def scores(walks: Sequence[tuple[str, Walk]], what: str) -> Draw:
    """Draw scores as new ground grows, against the band of the honest.

    Args:
        walks: What each caller is called, and its way.
        what: What the scores are: ``sweep score`` or ``strain``.
    """

    def draw(figure: Figure, look: Look) -> None:
        axes = _band(figure, look, what)
        for number, (title, walk) in enumerate(walks):
            axes.plot(
                [max(1, ground) for ground in walk.ground],
                walk.scores,
                color=SERIES[number],
                marker=MARKERS[number],
                markevery=0.15,
                markersize=4.5,
                linewidth=1.6,
                label=title,
            )
        axes.set_ylim(top=max(1.1, *(1.05 * max(walk.scores, default=0) for _, walk in walks)))
        _legend(axes, look, columns=1 if look.narrow else 3)

    return draw


def stored_scores(accounts: Sequence[StoredAccount]) -> Draw:
    """Draw each account's score against how many pairs of cells it has entered."""

    def draw(figure: Figure, look: Look) -> None:
        axes = _band(figure, look, "sweep score")
        axes.scatter(
            [max(1, account.ground) for account in accounts],
            [account.score / MICRO for account in accounts],
            s=18,
            color=BLUE,
            linewidths=0,
            alpha=0.8,
            label="an account",
        )
        _legend(axes, look)

    return draw


def _band(figure: Figure, look: Look, what: str) -> Axes:
    axes: Axes = figure.subplots()
    looks = [row[0] for row in BAND]
    most, nearly = ([row[n] for row in BAND] for n in (2, 3))
    axes.fill_between(
        looks, 0, nearly, color=FAINT, linewidth=0, alpha=0.5, label="99 % of honest callers"
    )
    axes.fill_between(looks, 0, most, color=FAINT, linewidth=0, label="90 % of honest callers")
    axes.axhline(SUSPECT, color=RED, linewidth=1, linestyle="--", label="suspect")
    axes.axvline(FIRST_LOOK, color=FAINT, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlim(8, 1_000)
    axes.set_ylim(0, 1.1)
    ticks = [10, FIRST_LOOK, 100, 320, 1_000]
    axes.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("new ground: chunks that entered cells where the caller had not been")
    axes.set_ylabel(what)
    if look.narrow:
        axes.set_xlabel("new ground (chunks)")
    return axes


def _legend(axes: Axes, look: Look, *, markerscale: float = 1, columns: int = 0) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure: Any = axes.figure
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns or (2 if look.narrow else 4),
        markerscale=markerscale,
    )


# -- Windows -------------------------------------------------------------------------------------


def windows(uses: Sequence[WindowUse], unit: str) -> Draw:
    """Draw what one account's traffic uses of one limit in each kind of window."""

    def draw(figure: Figure, look: Look) -> None:
        across = 1 if look.narrow else len(uses)
        shape = (len(uses) // across, across)
        grid: Any = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
        panels = [axes for row in grid for axes in row]
        for axes, one in zip(panels, uses, strict=True):
            days = [_day(at) for at in one.times]
            axes.set_title(f"{one.name}: {len(one.refused):,} refused")
            axes.fill_between(days, 0, one.used, color=BLUE, alpha=0.35, linewidth=0)
            axes.plot(days, one.used, color=BLUE, linewidth=1)
            axes.axhline(one.limit, color=INK, linewidth=1, linestyle="--")
            marks = [_day(at) for at in one.refused]
            axes.scatter(marks, [one.limit * 1.1] * len(marks), marker="v", s=14, color=RED)
            axes.set_ylim(0, one.limit * 1.25)
            _plain_numbers(axes)
        for row in grid:
            row[0].set_ylabel(unit)
        _dates(panels, uses[0].times[0], uses[0].times[-1], 5 if look.narrow else 4)

    return draw
