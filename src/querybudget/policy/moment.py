"""Points in time as a policy writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from querybudget.notation import brief
from querybudget.policy.diagnostics import Path, Problems
from querybudget.units import SECOND


def moment(text: str | None, path: Path, problems: Problems) -> int:
    """Return a time, in UTC unless it says otherwise, as µs since the epoch; 0 if it is None."""
    if text is None:
        return 0
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        problems.add(path, f"expected a time such as `2026-12-31T18:00Z`, found {brief(text)}")
        return 0
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return int(found.timestamp()) * SECOND
