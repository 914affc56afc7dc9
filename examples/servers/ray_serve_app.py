"""Ray Serve: the application of an ingress has the middleware in each of its replicas.

python examples/servers/ray_serve_app.py
"""

# No `from __future__ import annotations`: Ray copies the class, and FastAPI cannot read its types
# as strings then.
import os
from pathlib import Path
from typing import Any

import ray
import words
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from ray import serve

from querybudget import QueryBudgetMiddleware

app = FastAPI()
# Replicas run in directories of their own, so the path is absolute.
POLICY = str(Path(__file__).resolve().with_name("ray_serve.yaml"))
app.add_middleware(QueryBudgetMiddleware, policy=POLICY)


@serve.deployment(num_replicas=int(os.environ.get("WORKERS", "1")), max_ongoing_requests=100)
@serve.ingress(app)
class Words:
    """A model, in Ray Serve's terms."""

    @app.post("/v1/chat/completions")
    async def chat(self, body: dict[str, Any]) -> Any:
        """Answer in OpenAI's dialect."""
        if body.get("stream"):
            return StreamingResponse(words.chat_events(body), media_type="text/event-stream")
        return await words.chat(body)


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ.get("PORT", "8000"))})
    serve.run(Words.bind(), blocking=True)
