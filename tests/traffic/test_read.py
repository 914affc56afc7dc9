"""The logs that people have are read: recognised, in constant memory, and without names."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from querybudget.adapters.base import Usage
from querybudget.errors import SetupError
from querybudget.identity import KeyedHash
from querybudget.traffic import Problem, TrafficRecord, log_lines, read
from querybudget.units import SECOND

AT = 1_767_225_600 * SECOND
SECRET = b"0123456789abcdef"

OPENAI = {
    "timestamp": "2026-01-01T00:00:00Z",
    "request": {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 9,
        "user": "alice",
    },
    "response": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "usage": {"prompt_tokens": 8, "completion_tokens": 3},
    },
}
BATCH = {
    "custom_id": "one",
    "response": {
        "status_code": 200,
        "body": {
            "object": "chat.completion",
            "created": 1_767_225_600,
            "model": "gpt-4o",
            "usage": {"prompt_tokens": 8, "completion_tokens": 3},
        },
    },
}
SPEND: dict[str, Any] = {
    "request_id": "chatcmpl-1",
    "call_type": "acompletion",
    "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
    "spend": 0.001,
    "prompt_tokens": 8,
    "completion_tokens": 3,
    "startTime": "2026-01-01T00:00:00+00:00",
    "endTime": "2026-01-01T00:00:02.500000+00:00",
    "model": "gpt-4o",
    "team_id": "red",
    "status": "success",
}
NGINX = (
    '10.0.0.1 - alice [01/Jan/2026:01:00:00 +0100] "POST /v1/chat/completions?x=1 HTTP/1.1" 200 512'
    ' "-" "curl/8" rt=2.5 id=ab12 model=gpt-4o in=8 out=3'
)
UVICORN = (
    '2026-01-01 00:00:00,000 INFO:     10.0.0.1:50000 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
)
VLLM = (
    "INFO 01-01 00:00:00 [logger.py:39] Received request chatcmpl-1: prompt: 'hello', params:"
    " SamplingParams(n=2, temperature=0.7, max_tokens=9), prompt_token_ids: [1, 2, 3], lora: None."
)
SHORT = (
    "INFO 01-01 00:00:00 [logger.py:41] Received request chatcmpl-1: params:"
    " SamplingParams(n=2, max_tokens=9), lora_request: None."
)


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n")
    return path


def records(path: Path | str, **settings: Any) -> list[TrafficRecord]:
    found = list(read(path, secret=SECRET, **settings))
    assert [item for item in found if isinstance(item, Problem)] == []
    return [item for item in found if isinstance(item, TrafficRecord)]


@pytest.mark.parametrize(
    ("line", "kind", "name"),
    [
        (OPENAI, "user", "alice"),
        (SPEND, "api_key", SPEND["api_key"]),
        (NGINX, "user", "alice"),
        (UVICORN, "client_address", "10.0.0.1"),
    ],
    ids=["openai", "litellm", "nginx", "uvicorn"],
)
def test_a_log_is_recognised_and_its_callers_are_hashed(
    tmp_path: Path, line: object, kind: str, name: str
) -> None:
    (record,) = records(write(tmp_path / "log", line))
    assert record.at == AT
    assert record.path == "/v1/chat/completions"
    assert record.identity == KeyedHash(SECRET)(kind, name)
    assert name.encode() not in str(record).encode()


@pytest.mark.parametrize("line", [OPENAI, BATCH, SPEND, NGINX])
def test_what_a_call_used_is_read(tmp_path: Path, line: object) -> None:
    (record,) = records(write(tmp_path / "log", line))
    assert record.usage == Usage(8, output=3)
    assert record.model == "gpt-4o"


def test_what_a_request_asks_is_read_and_its_prompt_only_if_it_is_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "log", OPENAI)
    (record,) = records(path)
    assert (record.max_output, record.input_bytes, record.texts) == (9, 5, ())
    (record,) = records(path, prompts=True)
    assert [one.text for one in record.texts] == ["hello"]


def test_a_line_of_vllm_says_what_was_asked(tmp_path: Path) -> None:
    (record,) = records(write(tmp_path / "log", VLLM), year=2026)
    assert record.at == AT
    assert (record.choices, record.max_output, record.input_tokens) == (2, 9, 3)
    assert record.texts == ()


def test_spend_logs_are_read_as_rows_of_a_table_and_as_one_array(tmp_path: Path) -> None:
    header, row = ",".join(SPEND), ",".join(map(str, SPEND.values()))
    (of_table,) = records(write(tmp_path / "log.csv", header, row))
    tricky = {**SPEND, "model": 'a"]}\\'}
    array = tmp_path / "log.json"
    array.write_text(json.dumps([SPEND, tricky], indent=1))
    of_array, escaped = records(array)
    assert of_table == of_array
    assert of_array.duration == 2.5 * SECOND
    assert escaped.model == 'a"]}\\'


def test_an_array_is_read_however_its_pieces_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from querybudget.traffic import json_items  # noqa: PLC0415

    array = tmp_path / "log.json"
    array.write_text(json.dumps([{**SPEND, "model": 'm\\"'}] * 3))
    for size in (1, 2, 3, 7):
        monkeypatch.setattr(json_items, "_PIECE", size)
        assert [one.model for one in records(array)] == ['m\\"'] * 3


def test_a_bad_line_is_reported_by_its_number_and_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "LONGEST", 1_000)
    path = write(tmp_path / "log", OPENAI, "{", "x" * 2_000, "", OPENAI)
    found = list(read(path))
    assert [isinstance(item, Problem) for item in found] == [False, True, True, False]
    assert [item.line for item in found if isinstance(item, Problem)] == [2, 3]
    assert str(found[2]).startswith(f"{path}:3: longer than")


def test_nothing_of_a_bad_line_is_in_its_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "log", {"at": "sk-secret", "model": "sk-secret"}, "sk-secret {")
    assert "sk-secret" not in str(list(read(path, "querybudget")))


def test_a_log_is_read_from_standard_input_compressed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = io.BytesIO(gzip.compress(f"{NGINX}\n".encode()) * 2)
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": io.BufferedReader(packed)}))
    assert len(records("-")) == 2


def test_a_format_is_taken_as_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "log", NGINX)
    assert isinstance(next(read(path, "openai")), Problem)
    with pytest.raises(SetupError, match="expected a format of querybudget, litellm"):
        read(path, "apache")  # type: ignore[arg-type]


def test_a_line_without_a_time_says_how_to_get_one(tmp_path: Path) -> None:
    path = write(tmp_path / "log", UVICORN.partition("INFO:")[2])
    (problem,) = read(path, "uvicorn")
    assert isinstance(problem, Problem)
    assert "asctime" in problem.message


def test_newer_lines_of_vllm_are_read_among_all_that_it_logs(tmp_path: Path) -> None:
    begin = "(APIServer pid=7) INFO 11-18 11:06:40 [logger.py:63]"
    other = [f"{begin} starting {number}" for number in range(60)]
    call = f"{begin} Received request chatcmpl-1: params: SamplingParams(n=1, max_tokens=9), lora"
    access = 'INFO:     10.1.2.3:5 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
    strange = f"{begin} Received request chatcmpl-2, said differently"
    found = list(read(write(tmp_path / "log", *other, call, access, strange), year=2026))
    assert [item.max_output for item in found if isinstance(item, TrafficRecord)] == [9]
    assert [item.line for item in found if isinstance(item, Problem)] == [63]


@pytest.mark.parametrize("name", ["litellm", "openai", "querybudget", None])
@pytest.mark.parametrize(
    "line",
    [
        '{"startTime": 1%s, "spend": 1}' % ("0" * 400),
        '{"timestamp": 1767225600, "latency_ms": 1e308, "request": {"model": "m", "prompt": ""}}',
        '{"timestamp": 1767225600, "latency_ms": 1%s, "request": {"model": "m", "prompt": ""}}'
        % ("0" * 400),
    ],
)
def test_no_number_ends_the_reading_of_a_log(tmp_path: Path, name: Any, line: str) -> None:
    file = tmp_path / "log"
    file.write_text(f"{line}\n")
    try:
        (found,) = read(file, name)
    except SetupError:
        assert name is None
    else:
        assert isinstance(found, Problem)


@pytest.mark.parametrize(
    "line",
    [SHORT, f"\x1b[36m(APIServer pid=1)\x1b[0;0m {SHORT}"],
)
def test_a_line_of_vllm_is_read_without_its_prompt_and_with_colours(
    tmp_path: Path, line: str
) -> None:
    (record,) = records(write(tmp_path / "log", line), year=2026)
    assert (record.at, record.choices, record.max_output) == (AT, 2, 9)


def test_a_line_of_uvicorn_is_read_with_its_colours(tmp_path: Path) -> None:
    line = UVICORN.replace("INFO", "\x1b[32mINFO\x1b[0m").replace('"', '"\x1b[1m', 1)
    coloured = records(
        write(tmp_path / "coloured", line.replace("200 OK", "\x1b[32m200 OK\x1b[0m"))
    )
    assert coloured == records(write(tmp_path / "plain", UVICORN))


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": -1},
        {"at": 10**18},
        {"items": 0},
        {"choices": -1},
        {"duration": -1},
        {"max_output": -1},
        {"usage": {"input": -1}},
        {"usage": {"input": 1, "cached_input": 2}},
    ],
)
def test_figures_that_no_call_has_are_a_bad_line(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = write(tmp_path / "log", {"at": AT, **wrong}, {"at": AT})
    problem, record = read(path)
    assert isinstance(problem, Problem)
    assert isinstance(record, TrafficRecord)


@pytest.mark.parametrize("item", ["7", "null", '"a text"'])
def test_items_of_an_array_that_are_no_objects_are_not_dropped_unsaid(
    tmp_path: Path, item: str
) -> None:
    array = tmp_path / "log.json"
    array.write_text(f"[{json.dumps(SPEND)}, {item},\n {json.dumps(SPEND)}]")
    found = list(read(array))
    assert [isinstance(each, Problem) for each in found] == [False, False, True]


def test_a_zstd_log_that_ends_early_is_read_as_far_as_it_goes_and_says_so(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    packed = zstandard.compress(b'{"at": 1}\n') * 2
    path = tmp_path / "log.zst"
    path.write_bytes(packed)
    assert len(records(path)) == 2
    path.write_bytes(packed + packed[:-4])
    assert "ends early" in str(list(read(path))[-1])
    path.write_bytes(packed[:4] + b"no zstd")
    assert "cannot be read on" in str(list(read(path))[-1])


def test_what_is_compressed_and_ends_early_anywhere_is_said(tmp_path: Path) -> None:
    array = gzip.compress(json.dumps([{**SPEND, "request_id": n} for n in range(50)]).encode())
    path = tmp_path / "log.gz"
    for end in (2, 9, 12, len(array) - 20, len(array) - 4):
        path.write_bytes(array[:end])
        assert "ends early" in str(list(read(path))[-1])
