"""Which requests ask a model something, by path and method."""

from __future__ import annotations

import pytest

from querybudget.adapters import adapter_for
from querybudget.adapters.anthropic import CountTokens, Messages
from querybudget.adapters.base import Target
from querybudget.adapters.generic import Generic
from querybudget.adapters.openai import ChatCompletions, Completions, Embeddings, Responses
from querybudget.policy.model import GenericRoute


@pytest.mark.parametrize(
    ("path", "adapter"),
    [
        ("/v1/chat/completions", ChatCompletions),
        ("/chat/completions", ChatCompletions),
        ("/v1/chat/completions/", ChatCompletions),
        ("/openai/deployments/x/chat/completions", ChatCompletions),
        ("/v1/completions", Completions),
        ("/engines/x/completions", Completions),
        ("/tenant/v1/embeddings", Embeddings),
        ("/v1/responses", Responses),
        ("/responses", Responses),
        ("/openai/responses", Responses),
        ("/v1/messages", Messages),
        ("/anthropic/v1/messages", Messages),
        ("/v1/messages/count_tokens", CountTokens),
    ],
)
def test_a_known_dialect_is_found_by_the_end_of_its_path(path: str, adapter: type) -> None:
    assert isinstance(adapter_for(path, "POST", ()), adapter)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/health",
        "/v1/models",
        "/v1/threads/t1/messages",
        "/messages",
        "/surveys/5/responses",
        "/v1/responses/resp_1/cancel",
        "/v1/autocompletions",
        "/V1/CHAT/COMPLETIONS",
    ],
)
def test_other_paths_ask_no_model(path: str) -> None:
    assert adapter_for(path, "POST", ()) is None


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "CONNECT", "WEBSOCKET"]
)
def test_a_method_without_a_body_asks_no_model(method: str) -> None:
    assert adapter_for("/v1/chat/completions", method, (GenericRoute(path="*"),)) is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "QUERY", "REPORT", "BREW"])
def test_every_method_that_may_carry_a_body_asks_a_model(method: str) -> None:
    for path in ("/v1/chat/completions", "/generate", "/mine"):
        assert adapter_for(path, method, (GenericRoute(path="/mine"),)) is not None


def test_routes_of_the_policy_go_first_in_their_order() -> None:
    routes = (
        GenericRoute(path="/v1/chat/*", operation="mine"),
        GenericRoute(path="*", operation="other"),
    )
    for path, operation in (("/v1/chat/completions", "mine"), ("/v1/completions", "other")):
        adapter = adapter_for(path, "POST", routes)
        assert isinstance(adapter, Generic)
        assert adapter.parse(Target(path), b"{}").operation == operation


def test_the_same_request_is_read_by_an_equal_adapter_every_time() -> None:
    assert adapter_for("/v1/messages", "POST", ()) is adapter_for("/v1/messages", "POST", ())
