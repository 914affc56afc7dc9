"""What a replay found, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from querybudget.replay.results import (
    CallerCount,
    Changed,
    Count,
    Difference,
    Happening,
    Played,
    Replayed,
)
from querybudget.text import moment

SHOWN = 12
"""Digits of an identity's key that are shown, as in logs; at least 8 name it."""

NAMED = 3
"""Identities that are named in a line."""

_WORDS = {
    Happening.REFUSED: "refused",
    Happening.SLOWED: "slowed",
    Happening.DEGRADED: "degraded",
    Happening.PRICED: "priced above 1",
    Happening.WOULD_REFUSE: "would be refused",
    Happening.WOULD_SLOW: "would be slowed, degraded or refused",
    Happening.WOULD_PRICE: "would be priced above 1",
}
_HEADER = ("what", "by budget", "calls", "share", "callers", "share", "first", "most")
_LEFT = frozenset({0, 1, 6, 7})


def lines_of(replayed: Replayed) -> Iterator[str]:
    """What a replay found, line by line."""
    if replayed.interrupted:
        yield "interrupted: this is what was found by then"
    yield from _played(replayed.policy, replayed)
    if replayed.against is not None and replayed.difference is not None:
        yield ""
        yield from _played(replayed.against, None)
        yield ""
        yield f"{replayed.against.policy}, compared with {replayed.policy.policy}:"
        yield from _difference(replayed.difference)
    yield from _passed_over(replayed)


def _played(played: Played, replayed: Replayed | None) -> Iterator[str]:
    when = ""
    if replayed is not None and replayed.first:
        when = f", {moment(replayed.first)} to {moment(replayed.last)}"
    yield f"{played.policy}: {_of(played.calls, 'call')} of {_of(played.callers, 'caller')}{when}"
    yield (
        f"disturbed: {_part(played.disturbed, played.calls, 'call')} of"
        f" {_part(played.callers_disturbed, played.callers, 'caller')}"
    )
    if played.unlimited:
        yield f"no budget applies to {_of(played.unlimited, 'call')}"
    rows = [row for total in played.totals for row in _rows(total, played.budgets)]
    if rows:
        yield ""
        yield from _table(_HEADER, rows)
    if any(count.what is Happening.WOULD_REFUSE for count in played.totals):
        yield ""
        yield "would be: what a budget in shadow would do if it alone were enforced"
    for name, reason in played.not_replayed.items():
        yield f"not replayed: {name} ({reason})"
    for caveat in played.caveats:
        yield f"note: {caveat}"
    if played.differed:
        whole = played.agreed + played.differed
        yield f"the log itself decided {_part(played.differed, whole, 'call')} otherwise"


def _rows(total: Count, budgets: Iterable[Count]) -> Iterator[tuple[str, ...]]:
    parts = [count for count in budgets if count.what is total.what]
    yield _row(_WORDS[total.what], "" if len(parts) > 1 else parts[0].budget, total)
    if len(parts) > 1:
        yield from (_row("", part.budget, part) for part in parts)


def _row(what: str, budget: str, count: Count) -> tuple[str, ...]:
    return (
        what,
        budget or "any",
        f"{count.calls:,}",
        _percent(count.share),
        f"{count.callers:,}",
        _percent(count.callers_share),
        moment(count.first),
        _named(count.most),
    )


def _difference(difference: Difference) -> Iterator[str]:
    found = False
    for name in difference.__struct_fields__:
        changed: Changed = getattr(difference, name)
        if not changed.calls:
            continue
        found = True
        by = ", ".join(f"{budget} {calls:,}" for budget, calls in changed.budgets.items())
        yield (
            f"{name.replace('_', ' ')}: {_of(changed.calls, 'call')} of"
            f" {_of(changed.callers, 'caller')}, from {moment(changed.first)}"
        )
        yield f"  by {by}; most: {_named(changed.most)}" if by else f"  {_named(changed.most)}"
    if not found:
        yield "no call is treated otherwise"


def _passed_over(replayed: Replayed) -> Iterator[str]:
    if replayed.malformed:
        yield f"{_of(replayed.malformed, 'line')} passed over:"
        yield from (f"  {each.file}:{each.line}: {each.problem}" for each in replayed.problems)
        if (more := replayed.malformed - len(replayed.problems)) > 0:
            yield f"  and {more:,} more"
    if replayed.late:
        yield (
            f"{_of(replayed.late, 'record')} passed over that came too late to be put in order:"
            " sort the log by `at`, or hold back more with --window"
        )


def _table(header: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (
            cell.ljust(width) if index in _LEFT else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(cells).rstrip()


def _named(most: Sequence[CallerCount]) -> str:
    return ", ".join(f"{each.identity[:SHOWN]} ({each.calls:,})" for each in most[:NAMED])


def _of(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _part(part: int, whole: int, word: str) -> str:
    return f"{_of(part, word)} ({_percent(100 * part / whole if whole else 0)})"


def _percent(share: float) -> str:
    return f"{share:.3g} %"
