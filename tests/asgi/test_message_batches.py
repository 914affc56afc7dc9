"""A batch of Anthropic's is charged what its results say, once they are fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from querybudget.asgi.types import Receive, Scope, Send
from querybudget.testing import drive, http_scope, request
from tests.asgi.conftest import Edge, MakeEdge

POLICY = {
    "models": {"m": {"input": 1, "cached_input": 0.1, "output": 10}},
    "budgets": [
        {"name": "tokens", "limit": "1_000_000 tokens/day"},
        {"name": "money", "limit": "$100/day"},
        {"name": "parallel", "limit": "20 concurrent"},
    ],
}
PATH = "/v1/messages/batches"
PARAMS = {"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "x" * 400}]}
BATCH = {"requests": [{"custom_id": str(n), "params": PARAMS} for n in range(3)]}
ESTIMATE = 3 * (100 + 500)
USED = {"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 50}
GOOD = {"type": "succeeded", "message": {"content": [{"text": "y" * 200}], "usage": USED}}
BAD = {"type": "errored", "error": {"type": "error", "error": {"message": "no"}}}


class Server:
    """An API of batches whose results are a line for each request."""

    def __init__(self, *results: dict[str, Any]) -> None:
        lines = [json.dumps({"custom_id": str(n), "result": r}) for n, r in enumerate(results)]
        self.results = "".join(f"{line}\n" for line in lines).encode()
        self.status = "in_progress"
        self.piece = len(self.results)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = dict(scope["headers"])
        batch = {"id": "msgbatch_1", "type": "message_batch", "processing_status": self.status}
        status, content = 200, json.dumps(batch).encode()
        if scope["path"].endswith("/results"):
            content = self.results
            if b"range" in headers:
                status, content = 206, content.partition(b"\n")[0]
        kind = [(b"content-type", b"application/x-jsonl")]
        await send({"type": "http.response.start", "status": status, "headers": kind})
        for at in range(0, len(content), self.piece):
            piece = content[at : at + self.piece]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def create(edge: Edge) -> None:
    await drive(edge.app, http_scope(PATH, key="owner"), request(json.dumps(BATCH).encode()))


async def fetch(edge: Edge, ending: str = "/results", **headers: str) -> bytes:
    path = f"{PATH}/msgbatch_1{ending}"
    scope = http_scope(path, method="GET", key="another", headers=headers)
    return (await drive(edge.app, scope, request())).body


@pytest.mark.anyio
@pytest.mark.parametrize("piece", [10_000, 7])
@pytest.mark.parametrize("results", [[GOOD] * 3, [GOOD, BAD, GOOD], [BAD] * 3, [GOOD]])
async def test_a_batch_is_charged_what_each_of_its_results_used(
    make_edge: MakeEdge, results: list[dict[str, Any]], piece: int
) -> None:
    server = Server(*results)
    server.piece = piece
    edge = make_edge(server, POLICY)
    await create(edge)
    assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 1)
    for server.status in ("in_progress", "ended"):
        await fetch(edge, "")
        assert (await edge.used("tokens"), edge.held) == (ESTIMATE, 1)
    good = results.count(GOOD)
    for _ in range(2):
        assert await fetch(edge) == server.results
        assert (await edge.used("tokens"), edge.held) == (150 * good, 0)
        assert await edge.micro_used("money") == (20 + 8 + 500) * good


@pytest.mark.anyio
async def test_results_that_are_never_fetched_stay_at_the_estimate(make_edge: MakeEdge) -> None:
    edge = make_edge(Server(GOOD), POLICY)
    await create(edge)
    edge.clock.advance(3600)
    assert (await edge.used("tokens"), await edge.used("parallel")) == (ESTIMATE, 0)


@pytest.mark.anyio
async def test_asking_for_a_part_of_the_results_does_not_hide_the_rest(
    make_edge: MakeEdge,
) -> None:
    edge = make_edge(Server(GOOD, GOOD, GOOD), POLICY)
    await create(edge)
    await fetch(edge, range="bytes=0-150")
    assert await edge.used("tokens") == 450
