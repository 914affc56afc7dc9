"""What is no log, or no call, ends the reading with what it is; and costs no more than its size."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from querybudget.errors import SetupError
from querybudget.traffic import Problem, TrafficRecord, log_lines, read
from querybudget.traffic.recognising import FORMATS

SUMS = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": 1_767_225_600,
            "end_time": 1_767_312_000,
            "results": [{"input_tokens": 8, "output_tokens": 3, "num_model_requests": 5}],
        }
    ],
}
DAYS = [{"startTime": "2026-01-01", "spend": 1, "users": {"a": 1}, "models": {"m": 1}}]
BATCH = {"custom_id": "1", "method": "POST", "url": "/v1/completions", "body": {"model": "m"}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"one\ntwo\n", "lines of text in no known format"),
        (b'{"a": 1}\n{"a": 2}\n', "JSON without the members"),
        (b'{"at": "\x80"}\n', "JSON without the members"),
        (b"a;b;c;d\n1;2;3;4\n", "a table without columns for the time"),
        (json.dumps(SUMS).encode(), "sums over many calls"),
        (json.dumps(SUMS, indent=1).encode(), "sums over many calls"),
        (json.dumps(DAYS).encode(), "sums over many calls"),
        (b"start_time,model,num_model_requests\n2026-01-01,m,5\n", "sums over many calls"),
        (json.dumps(BATCH).encode() + b"\n", "lines as openai has them, with no time"),
        (b'INFO:     1.2.3.4:5 - "POST /v1/completions HTTP/1.1" 200 OK\n', "asctime"),
    ],
)
def test_a_file_of_no_known_format_is_named_with_the_formats_that_are(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=says) as error:
        list(read(path))
    assert str(path) in str(error.value)
    assert all(name in str(error.value) for name in (*FORMATS, "--format"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"SQLite format 3\x00", "SQLite"),
        ('{"at": 1}\n'.encode("utf-16-le"), "without its byte order mark"),
        (gzip.compress(b"PAR1\x15\x04", mtime=0), "Parquet"),
    ],
)
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(SetupError, match=says):
        list(read(path))


def test_nothing_of_a_file_that_is_no_log_is_in_the_error(tmp_path: Path) -> None:
    for text in ("sk-secret\n", '{"sk-secret": "sk-secret"}\n', "sk-secret;b;c;d;e\n"):
        path = tmp_path / "log"
        path.write_text(text)
        with pytest.raises(SetupError) as error:
            list(read(path))
        assert "sk-secret" not in str(error.value)


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_a_servers_log_without_its_calls_says_how_to_have_them(tmp_path: Path, name: Any) -> None:
    lines = {
        "vllm": "INFO 01-01 00:00:00 [api_server.py:1] started\n",
        "sglang": "[2026-01-01 00:00:00 TP0] Decode batch. #running-req: 1\n",
    }
    path = tmp_path / "log"
    path.write_text(lines[name] * 3)
    for chosen in (name, None):
        (problem,) = read(path, chosen)
        assert isinstance(problem, Problem)
        assert "log-requests" in problem.message


def test_a_log_begins_after_what_a_server_says_as_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("starting\n" * 300 + '{"at": 1}\n' * 2)
    found = list(read(path))
    assert [isinstance(one, TrafficRecord) for one in found[-2:]] == [True, True]


def test_a_bomb_of_emptiness_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "MOST_EMPTY", 1_000)
    path = tmp_path / "log"
    path.write_bytes(b"\n" * 2_000)
    with pytest.raises(SetupError, match="empty lines"):
        list(read(path))


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_what_unpacks_to_far_more_than_its_size_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(log_lines, "SMALL", 1 << 20)
    plain = b'{"at": 1}' + b" " * (8 << 20)
    path = tmp_path / "log"
    if kind == "gz":
        path.write_bytes(gzip.compress(plain))
    else:
        path.write_bytes(pytest.importorskip("zstandard").compress(plain))
    with pytest.raises(SetupError, match="unpacks to more than 500 times"):
        list(read(path))
