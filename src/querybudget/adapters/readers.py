"""The names by which a policy's routes, and servers' presets, ask for an adapter: `read: chat`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from querybudget.adapters.anthropic import CountTokens, Messages
from querybudget.adapters.apis import (
    ANY,
    CHAT_BATCH,
    COHERE_CHAT,
    COMPLETE,
    CONVERSE,
    EMBED,
    GEMINI,
    IMAGES,
    INTERACTIONS,
    LLAMA_CPP,
    MODERATION,
    OLLAMA_CHAT,
    OLLAMA_GENERATE,
    RANK,
    RUN,
    SCORE,
    SGLANG,
    SPEECH,
    TGI,
    TRANSCRIPTION,
    VIDEO,
    VLLM_GENERATE,
)
from querybudget.adapters.base import Adapter, Dialect
from querybudget.adapters.batch_results import read_batch
from querybudget.adapters.batches import Batch, Upload
from querybudget.adapters.forms import Form
from querybudget.adapters.mcp import Mcp
from querybudget.adapters.native import Api, Native
from querybudget.adapters.openai import ChatCompletions, Completions, Embeddings, Responses
from querybudget.adapters.shapes import ByMember, Nested, Uncounted


def _streamed(api: Api) -> Native:
    return Native(replace(api, stream="always"))


_CHAT, _COMPLETIONS, _EMBEDDINGS = ChatCompletions(), Completions(), Embeddings()
_BY_MEMBER = ByMember(
    {
        "messages": _CHAT,
        "prompt": _COMPLETIONS,
        "inputs": Native(TGI),
        "text": Native(SGLANG),
        "inputids": Native(SGLANG),
        "contents": Native(GEMINI),
    },
    otherwise=Native(ANY),
)
_GENERATE = ByMember(
    {
        "inputs": Native(TGI),
        "text": Native(SGLANG),
        "inputids": Native(SGLANG),
        "prompt": Native(VLLM_GENERATE),
    },
    otherwise=Native(ANY),
)

_RESPONSES, _MESSAGES = Responses(), Messages()
_UPLOAD = Upload(
    {
        "/chat/completions": _CHAT,
        "/completions": _COMPLETIONS,
        "/embeddings": _EMBEDDINGS,
        "/responses": _RESPONSES,
        "/messages": _MESSAGES,
    },
    otherwise=_BY_MEMBER,
)

READERS: Mapping[str, Adapter] = {
    "any": _BY_MEMBER,
    "batch_file": _UPLOAD,
    "chat": _CHAT,
    "chat_batch": Native(CHAT_BATCH),
    "cohere_chat": Native(COHERE_CHAT),
    "complete": Native(COMPLETE),
    "completions": _COMPLETIONS,
    "converse": Native(CONVERSE),
    "converse_stream": _streamed(CONVERSE),
    "count_tokens": CountTokens(),
    "embed": Native(EMBED),
    "embeddings": _EMBEDDINGS,
    "gemini": Native(GEMINI),
    "gemini_batch": Nested(
        Batch(Native(GEMINI), inner="request"), "batch", "inputconfig", "requests"
    ),
    "gemini_embed_batch": Nested(
        Batch(Native(replace(EMBED, dialect=Dialect.GEMINI)), inner="request"),
        "batch",
        "inputconfig",
        "requests",
    ),
    "gemini_stream": _streamed(GEMINI),
    "generate": _GENERATE,
    "images": Form(Native(IMAGES)),
    "interactions": Native(INTERACTIONS),
    "llama_cpp": Native(LLAMA_CPP),
    "mcp": Mcp(),
    "message_batch": Batch(_MESSAGES, results=read_batch),
    "messages": _MESSAGES,
    "moderations": Native(MODERATION),
    "ollama_chat": Native(OLLAMA_CHAT),
    "ollama_generate": Native(OLLAMA_GENERATE),
    "rerank": Native(RANK),
    "responses": _RESPONSES,
    "runs": Native(RUN),
    "score": Native(SCORE),
    "sglang": Native(SGLANG),
    "speech": Native(SPEECH),
    "tgi": Native(TGI),
    "tgi_stream": _streamed(TGI),
    "tokenize": Uncounted("count_tokens", Dialect.PROBLEM),
    "gemini_count": Uncounted("count_tokens", Dialect.GEMINI),
    "ollama_embed": Native(replace(EMBED, dialect=Dialect.OLLAMA)),
    "gemini_embed": Native(replace(EMBED, dialect=Dialect.GEMINI)),
    "transcription": Form(Native(TRANSCRIPTION), sound=True),
    "videos": Form(Native(VIDEO)),
}
