"""transformers serve: it has no place for a middleware, so what builds its application is wrapped.

python examples/servers/transformers_app.py
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.cli.serve import Serve
from transformers.cli.serving import server

from querybudget import QueryBudgetMiddleware

POLICY = str(Path(__file__).resolve().with_name("transformers.yaml"))
TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}"


def tiny_model(folder: str) -> None:
    """Save a random model of 64 words."""
    words = {name: number for number, name in enumerate(["<unk>", "<eos>", "hello"])}
    words |= {f"word{number}": number for number in range(len(words), 64)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<eos>",
        chat_template=TEMPLATE,
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2048,
        eos_token_id=None,  # so that it says as many words as it is asked for
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


build_server = server.build_server


def build_with_budgets(*arguments: Any, **more: Any) -> Any:
    app = build_server(*arguments, **more)
    app.add_middleware(QueryBudgetMiddleware, policy=POLICY)
    return app


if __name__ == "__main__":
    server.build_server = build_with_budgets
    # Requests must name the model as `force_model` does: by a folder's path, here of one word.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        tiny_model("tern")
        port = int(os.environ.get("PORT", "8000"))
        Serve(force_model="tern", device="cpu", host="127.0.0.1", port=port)
