"""SGLang: a file of your own that adds the middleware and starts the server.

python examples/servers/sglang_app.py --model-path MODEL
"""

from __future__ import annotations

import sys
from pathlib import Path

from sglang.srt.entrypoints.http_server import app, launch_server
from sglang.srt.server_args import prepare_server_args

from querybudget import QueryBudgetMiddleware

# Outside the last `if`: processes of --tokenizer-worker-num import this file, and need it too.
app.add_middleware(QueryBudgetMiddleware, policy=str(Path(__file__).with_name("sglang.yaml")))

if __name__ == "__main__":
    launch_server(prepare_server_args(sys.argv[1:]))
