"""Servers' own APIs, forms and their answers are read in linear time, whatever is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Dialect, Target
from querybudget.adapters.native_answer import native_meter
from querybudget.adapters.reading import degrade_call, read_call
from tests.growth.instructions import instructions

SHORT = 2_000
ALLOWANCE = 3_000
FORM = [(b"content-type", b"multipart/form-data; boundary=b")]


def filled(before: bytes, unit: bytes, after: bytes) -> Callable[[int], bytes]:
    return lambda size: before + unit * (size // len(unit)) + after


BODIES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "messages": ("/api/chat", filled(b'{"messages":[', b'{"role":"user","content":"a"},', b"{}]}")),
    "answers of a model": (
        "/api/chat",
        filled(b'{"messages":[', b'{"role":"assistant"},', b'{"role":"user","content":"a"}]}'),
    ),
    "parts": (
        "/v1beta/models/m:generateContent",
        filled(b'{"contents":[{"parts":[', b'{"text":"a"},', b'{"text":"b"}]}]}'),
    ),
    "settings": (
        "/generate",
        filled(b'{"text":"a","sampling_params":[', b'{"n":2,"max_new_tokens":9000},', b"{}]}"),
    ),
    "documents": ("/rerank", filled(b'{"query":"a","documents":[', b'"a",', b'"b"]}')),
    "spellings": (
        "/api/chat",
        lambda size: b"{" + b"".join(b'"k%d":1,' % n for n in range(size // 10)) + b'"model":"m"}',
    ),
    "one member many times": ("/api/chat", filled(b"{", b'"model":"m",', b'"model":"n"}')),
    "names in texts": ("/api/chat", filled(b'{"a":"', rb"\":", b'"}')),
    "white space after quotes": ("/api/chat", filled(b'{"a":[', b'"" ,', b'""]}')),
    "depth": ("/predict", lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    "a form of boundaries": (
        "/v1/images/edits",
        filled(b"--b\r\n\r\n\r\n", b"\n--b\r\n", b"\n--b--"),
    ),
    "a form of almost boundaries": ("/v1/images/edits", filled(b"--b\r\n\r\n", b"\n--", b"")),
    "a form of names": ("/v1/images/edits", filled(b"--b\r\n", b'name="', b"\r\n\r\n")),
}


@pytest.mark.parametrize("name", BODIES)
def test_four_times_the_body_takes_at_most_four_times_the_instructions(name: str) -> None:
    path, make = BODIES[name]
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    target = Target(path, "", FORM if "form" in name else ())
    counts: list[int] = []
    for size in (SHORT, 4 * SHORT):
        body = make(size)
        read = instructions(read_call, adapter, target, body)
        counts.append(read + instructions(degrade_call, adapter, target, body))
    assert counts[1] <= 4.5 * counts[0] + ALLOWANCE


ANSWERS = {
    "ids": b'data: {"meta_info":{"id":"%d","completion_tokens":1}}\n\n',
    "lines": b'{"index":%d,"tokens_evaluated":1,"tokens_predicted":1,"content":"a"}\n',
    "words": b'data: {"token":{"text":"word %d"}}\n\n',
}


@pytest.mark.parametrize("name", ANSWERS)
def test_four_times_the_answer_takes_at_most_four_times_the_instructions(name: str) -> None:
    def feed(count: int) -> None:
        meter = native_meter(Call(Dialect.PROBLEM, "generate"), "")
        for number in range(count):
            meter.feed(ANSWERS[name] % number)
        meter.usage()

    counts = [instructions(feed, 30), instructions(feed, 120)]
    assert counts[1] <= 4.5 * counts[0] + ALLOWANCE


@pytest.mark.parametrize(
    "path", ["/models/", "/v2/models/a/versions/", "/a:", "/threads/", "{model}"]
)
def test_a_path_is_looked_up_in_linear_time(path: str) -> None:
    for end in ("infer", "runs", ":generateContent", "generateContent", "x"):
        counts = [instructions(adapter_for, path * size + end, "POST", ()) for size in (50, 200)]
        assert counts[1] <= 4.5 * counts[0] + ALLOWANCE
