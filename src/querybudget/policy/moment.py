"""Points in time as a policy writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from querybudget.notation import brief
from querybudget.policy.diagnostics import Path, Problems
from querybudget.units import SECOND


def moment(text: str | None, path: Path, problems: Problems, *, zoned: bool = False) -> int:
    """Return a time as µs since the epoch; 0 if it is None.

    Args:
        text: The time.
        path: Where it is written.
        problems: Where to note what is wrong with it.
        zoned: Whether it has to say its time zone; otherwise it is in UTC unless it does.
    """
    if text is None:
        return 0
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        problems.add(path, f"expected a time such as `2026-12-31T18:00Z`, found {brief(text)}")
        return 0
    if found.tzinfo is None:
        if zoned:
            example = f"{found:%Y-%m-%dT%H:%M}Z"
            problems.add(
                path, f"expected a time with its zone such as `{example}`, found {brief(text)}"
            )
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp()) * SECOND
