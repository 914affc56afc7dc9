"""Which paths ask a model, how each is read, and what becomes of the others."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from msgspec import Struct

from querybudget.policy.fields import Words, doc, required

Server = Literal[
    "vllm",
    "sglang",
    "litellm",
    "litserve",
    "bentoml",
    "llama_cpp",
    "ollama",
    "tgi",
    "openai",
    "anthropic",
    "gemini",
]
"""The model servers whose routes ship, each in a file of `querybudget.policy.servers`."""

Reader = Literal[
    "any",
    "batch_file",
    "chat",
    "chat_batch",
    "cohere_chat",
    "complete",
    "completions",
    "converse",
    "converse_stream",
    "count_tokens",
    "embed",
    "embeddings",
    "gemini",
    "gemini_batch",
    "gemini_embed_batch",
    "gemini_count",
    "gemini_embed",
    "gemini_stream",
    "generate",
    "images",
    "interactions",
    "llama_cpp",
    "mcp",
    "message_batch",
    "messages",
    "moderations",
    "ollama_chat",
    "ollama_embed",
    "ollama_generate",
    "rerank",
    "responses",
    "runs",
    "score",
    "sglang",
    "speech",
    "tgi",
    "tgi_stream",
    "tokenize",
    "transcription",
    "videos",
]
"""The dialects that a route can name: `querybudget.adapters.readers` has an adapter for each."""


class Unknown(enum.StrEnum):
    """What becomes of a request with a body on a path that no adapter reads."""

    COUNT = "count"
    """It counts as one request, and as no tokens."""
    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105 - a word of the policy
    """It goes to the application uncounted."""


class GenericRoute(Struct, frozen=True):
    """A model route, read as a known dialect or by JSON pointers (RFC 6901)."""

    path: Annotated[
        str, doc("Pattern over the path; `{model}` stands for the model's name."), required()
    ] = ""
    read: Annotated[Reader, doc("The dialect that the path speaks; without it, pointers.")] | (
        None
    ) = None
    operation: Annotated[
        str, doc("Its name in matches, events and reports; with `read`, that of the dialect.")
    ] = "generic"
    model: Annotated[str, doc("Pointer to the model's name in the request.")] = ""
    prompt: Annotated[
        Words, doc("Pointers to prompt text; an array of strings is many items.")
    ] = ()
    max_output: Annotated[str, doc("Pointer to the request's bound on output tokens.")] = ""
    stream: Annotated[str, doc("Pointer to the flag that asks for a stream.")] = ""
    choices: Annotated[str, doc("Pointer to the number of answers asked for.")] = ""
    input_usage: Annotated[str, doc("Pointer to the prompt tokens used, in the answer.")] = ""
    output_usage: Annotated[str, doc("Pointer to the output tokens used, in the answer.")] = ""
    text: Annotated[str, doc("Pointer to generated text, in the answer or each event.")] = ""
