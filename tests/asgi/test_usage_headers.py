"""What a server reports only in the headers of an answer is charged as it says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from querybudget.asgi.types import Receive, Scope, Send
from querybudget.testing import drive, http_scope, request
from tests.asgi.conftest import MakeEdge

POLICY = {
    "budgets": [
        {"name": "input", "limit": "100_000 input_tokens/day"},
        {"name": "output", "limit": "100_000 output_tokens/day"},
    ]
}
TGI = [(b"x-prompt-tokens", b"11"), (b"X-Generated-Tokens", b"20")]
TEI = [(b"x-compute-type", b"gpu"), (b"x-compute-tokens", b"11")]
BEDROCK = [
    (b"x-amzn-bedrock-input-token-count", b"11"),
    (b"x-amzn-bedrock-output-token-count", b"20"),
    (b"x-amzn-bedrock-cache-read-input-token-count", b"100"),
]
INPUTS = {"inputs": "What is deep learning?"}
CALLS: dict[str, Any] = {
    "tgi": ("/generate", INPUTS, {"generated_text": "Deep."}, TGI, (11, 20)),
    "tei": ("/embed", INPUTS, [[0.1, 0.2]], TEI, (11, 0)),
    "bedrock": ("/model/m/invoke", {"prompt": "Hi"}, {"outputs": []}, BEDROCK, (111, 20)),
    "no figure": ("/embed", INPUTS, [[0.1]], [(b"x-compute-tokens", b"many")], (6, 0)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("server", CALLS)
async def test_a_call_is_charged_what_the_headers_of_its_answer_report(
    make_edge: MakeEdge, server: str
) -> None:
    path, body, answer, headers, used = CALLS[server]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        kind = (b"content-type", b"application/json")
        start = {"type": "http.response.start", "status": 200, "headers": [kind, *headers]}
        await send(start)
        await send({"type": "http.response.body", "body": msgspec.json.encode(answer)})

    edge = make_edge(serve, POLICY)
    driven = await drive(edge.app, http_scope(path, key="a"), request(body))
    assert driven.body == msgspec.json.encode(answer)
    assert headers[0][0].lower() in dict(driven.sent[0]["headers"])
    assert (await edge.used("input"), await edge.used("output")) == used
