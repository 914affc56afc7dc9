"""Shapes of logs as other programs write them today are read for what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Usage
from querybudget.identity import KeyedHash
from querybudget.traffic import Problem, TrafficRecord, read
from querybudget.units import SECOND

AT = 1_767_225_600 * SECOND
SECRET = b"0123456789abcdef"
PATH = "/v1/chat/completions"

CADDY: dict[str, Any] = {
    "level": "info",
    "ts": 1_767_225_602.5,
    "logger": "http.log.access.log0",
    "msg": "handled request",
    "request": {"remote_ip": "10.0.0.1", "client_ip": "10.0.0.1", "method": "POST", "uri": PATH},
    "bytes_read": 40,
    "user_id": "",
    "duration": 2.5,
    "status": 200,
}
TRAEFIK: dict[str, Any] = {
    "ClientHost": "10.0.0.1",
    "ClientUsername": "-",
    "DownstreamStatus": 200,
    "Duration": 2_500_000_000,
    "RequestContentSize": 40,
    "RequestMethod": "POST",
    "RequestPath": PATH,
    "StartUTC": "2026-01-01T00:00:00.000000000Z",
    "time": "2026-01-01T00:00:02Z",
}
ENVOY: dict[str, Any] = {
    "start_time": "2026-01-01T00:00:00.000Z",
    "method": "POST",
    "x-envoy-origin-path": PATH,
    "response_code": "200",
    "bytes_received": "40",
    "duration": "2500",
    "downstream_remote_address": "10.0.0.1:60922",
}
NGINX: dict[str, Any] = {
    "time_iso8601": "2026-01-01T01:00:02.500+01:00",
    "remote_addr": "10.0.0.1",
    "remote_user": "",
    "request": f"POST {PATH} HTTP/1.1",
    "status": "200",
    "request_length": "40",
    "request_time": "2.500",
}
LANGFUSE: dict[str, Any] = {
    "id": "one",
    "type": "GENERATION",
    "startTime": "2026-01-01T00:00:00.000Z",
    "endTime": "2026-01-01T00:00:02.500Z",
    "model": "gpt-4o",
    "userId": "alice",
    "usageDetails": {"input": 8, "output": 3, "total": 11},
}
HELICONE: dict[str, Any] = {
    "request_id": "one",
    "request_created_at": "2026-01-01T00:00:00+00:00",
    "response_created_at": "2026-01-01T00:00:02.5+00:00",
    "request_user_id": "alice",
    "request_model": "gpt-4o",
    "response_status": 200,
    "prompt_tokens": 8,
    "completion_tokens": 3,
}
CALLBACK: dict[str, Any] = {
    "id": "chatcmpl-1",
    "call_type": "acompletion",
    "response_cost": 0.001,
    "status": "success",
    "prompt_tokens": 8,
    "completion_tokens": 3,
    "startTime": 1_767_225_600.0,
    "endTime": 1_767_225_602.5,
    "model": "gpt-4o",
    "metadata": {"user_api_key_hash": "alice", "user_api_key_team_id": "red"},
    "messages": [{"role": "user", "content": "hello"}],
    "model_parameters": {"max_tokens": 9},
}
SGLANG = (
    "[2026-01-01 00:00:02 TP0] Finish: obj=GenerateReqInput(rid='r', text='a [tokens]',"
    " sampling_params={'temperature': 0.7, 'max_new_tokens': 9}, stream=False), out={'text': 'x',"
    " 'meta_info': {'id': 'r1', 'prompt_tokens': 8, 'completion_tokens': 3, 'cached_tokens': 2,"
    " 'e2e_latency': 2.0}}"
)
SGLANG_JSON: dict[str, Any] = {
    "timestamp": "2026-01-01T00:00:02+00:00",
    "event": "request.finished",
    "rid": "r1",
    "obj": {"sampling_params": {"max_new_tokens": 9}},
    "out": {
        "meta_info": {
            "prompt_tokens": 8,
            "completion_tokens": 3,
            "cached_tokens": 2,
            "e2e_latency": 2.0,
        }
    },
}
VLLM = "INFO {} [logger.py:63] Received request {}: params: {}, lora_request: None."


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def records(path: Path, **settings: Any) -> list[TrafficRecord]:
    found = list(read(path, secret=SECRET, **settings))
    assert [item for item in found if isinstance(item, Problem)] == []
    return [item for item in found if isinstance(item, TrafficRecord)]


@pytest.mark.parametrize(
    "line", [CADDY, TRAEFIK, ENVOY, NGINX], ids=["caddy", "traefik", "envoy", "nginx"]
)
def test_access_logs_as_json_say_who_asked_what_and_when(tmp_path: Path, line: object) -> None:
    (record,) = records(write(tmp_path / "log", line))
    assert (record.at, record.duration) == (AT, 2.5 * SECOND)
    assert (record.method, record.path, record.status) == ("POST", PATH, 200)
    assert record.input_bytes == 40
    assert record.identity == KeyedHash(SECRET)("client_address", "10.0.0.1")


@pytest.mark.parametrize("line", [LANGFUSE, HELICONE], ids=["langfuse", "helicone"])
def test_exports_of_observability_tools_say_what_was_used(tmp_path: Path, line: object) -> None:
    (record,) = records(write(tmp_path / "log", line))
    assert (record.at, record.duration, record.model) == (AT, 2.5 * SECOND, "gpt-4o")
    assert record.usage == Usage(8, output=3)
    assert record.identity == KeyedHash(SECRET)("user", "alice")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_is_read_whatever_separates_its_columns(tmp_path: Path, separator: str) -> None:
    header = separator.join(["Start Time", "User", "Model", "Prompt Tokens", "Completion Tokens"])
    row = separator.join(["2026-01-01 00:00:00", "alice", f'"a{separator}b"', "8", "3"])
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{header}\r\n{row}\r\n".encode())
    (record,) = records(path)
    assert (record.at, record.model, record.usage) == (AT, f"a{separator}b", Usage(8, output=3))


def test_what_callbacks_of_litellm_write_is_read_with_its_prompt_if_it_is_wanted(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "log", CALLBACK)
    (record,) = records(path)
    assert (record.at, record.duration, record.usage) == (AT, 2.5 * SECOND, Usage(8, output=3))
    assert record.identity == KeyedHash(SECRET)("api_key", "alice")
    assert (record.max_output, record.input_bytes, record.texts) == (9, 5, ())
    (record,) = records(path, prompts=True)
    assert [one.text for one in record.texts] == ["hello"]


@pytest.mark.parametrize("line", [SGLANG, SGLANG_JSON], ids=["text", "json"])
def test_a_finished_request_of_sglang_says_what_it_used(tmp_path: Path, line: object) -> None:
    (record,) = records(write(tmp_path / "log", line))
    assert (record.at, record.duration, record.request_id) == (AT, 2 * SECOND, "r1")
    assert (record.max_output, record.usage) == (9, Usage(8, 2, 0, 3))


@pytest.mark.parametrize(
    ("request_id", "params", "operation", "bound"),
    [
        ("chatcmpl-1", "SamplingParams(n=1, stop=[')'], max_tokens=9, min_tokens=0)", "chat", 9),
        ("cmpl-1-0", "SamplingParams(n=1, max_tokens=9)", "completions", 9),
        ("embd-1", "PoolingParams(task='embed', dimensions=None)", "embeddings", None),
        ("resp_1", "SamplingParams(n=1, max_tokens=9)", "responses", 9),
    ],
)
def test_lines_of_vllm_say_what_kind_of_call_it_is(
    tmp_path: Path, request_id: str, params: str, operation: str, bound: int | None
) -> None:
    line = VLLM.format("01-01 00:00:00", request_id, params)
    (record,) = records(write(tmp_path / "log", line), year=2026)
    assert (record.operation, record.max_output) == (operation, bound)


def test_the_year_of_vllms_lines_turns_and_none_of_them_is_to_come(tmp_path: Path) -> None:
    times = ["12-31 23:59:59", "01-01 00:00:00"]
    lines = [VLLM.format(time, "chatcmpl-1", "SamplingParams(n=1)") for time in times]
    path = write(tmp_path / "log", *lines)
    assert [one.at for one in records(path, year=2025)] == [AT - SECOND, AT]
    import os  # noqa: PLC0415

    os.utime(path, (AT / SECOND + 60, AT / SECOND + 60))
    assert [one.at for one in records(path)] == [AT - SECOND, AT]


LISTED = {"data": [CALLBACK, CALLBACK], "total": 2, "page": 1}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(LISTED),
        json.dumps({"page": 1, "note": 'a "data": [', "data": LISTED["data"], "x": [{}]}),
        json.dumps(LISTED, indent=2),
        json.dumps([CALLBACK, CALLBACK], indent=2),
        f"{json.dumps(CALLBACK, indent=2)}\n{json.dumps(CALLBACK, indent=2)}\n",
        "\n".join(json.dumps({"data": [CALLBACK]}) for _ in range(2)),
        f"\n\n{json.dumps(CALLBACK)}\n{json.dumps(CALLBACK)}",
    ],
    ids=["listed", "members", "indented", "array", "objects", "pages", "lines"],
)
def test_json_is_read_however_its_rows_are_wrapped(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from querybudget.traffic import json_items  # noqa: PLC0415

    path = tmp_path / "log.json"
    path.write_text(text)
    for size in (1, 3, 1 << 16):
        monkeypatch.setattr(json_items, "_PIECE", size)
        assert [one.request_id for one in records(path)] == ["chatcmpl-1"] * 2


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_log_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "log"
    path.write_text(json.dumps(CALLBACK) + "\n", encoding=encoding)
    assert len(records(path)) == 1
