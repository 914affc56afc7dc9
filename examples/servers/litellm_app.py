r"""LiteLLM's proxy: the middleware is added to its application, in a file that a server starts.

CONFIG_FILE_PATH=examples/servers/litellm_config.yaml \
    uvicorn litellm_app:app --app-dir examples/servers --workers 2
"""

from __future__ import annotations

from pathlib import Path

from litellm.proxy.proxy_server import app

from querybudget import QueryBudgetMiddleware

app.add_middleware(QueryBudgetMiddleware, policy=str(Path(__file__).with_name("litellm.yaml")))
