"""The traffic log has each call, as it was decided and charged, in few and small files."""

from __future__ import annotations

import logging
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from querybudget.asgi import QueryBudgetMiddleware
from querybudget.policy.outputs import Rotation
from querybudget.testing import FakeModel, ManualClock, drive, http_scope, memory_limiter, request
from querybudget.traffic import Problem, TrafficLog, TrafficRecord, read
from querybudget.traffic import line_writer as writer_module
from querybudget.traffic.log_files import files_of, prune
from querybudget.units import SECOND

pytestmark = pytest.mark.anyio

RULES: dict[str, Any] = {
    "identity": ["api_key"],
    "partitions": {"org": {"claim": "org.id"}},
    "budgets": [
        {"name": "rpm", "limit": "2/minute"},
        {"name": "tokens", "limit": "9k tokens/day", "per": ["org"]},
    ],
}
PROMPT = "the launch code is 0000"
CHAT = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}


def records(path: Path) -> list[TrafficRecord]:
    items = list(read(path))
    assert not [item for item in items if isinstance(item, Problem)]
    return [item for item in items if isinstance(item, TrafficRecord)]


async def serve(log: TrafficLog, calls: int = 3, **headers: str) -> list[Any]:
    app = QueryBudgetMiddleware(FakeModel(), limiter=memory_limiter(RULES, hooks=[log]))
    scope = http_scope("/v1/chat/completions", key="sk-secret", headers=headers)
    return [await drive(app, scope, request(CHAT)) for _ in range(calls)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
async def test_each_call_is_one_line_that_reads_back_whatever_the_compression(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "new" / f"traffic.jsonl{suffix}"
    log = TrafficLog(path)
    answers = await serve(log)
    await log.aclose()
    first, _, refused = records(path)
    assert [a.status for a in answers] == [200, 200, 429]
    assert (first.model, first.verdict, first.settlement, first.status) == (
        "m", "admit", "done", 200
    )  # fmt: skip
    assert first.charged == {"rpm": 1_000_000, "tokens": 15_000_000}
    assert first.partitions["org"].startswith("org:none:")
    assert first.input_bytes == len(PROMPT)
    assert (refused.verdict, refused.violated, refused.charged) == ("wait", ("rpm",), {})
    assert refused.request_id == answers[2].headers["x-request-id"]
    assert first.request_id == answers[0].headers["x-request-id"]


async def test_neither_keys_nor_prompts_are_written_unless_prompts_are_asked_for(
    tmp_path: Path,
) -> None:
    for prompts in (False, True):
        path = tmp_path / f"{prompts}.jsonl"
        log = TrafficLog(path, prompts=prompts)
        await serve(log, 1)
        log.close()
        (file,) = files_of(path)
        assert b"sk-secret" not in file.read_bytes()
        assert (b"launch code" in file.read_bytes()) is prompts
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == (0 if prompts else 0o040)


async def test_a_flushed_log_is_read_while_it_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl.gz"
    log = TrafficLog(path)
    await serve(log, 2)
    log.flush()
    first, second, end = read(path)
    assert isinstance(first, TrafficRecord)
    assert isinstance(second, TrafficRecord)
    assert isinstance(end, Problem)
    assert "is being written" in end.message
    log.close()
    assert len(records(path)) == 2


async def test_files_are_rotated_by_size_and_by_time_and_the_oldest_are_deleted(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "traffic.jsonl", ManualClock()
    log = TrafficLog(path, rotate=Rotation(size=1, every=10 * SECOND, keep=3), clock=clock)
    for _ in range(5):
        await serve(log, 1)
        log.flush()
        clock.advance(1)
    assert len(files_of(path)) == 3
    log.close()
    timed = TrafficLog(tmp_path / "t.jsonl", rotate=Rotation(every=10 * SECOND), clock=clock)
    for seconds in (0, 9, 2, 3):
        clock.advance(seconds)
        await serve(timed, 1)
        timed.flush()
    timed.close()
    assert len(files_of(tmp_path / "t.jsonl")) == 2


async def test_a_file_that_another_process_writes_is_not_deleted_as_the_oldest(
    tmp_path: Path,
) -> None:
    path, clock = tmp_path / "traffic.jsonl", ManualClock()
    rotate = Rotation(size=1, keep=1)
    other = TrafficLog(path, clock=clock)
    await serve(other, 1)
    other.flush()
    (held,) = files_of(path)
    clock.advance(1)
    log = TrafficLog(path, rotate=rotate, clock=clock)
    for _ in range(3):
        await serve(log, 1)
        log.flush()
        clock.advance(1)
    assert held in files_of(path)
    other.close()
    await serve(log, 1)
    log.close()
    assert held not in files_of(path)


async def test_a_disk_that_fails_loses_records_and_no_calls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    log = TrafficLog(blocked / "traffic.jsonl")
    assert [a.status for a in await serve(log, 2)] == [200, 200]
    log.close()
    assert log.dropped == 2
    (line,) = [r.getMessage() for r in caplog.records if "has lost" in r.getMessage()]
    assert line.endswith("(FileExistsError)")


async def test_a_disk_that_is_too_slow_drops_lines_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer_module, "MOST_BYTES", 1_000)
    caplog.set_level(logging.WARNING)
    log = TrafficLog(tmp_path / "traffic.jsonl")
    with log._writer._changed:  # the thread waits, as for a disk
        for _ in range(20):
            log._writer.put(b"x" * 99 + b"\n")
    log.close()
    assert log.dropped == 10
    assert "has lost 10 records" in caplog.text


def _written_by_a_process(path: str, key: str) -> None:
    log = TrafficLog(path)
    record = f'{{"at":1,"identity":"{key}"}}\n'.encode()
    for _ in range(500):
        log._writer.put(record)
    log.close()


def test_several_processes_lose_no_line_and_mix_none(tmp_path: Path) -> None:
    path = tmp_path / "traffic.jsonl.gz"
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_written_by_a_process, args=(str(path), str(n))) for n in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = [record.identity for record in records(path)]
    assert sorted(found) == ["0"] * 500 + ["1"] * 500
    assert len(files_of(path)) == 2


async def test_a_log_of_which_there_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no traffic log"):
        read(tmp_path / "traffic.jsonl")


def test_a_planted_pipe_does_not_stop_the_log(tmp_path: Path) -> None:
    pipe = tmp_path / "traffic-20200101T000000.000000Z-1.jsonl"
    os.mkfifo(pipe)
    prune(tmp_path / "traffic.jsonl", 0)
    assert not pipe.exists()


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    link = tmp_path / "traffic-20200101T000000.000000Z-1.jsonl"
    link.symlink_to(kept)
    prune(tmp_path / "traffic.jsonl", 0)
    assert kept.exists()
