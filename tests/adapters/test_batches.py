"""Each request of a batch counts as the call that it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from querybudget.adapters.anthropic import Messages
from querybudget.adapters.base import UNREADABLE, Call, Dialect, Target
from querybudget.adapters.batches import FEW_REQUESTS, Batch, Upload
from querybudget.adapters.openai import ChatCompletions, Embeddings
from querybudget.adapters.reading import read_call
from querybudget.errors import BodyError

BATCHES, FILES = "/v1/messages/batches", "/v1/files"
CHAT = "/v1/chat/completions"
BATCH = Batch(Messages())
UPLOAD = Upload({CHAT: ChatCompletions(), "/v1/embeddings": Embeddings()}, ChatCompletions())


def params(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def batch(*requests: dict[str, Any]) -> Call:
    entries = [{"custom_id": str(n), "params": one} for n, one in enumerate(requests)]
    return read_call(BATCH, Target(BATCHES), json.dumps({"requests": entries}).encode())


def line(body: dict[str, Any], url: str = CHAT) -> bytes:
    return json.dumps({"custom_id": "1", "method": "POST", "url": url, "body": body}).encode()


def upload(*lines: bytes, purpose: bytes = b"batch") -> Call:
    file = b"\n".join(lines)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n' + purpose + b"\r\n"
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
        + file
        + b"\r\n--x--\r\n"
    )
    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    return read_call(UPLOAD, Target(FILES, headers=headers), body)


def test_each_request_of_a_batch_is_a_prompt_with_its_size_and_its_bound() -> None:
    call = batch(params("abc", max_tokens=10), params("de", max_tokens=30))
    assert (call.operation, call.dialect) == ("messages", Dialect.ANTHROPIC)
    assert (call.items, call.input_bytes, call.max_output) == (2, 5, 20)
    assert [one.text for one in call.segments] == ["abc", "de"]
    assert call.background


def test_a_batch_names_every_model_of_its_requests() -> None:
    call = batch(params("a", model="cheap"), params("b", model="dear"))
    assert (call.model, call.other_models) == ("cheap", ("dear",))


def test_a_request_of_a_batch_that_cannot_be_read_makes_it_one_of_any_kind() -> None:
    call = batch(params("a"), {"model": "m"})
    assert (call.operation, call.items) == (UNREADABLE, 2)


@pytest.mark.parametrize("body", [b"{}", b'{"requests": []}', b'{"requests": [1]}'])
def test_a_batch_without_requests_cannot_be_read(body: bytes) -> None:
    with pytest.raises(BodyError):
        BATCH.parse(Target(BATCHES), body)


def test_each_request_of_a_degraded_batch_asks_for_less() -> None:
    body = json.dumps({"requests": [{"params": params("a", max_tokens=9_000)}]}).encode()
    less = json.loads(BATCH.degrade(body))
    assert less["requests"][0]["params"]["max_tokens"] == 512
    assert BATCH.degrade(b'{"requests": 1}') == b'{"requests": 1}'


def test_each_line_of_an_uploaded_file_is_a_request() -> None:
    call = upload(line(params("abc", n=2)), b"", line(params("de")))
    assert (call.operation, call.items, call.input_bytes) == ("chat", 3, 5)


def test_a_line_counts_in_any_spelling() -> None:
    spelt = line(params("abc")).replace(b'"body"', b'"Body"').replace(b'"content"', b'"Content"')
    assert upload(spelt).input_bytes == 3


def test_lines_of_several_operations_count_on_every_budget() -> None:
    embedding = line({"input": ["a", "b"]}, "/v1/embeddings")
    call = upload(line(params("abc")), embedding)
    assert (call.operation, call.items) == (UNREADABLE, 3)


def test_a_line_that_cannot_be_read_counts_by_its_size() -> None:
    call = upload(b"\xff\xfe not JSON")
    assert (call.operation, call.input_tokens) == (UNREADABLE, len(b"\xff\xfe not JSON"))


def test_a_file_that_holds_no_requests_asks_no_model() -> None:
    call = upload(b"some notes", purpose=b"assistants")
    assert (call.operation, call.generates, call.input_bytes) == ("other", False, 0)


def test_a_file_that_holds_requests_counts_whatever_it_is_sent_for() -> None:
    assert upload(line(params("abc")), purpose=b"assistants").items == 1


def test_a_batch_of_more_requests_than_have_a_prompt_counts_by_its_size() -> None:
    usual, tiny = line(params("hi")), b'{"body":{}}'
    assert upload(*[usual] * (FEW_REQUESTS + 1)).operation == "chat"
    assert upload(*[tiny] * (FEW_REQUESTS + 1)).operation == UNREADABLE
    requests = b'{"requests":[' + b",".join([b'{"params":{}}'] * (FEW_REQUESTS + 1)) + b"]}"
    assert read_call(BATCH, Target(BATCHES), requests).operation == UNREADABLE
