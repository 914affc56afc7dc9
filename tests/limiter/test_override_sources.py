"""Overrides that are read while the server runs."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from querybudget.admin import LocalAdmin
from querybudget.errors import SetupError
from querybudget.limiter import Limiter, override_sources
from querybudget.limiter.override_feed import NEVER
from querybudget.overrides import Effect, Override
from querybudget.policy.override_words import read_overrides
from querybudget.stores import MemoryStore
from querybudget.testing.clock import ManualClock
from querybudget.testing.limiter import memory_limiter

CHAT = "/v1/chat/completions"
TABLE: list[Any] = []


def listed() -> list[Any]:
    if TABLE == ["fail"]:
        raise OSError("no database")
    return TABLE


async def awaited() -> list[Any]:
    return listed()


def limiter_of(*overrides: dict[str, Any]) -> Limiter:
    return memory_limiter(
        {
            "secret": "0123456789abcdef",
            "identity": ["user"],
            "budgets": [{"name": "own", "limit": "2 requests/minute"}],
            "overrides": list(overrides),
        }
    )


def moved(limiter: Limiter, seconds: float) -> None:
    assert isinstance(limiter.clock, ManualClock)
    limiter.clock.advance(seconds)


async def admitted(limiter: Limiter, user: str = "ada") -> int:
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [], "user": user}
    return sum([(await limiter.admit(scope)).refusal is None for _ in range(9)])


def unwatched(path: Path) -> Limiter:
    """Return a limiter with a file of overrides at which nobody looks but the test."""
    limiter = limiter_of({"from": str(path)})
    limiter.feed.due = NEVER
    return limiter


async def test_overrides_of_the_policy_apply_from_the_first_call() -> None:
    limiter = limiter_of({"user": "ada", "factor": 2}, {"user": "bob", "block": True})
    assert await admitted(limiter) == 4
    assert await admitted(limiter, "bob") == 0


async def test_a_file_is_read_again_when_it_has_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "more.csv"
    path.write_text("user,factor\nada,2\n")
    limiter = unwatched(path)
    assert await admitted(limiter) == 4
    path.write_text("user,factor\nada,2\nbob,3\n")
    await limiter.feed.refresh()
    assert await admitted(limiter, "bob") == 6
    path.write_text("user,factor\nada,many and more\n")
    for _ in range(2):
        await limiter.feed.refresh()
    moved(limiter, 60)
    assert await admitted(limiter, "bob") == 6
    assert caplog.text.count("the last ones stay") == 1
    path.unlink()
    await limiter.feed.refresh()
    moved(limiter, 60)
    assert await admitted(limiter, "bob") == 6


async def test_a_file_that_is_still_being_read_is_not_taken_for_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "more.csv"
    path.write_text("user,factor\nada,2\n")
    limiter = unwatched(path)
    path.write_text("user,factor\nada,2\nbob,3\n")
    begun, proceed = threading.Event(), threading.Event()

    def waits(*arguments: Any) -> Any:
        if not begun.is_set():
            begun.set()
            proceed.wait()
        return read_overrides(*arguments)

    monkeypatch.setattr(override_sources, "read_overrides", waits)
    first = asyncio.create_task(limiter.feed.refresh())
    await asyncio.to_thread(begun.wait)
    await limiter.feed.refresh()
    proceed.set()
    assert await admitted(limiter, "bob") == 6
    await first


async def test_a_file_that_is_written_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "more.csv"
    path.write_text("user,factor\nada,2\nbob,3\n")
    limiter = unwatched(path)
    path.write_text("user,factor\nada,2\n")

    def written(*arguments: Any) -> Any:
        found = read_overrides(*arguments)
        path.write_text("user,factor\nada,2\nbob,4\n")
        return found

    monkeypatch.setattr(override_sources, "read_overrides", written)
    await limiter.feed.refresh()
    monkeypatch.undo()
    assert await admitted(limiter, "bob") == 6
    await limiter.feed.refresh()
    moved(limiter, 60)
    assert await admitted(limiter, "bob") == 8


@pytest.mark.parametrize("function", ["listed", "awaited"])
async def test_a_function_is_called_now_and_then_and_its_failure_keeps_the_last(
    function: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "overrides_of_a_test", sys.modules[__name__])
    TABLE[:] = [{"user": "ada", "factor": 2}]
    limiter = limiter_of({"callable": f"overrides_of_a_test:{function}", "refresh": "30s"})
    await limiter.start()
    assert await admitted(limiter) == 4
    key = limiter.caller_for({"type": "http", "user": "bob"}).identity.key
    TABLE[:] = [Override("1", key, effect=Effect.BLOCK)]
    await limiter.feed.refresh()
    assert await admitted(limiter, "bob") == 2
    moved(limiter, 30)
    await limiter.feed.refresh()
    assert await admitted(limiter, "bob") == 0
    TABLE[:] = ["fail"]
    moved(limiter, 30)
    await limiter.feed.refresh()
    assert await admitted(limiter, "bob") == 0
    assert "OSError" in caplog.text
    assert "no database" not in caplog.text
    await limiter.aclose()


def test_a_function_that_is_not_there_is_found_when_the_limiter_is_made() -> None:
    with pytest.raises(SetupError, match="there is no nowhere:f"):
        limiter_of({"callable": "nowhere:f"})


async def test_a_limiter_that_was_started_looks_for_overrides_before_its_first_call() -> None:
    clock = ManualClock()
    store = MemoryStore(clock)
    policy = limiter_of().policy
    async with (
        Limiter(policy, store=store, clock=clock) as here,
        Limiter(policy, store=store, clock=clock) as there,
    ):
        key = here.caller_for({"type": "http", "user": "ada", "headers": []}).identity.key
        await LocalAdmin(here).change(Override("", key, effect=Effect.BLOCK), "block")
        assert there.feed._timer is not None
        there.feed._ring()
        assert there.feed._task is not None
        await there.feed._task
        assert await admitted(there) == 0


async def test_calls_wake_the_timer_and_closing_stops_it() -> None:
    limiter = limiter_of({"user": "bob", "factor": 2})
    assert await admitted(limiter) == 2
    assert limiter.feed.due > limiter.clock()
    assert limiter.feed._timer is not None
    limiter.feed._timer.cancel()
    limiter.feed._ring()
    moved(limiter, 9)
    assert await admitted(limiter) == 0
    await limiter.aclose()
    assert limiter.feed._timer is None
