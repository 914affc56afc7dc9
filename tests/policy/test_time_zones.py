"""A machine without a database of time zones says what to install."""

from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Iterator

import pytest

from querybudget.errors import PolicyError
from querybudget.policy import Policy


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = zoneinfo.TZPATH
    for name in [name for name in sys.modules if name.partition(".")[0] == "tzdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath(to=before)
    zoneinfo.ZoneInfo.clear_cache()


def policy(zone: str) -> dict[str, object]:
    budget = {"name": "day", "limit": "9/day", "window": "calendar", "timezone": zone}
    return {"version": 1, "budgets": [budget]}


@pytest.mark.usefixtures("no_zones")
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "America/New_York", "Nonsense"])
def test_without_a_zone_database_the_package_to_install_is_named(zone: str) -> None:
    with pytest.raises(PolicyError) as failure:
        Policy.load(policy(zone))
    assert "found none: pip install tzdata" in str(failure.value)
    assert "expected a time zone such as" not in str(failure.value)


@pytest.mark.usefixtures("no_zones")
def test_utc_needs_no_zone_database() -> None:
    Policy.load(policy("UTC"))


def test_an_unknown_zone_is_named_with_the_nearest() -> None:
    with pytest.raises(PolicyError, match=r"found `Europe/Pariss` \(did you mean `Europe/Paris`"):
        Policy.load(policy("Europe/Pariss"))
