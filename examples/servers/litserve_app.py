"""LitServe: the middleware goes where the server takes its middlewares.

python examples/servers/litserve_app.py
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import litserve as ls
import words

from querybudget import QueryBudgetMiddleware

POLICY = str(Path(__file__).with_name("litserve.yaml"))


class Words(ls.LitAPI):
    """A model, in LitServe's terms."""

    def setup(self, device: str) -> None:
        """Load nothing: it counts."""

    async def decode_request(self, request: Any) -> dict[str, Any]:
        """Return the request as a body."""
        body: dict[str, Any] = request.model_dump()
        return body

    async def predict(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Say one word after the other, and report what it was last."""
        said = 0
        async for word in words.words(body):
            said += 1
            yield {"role": "assistant", "content": word}
        yield {"role": "assistant", "content": "", **words.usage(body, said)}


if __name__ == "__main__":
    server = ls.LitServer(
        Words(spec=ls.OpenAISpec(), enable_async=True),
        accelerator="cpu",
        middlewares=[(QueryBudgetMiddleware, {"policy": POLICY})],
    )
    server.run(
        port=int(os.environ.get("PORT", "8000")),
        num_api_servers=int(os.environ.get("WORKERS", "1")),
        generate_client_file=False,
    )
