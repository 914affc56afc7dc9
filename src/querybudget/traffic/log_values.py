"""Values in the logs of other programs: times, numbers and texts, however they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from querybudget.traffic.log_reading import NoTimeError
from querybudget.units import SECOND

MOST = 1 << 53
"""No count in a log is larger."""

_MILLISECONDS, _MICROSECONDS = 10**11, 10**14
"""From these numbers on, a time since the epoch is in ms, and in µs."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_COMMA = re.compile(r"(\d),(\d)")


def first(row: Mapping[str, Any], names: Iterable[str]) -> Any:  # noqa: ANN401 - as the log has it
    """Return the first of some members that is there and not empty; None without one."""
    found = (row.get(name) for name in names)
    return next((value for value in found if value is not None and value != ""), None)


def mapping(value: object) -> dict[str, Any]:
    """Return an object of JSON; empty for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def whole(value: object) -> int:
    """Return a count; 0 for what is none."""
    try:
        number = int(float(value)) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0
    return number if 0 <= number <= MOST else 0


def text_of(value: object) -> str:
    """Return a text, or a number as one; empty for anything else."""
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""


def micros_of(value: object) -> int:
    """Return a time as µs since the epoch: from seconds, ms or µs, or from ISO 8601.

    One without a zone is in UTC.

    Raises:
        NoTimeError: It is no time.
    """
    if isinstance(value, str) and value and not value.replace(".", "", 1).isdecimal():
        try:
            moment = datetime.fromisoformat(_COMMA.sub(r"\1.\2", value.strip()))
        except ValueError:
            raise NoTimeError from None
        return _micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    try:
        number = float(value) if isinstance(value, int | float | str) else -1.0
    except ValueError:
        number = -1.0
    if not 0 < number < MOST:
        raise NoTimeError
    if number >= _MICROSECONDS:
        return int(number)
    return int(number * 1_000) if number >= _MILLISECONDS else int(number * SECOND)


def clock_of(text: str, form: str) -> int:
    """Return a time in a form of `strptime` as µs; without a zone it is in UTC.

    Raises:
        ValueError: It has another form.
    """
    moment = datetime.strptime(text, form)  # noqa: DTZ007 - the form may have a zone
    return _micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def seconds_of(text: str) -> int:
    """Return a duration in seconds as µs; 0 for what is none."""
    try:
        return max(0, int(float(text) * SECOND))
    except (ValueError, OverflowError):
        return 0


def without_colours(line: bytes) -> str:
    """Return a line of text without the colours that it has on a terminal."""
    return _COLOURS.sub("", line.decode("utf-8", "replace"))


def _micros(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds
