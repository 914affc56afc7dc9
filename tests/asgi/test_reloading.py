"""A running server loads its policy again, and never one that is wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from querybudget.asgi import health_app, reloading
from querybudget.asgi.reloading import Reloading
from querybudget.limiter import Limiter
from querybudget.policy import load_policy
from querybudget.testing import drive, http_scope
from tests.servers.process import PATIENCE

pytestmark = pytest.mark.anyio

FIRST = "budgets: [{name: requests, limit: 1 requests/minute}]\n"
SECOND = "budgets: [{name: requests, limit: 9 requests/minute}]\n"
WRONG = "budgets: [{name: requests, limit: 9 reqests/minute}]\n"


class Looks:
    """Lets the watch look at the file when a test says so."""

    def __init__(self) -> None:
        self._turn, self._waits = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def pause(self) -> None:
        self._waits.release()
        await self._turn.acquire()

    async def look(self, times: int = 1) -> None:
        """Let it look, and wait until it has."""
        for _ in range(times):
            await self._waits.acquire()
            self._turn.release()
        await self._waits.acquire()
        self._waits.release()


@asynccontextmanager
async def watched(path: Path, text: str = FIRST) -> AsyncIterator[tuple[Limiter, Looks]]:
    path.write_text(text)  # noqa: ASYNC240 - nothing else runs yet
    looks = Looks()
    async with Limiter(load_policy(path)) as limiter:
        watching = Reloading(limiter, looks.pause)
        watching.start()
        try:
            yield limiter, looks
        finally:
            await watching.stop()


def limit(limiter: Limiter) -> int:
    return limiter.policy.budgets[0].quota.limit // 10**6


async def test_a_changed_file_is_loaded_and_usage_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        before = limiter.policy_hash
        assert (await limiter.admit(http_scope(key="a"))).refusal is None
        assert (await limiter.admit(http_scope(key="a"))).refusal is not None
        path.write_text(SECOND)
        await looks.look(2)
        assert limit(limiter) == 9
        admitted = [await limiter.admit(http_scope(key="a")) for _ in range(9)]
        assert [one.refusal is None for one in admitted] == [True] * 8 + [False]
        assert limiter.policy_hash != before
    taken = f"policy.yaml has changed: policy {limiter.policy_hash} takes the place of {before}"
    assert f"{taken}: budget 'requests': limit 1 request in any minute becomes" in caplog.text


async def test_a_file_that_an_editor_replaces_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        path.unlink()
        await looks.look(2)
        (tmp_path / "new").write_text(SECOND)
        (tmp_path / "new").rename(path)
        await looks.look(2)
        assert limit(limiter) == 9


async def test_a_link_that_is_moved_to_another_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(FIRST)
    (tmp_path / "two").write_text(SECOND)
    path = tmp_path / "policy.yaml"
    path.symlink_to("one")
    looks = Looks()
    async with Limiter(load_policy(path)) as limiter:
        watching = Reloading(limiter, looks.pause)
        watching.start()
        (tmp_path / "link").symlink_to("two")
        (tmp_path / "link").rename(path)
        await looks.look(2)
        await watching.stop()
        assert limit(limiter) == 9


async def test_a_file_is_not_loaded_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        path.write_text(SECOND[:20])
        await looks.look()
        path.write_text(SECOND)
        await looks.look()
        assert limit(limiter) == 1
        await looks.look()
        assert limit(limiter) == 9


async def test_a_wrong_file_is_refused_once_with_its_line_and_the_next_is_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        path.write_text(WRONG)
        await looks.look(5)
        assert limit(limiter) == 1
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        assert f"{path}:1" in errors[0].getMessage()
        assert "requests" in errors[0].getMessage()
        path.write_text(SECOND)
        await looks.look(2)
        assert limit(limiter) == 9


async def test_a_wrong_file_that_is_put_back_is_said_to_be_valid_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "querybudget")
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        path.write_text(WRONG)
        await looks.look(2)
        path.write_text(FIRST)
        await looks.look(2)
        last = caplog.records[-1]
        again = f"{path} has changed: the policy is valid again, and as before"
        assert last.getMessage() == f"{again} ({limiter.policy_hash})"
        assert last.levelno == logging.WARNING
        path.write_text(f"{FIRST}# a comment\n")
        await looks.look(2)
        assert caplog.records[-1].levelno == logging.INFO
        assert "the policy is as before" in caplog.records[-1].getMessage()


async def test_what_needs_a_restart_is_said_and_the_old_policy_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        path.write_text(f"max_identities: 50\n{SECOND}")
        await looks.look(2)
        assert limit(limiter) == 1
    assert "the old policy stays: a restart is needed for `max_identities`" in caplog.text


async def test_a_policy_can_say_not_to_watch(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path, "watch: false\n" + FIRST) as (limiter, looks):
        assert looks._waits.locked()
        assert limit(limiter) == 1


async def test_a_policy_of_no_file_is_not_watched() -> None:
    async with Limiter(load_policy({"budgets": [{"name": "n", "limit": "1/minute"}]})) as limiter:
        watching = Reloading(limiter)
        watching.start()
        assert watching._watching is None
        await watching.stop()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no hang-ups here")
async def test_a_hang_up_reloads_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_has_terminal", lambda: True)
    path = tmp_path / "policy.yaml"
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored
    try:
        async with watched(path) as (limiter, _):
            path.write_text(SECOND)
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(PATIENCE):
                while limit(limiter) == 1:  # noqa: ASYNC110 - the signal is the loop's to hear
                    await asyncio.sleep(0)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no hang-ups here")
async def test_a_server_that_uses_hang_ups_itself_keeps_them(tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
    try:
        async with watched(tmp_path / "policy.yaml"):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0)
        assert heard == [signal.SIGHUP]
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_the_health_endpoint_says_which_policy_a_worker_runs(tmp_path: Path) -> None:
    async with watched(tmp_path / "policy.yaml") as (limiter, _):
        driven = await drive(health_app(limiter), http_scope("/", method="GET"))
        assert driven.json["policy"] == limiter.policy_hash


async def test_a_policy_that_is_not_to_be_watched_is_not_watched_from_then_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policy.yaml"
    async with watched(path) as (limiter, looks):
        path.write_text(SECOND + "watch: false\n")
        await looks.look(2)
        assert limit(limiter) == 9
        path.write_text(FIRST)
        await looks.look(3)
        assert limit(limiter) == 9
        await limiter.reload(load_policy(path))  # as the console does
        assert limit(limiter) == 1
        await looks.look(2)
        path.write_text(SECOND)
        await looks.look(2)
        assert limit(limiter) == 9


async def test_a_policy_refused_for_its_overrides_is_tried_again_when_they_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, table = tmp_path / "policy.yaml", tmp_path / "overrides.yaml"
    table.write_text("- {user: ada, limt: 5 requests}\n")
    named = "secret: 0123456789abcdef\nidentity: [user]\n"
    async with watched(path, FIRST + named) as (limiter, looks):
        path.write_text(f"{SECOND}{named}overrides: [{{from: {table}}}]\n")
        await looks.look(2)
        refused = limiter.refused_policies
        await looks.look(4)
        assert (limit(limiter), limiter.refused_policies) == (1, refused)
        table.write_text("- {user: ada, limit: 5 requests}\n")
        await looks.look(2)
        assert f"{table} has changed" in caplog.text
        assert limiter.refused_policies == refused, caplog.text
        assert limit(limiter) == 9
