from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus

import pytest

from querybudget.adapters.base import Dialect
from querybudget.refusals import (
    Answer,
    body_too_large,
    no_route,
    plain_answer,
    store_down,
    too_many_delayed,
    unpriced,
)

CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


@pytest.mark.parametrize(
    ("make", "status", "openai", "code", "anthropic", "title", "says"),
    [
        (
            lambda d: body_too_large(16_777_216, d),
            413,
            "invalid_request_error",
            "body_too_large",
            "request_too_large",
            HTTPStatus(413).phrase,
            "the limit is 16777216 bytes after decompression",
        ),
        (
            lambda d: plain_answer(400, "body_unreadable", "expected an object, found a list", d),
            400,
            "invalid_request_error",
            "body_unreadable",
            "invalid_request_error",
            "Bad Request",
            "expected an object, found a list",
        ),
        (
            store_down,
            503,
            "server_error",
            "store_unavailable",
            "overloaded_error",
            "Request cannot be satisfied due to temporary server capacity constraints",
            "this request was not processed. Nothing was charged. Please try again in 5s.",
        ),
        (
            lambda d: too_many_delayed(d, wait=4_200_000),
            429,
            "requests",
            "rate_limit_exceeded",
            "rate_limit_error",
            "Too Many Requests",
            "Please try again in 4.2s",
        ),
        (
            lambda d: unpriced("gpt-9", d),
            403,
            "invalid_request_error",
            "model_not_priced",
            "permission_error",
            "Forbidden",
            "The model 'gpt-9' has no price on this server",
        ),
    ],
)
def test_each_error_is_written_in_every_dialect(
    make: Callable[[Dialect], Answer],
    status: int,
    openai: str,
    code: str,
    anthropic: str,
    title: str,
    says: str,
) -> None:
    answers = {dialect: make(dialect) for dialect in Dialect}
    bodies = {dialect: json.loads(found.body) for dialect, found in answers.items()}

    assert {found.status for found in answers.values()} == {status}
    assert bodies[Dialect.OPENAI]["error"] == {
        "message": bodies[Dialect.PROBLEM]["detail"],
        "type": openai,
        "param": None,
        "code": code,
    }
    assert bodies[Dialect.ANTHROPIC]["error"]["type"] == anthropic
    assert bodies[Dialect.PROBLEM]["type"] == (CAPACITY if status == 503 else "about:blank")
    assert bodies[Dialect.PROBLEM]["title"] == title
    assert says in bodies[Dialect.ANTHROPIC]["error"]["message"]


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (too_many_delayed(Dialect.GEMINI, wait=1), "RESOURCE_EXHAUSTED"),
        (store_down(Dialect.GEMINI), "UNAVAILABLE"),
        (unpriced("m", Dialect.GEMINI), "PERMISSION_DENIED"),
        (no_route(Dialect.GEMINI), "NOT_FOUND"),
        (body_too_large(1, Dialect.GEMINI), "INVALID_ARGUMENT"),
    ],
)
def test_gemini_s_clients_find_their_status_in_a_problem_document(
    made: Answer, status: str
) -> None:
    body = json.loads(made.body)
    error = {"code": made.status, "message": body["detail"], "status": status}
    assert (body["error"], body["status"]) == (error, made.status)


def test_ollama_s_clients_find_the_message_as_the_error() -> None:
    body = json.loads(store_down(Dialect.OLLAMA).body)
    assert body["error"] == body["detail"]


def test_mcp_s_clients_find_an_error_of_json_rpc_with_the_problem_as_its_data() -> None:
    made = store_down(Dialect.JSON_RPC)
    body = json.loads(made.body)
    assert (made.status, header(made, b"content-type")) == (503, b"application/json")
    assert (body["jsonrpc"], body["id"], body["error"]["code"]) == ("2.0", None, -32000)
    assert body["error"]["message"] == body["error"]["data"]["detail"]
    assert body["error"]["data"]["status"] == 503


def header(found: Answer, name: bytes) -> bytes | None:
    return dict(found.headers).get(name)


def test_a_store_that_is_down_says_when_to_try_again() -> None:
    assert header(store_down(Dialect.OPENAI), b"retry-after") == b"5"
    assert header(store_down(Dialect.OPENAI, wait=1_200_000), b"retry-after") == b"2"
    assert header(too_many_delayed(Dialect.OPENAI, wait=4_200_000), b"retry-after") == b"5"
    assert header(unpriced("m", Dialect.OPENAI), b"retry-after") is None


def test_a_request_id_goes_where_the_dialect_expects_it() -> None:
    assert header(store_down(Dialect.ANTHROPIC, request_id="req_1"), b"request-id") == b"req_1"
    assert header(store_down(Dialect.OPENAI, request_id="req_1"), b"x-request-id") == b"req_1"
    assert header(store_down(Dialect.OPENAI), b"x-request-id") is None


def test_at_most_one_line_of_the_callers_text_is_repeated() -> None:
    assert len(unpriced("m" * 100_000, Dialect.OPENAI).body) < 1_000


def test_a_request_without_a_model_is_told_so() -> None:
    assert b"A request without a model has no price" in unpriced("", Dialect.OPENAI).body


def test_a_status_without_a_convention_is_a_server_error() -> None:
    found = json.loads(plain_answer(507, "full", "No room.", Dialect.OPENAI).body)

    assert found["error"]["type"] == "server_error"
    assert found["title"] == "Insufficient Storage"
