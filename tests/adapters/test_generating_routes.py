"""Every path on which a server asks a model, by name: read, or known to be unread.

The lists are of the servers' public routes. A path that is missing here is one that nobody thought
of; one that is listed as unread counts as a request without tokens (`unknown`).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import get_args

import pytest

from querybudget.adapters import adapter_for
from querybudget.policy.routes import Server
from querybudget.policy.servers import DEFAULT, server_file

OPENAI = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/responses/compact",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/videos",
    "/v1/videos/video_1/remix",
    "/v1/videos/edits",
    "/v1/videos/extensions",
    "/v1/files",
    "/v1/threads/runs",
    "/v1/threads/thread_1/runs",
    "/v1/threads/thread_1/runs/run_1/submit_tool_outputs",
)
GEMINI = (
    "/v1beta/models/m:generateContent",
    "/v1beta/models/m:streamGenerateContent",
    "/v1beta/models/m:countTokens",
    "/v1beta/models/m:embedContent",
    "/v1beta/models/m:batchEmbedContents",
    "/v1beta/models/m:batchGenerateContent",
    "/v1beta/models/m:asyncBatchEmbedContent",
    "/v1beta/models/m:generateAnswer",
    "/v1beta/models/m:predict",
    "/v1beta/models/m:predictLongRunning",
    "/v1beta/tunedModels/m:generateContent",
    "/v1beta/tunedModels/m:streamGenerateContent",
    "/v1beta/interactions",
    "/v1beta/openai/chat/completions",
    "/v1beta/openai/embeddings",
    "/v1beta/openai/images/generations",
)
GENERATING: dict[Server, tuple[str, ...]] = {
    "openai": OPENAI,
    "anthropic": (
        "/v1/messages",
        "/v1/messages/batches",
        "/v1/messages/count_tokens",
        "/v1/complete",
    ),
    "gemini": GEMINI,
    "vllm": (
        "/v1/chat/completions",
        "/v1/chat/completions/batch",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/audio/speech",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/systemone",
        "/v1/decisions",
        "/v1/score",
        "/v1/rerank",
        "/v2/rerank",
        "/v2/embed",
        "/cohere/v2/chat",
        "/inference/v1/generate",
        "/generate",
        "/invocations",
        "/generative_scoring",
        "/pooling",
        "/classify",
        "/score",
        "/rerank",
        "/tokenize",
        "/detokenize",
        "/v1/chat/completions/render",
        "/v1/chat/completions/derender",
        "/v1/completions/render",
        "/v1/completions/derender",
    ),
    "sglang": (
        "/generate",
        "/encode",
        "/classify",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/classify",
        "/v1/score",
        "/v1/rerank",
        "/v1/audio/transcriptions",
        "/v1/tokenize",
        "/v1/detokenize",
        "/tokenize",
        "/detokenize",
        "/v1/systemone",
        "/v1/decisions",
        "/vertex_generate",
        "/invocations",
        "/api/chat",
        "/api/generate",
    ),
    "litellm": (
        *(path for path in OPENAI if not path.endswith("compact")),
        *(path.removeprefix("/v1") for path in OPENAI if not path.endswith("compact")),
        "/engines/m/completions",
        "/engines/m/chat/completions",
        "/engines/m/embeddings",
        "/openai/deployments/m/completions",
        "/openai/deployments/m/chat/completions",
        "/openai/deployments/m/embeddings",
        "/openai/deployments/m/images/generations",
        "/openai/v1/responses",
        "/openai/responses",
        "/v1/messages",
        "/v1/messages/batches",
        "/v1/messages/count_tokens",
        "/models/m:generateContent",
        "/models/m:streamGenerateContent",
        "/models/m:countTokens",
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent",
        "/v1beta/interactions",
        "/interactions",
        "/rerank",
        "/v1/rerank",
        "/v2/rerank",
        "/utils/token_counter",
        "/anthropic/v1/messages",
        "/gemini/v1beta/models/m:generateContent",
        "/vertex_ai/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
        "/vertex_ai/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
        "/vertex_ai/v1/projects/p/locations/l/endpoints/e:predict",
        "/bedrock/model/m/converse",
        "/bedrock/model/m/converse-stream",
        "/bedrock/model/m/invoke",
        "/bedrock/model/m/invoke-with-response-stream",
        "/cohere/v1/chat",
        "/cohere/v2/chat",
        "/cohere/v2/embed",
        "/mistral/v1/chat/completions",
        "/vllm/classify",
        "/azure/openai/deployments/m/chat/completions",
        "/openai/v1/chat/completions",
    ),
    "litserve": ("/predict", "/v1/chat/completions", "/v1/embeddings"),
    "bentoml": ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"),
    "llama_cpp": (
        "/completion",
        "/completions",
        "/infill",
        "/v1/completions",
        "/chat/completions",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/embedding",
        "/embeddings",
        "/v1/embeddings",
        "/rerank",
        "/reranking",
        "/v1/rerank",
        "/v1/reranking",
        "/v1/audio/transcriptions",
        "/api/chat",
        "/tokenize",
        "/detokenize",
        "/apply-template",
    ),
    "ollama": (
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/v1/images/generations",
        "/v1/images/edits",
    ),
    "tgi": (
        "/",
        "/generate",
        "/generate_stream",
        "/v1/chat/completions",
        "/v1/completions",
        "/invocations",
        "/vertex",
        "/tokenize",
        "/chat_tokenize",
    ),
}
ANY_SERVER = (
    "/v1/models/m:predict",
    "/v1/models/m:explain",
    "/v2/models/m/infer",
    "/v2/models/m/generate",
    "/v2/models/m/generate_stream",
    "/v2/models/m/versions/1/infer",
)
"""KServe's and Triton's, on every server."""

UNREAD: dict[Server, tuple[str, ...]] = {
    "anthropic": ("/v1/sessions/session_1/events",),
    "vllm": ("/v1/realtime",),
    "sglang": ("/v1/realtime",),
    "litellm": (
        "/v1/batches",
        "/v1/realtime",
        "/v1/fine_tuning/jobs",
        "/v1/vector_stores/vs_1/search",
        "/v1/ocr",
        "/v1/search",
        "/v1/rag/query",
        "/a2a/agent_1/message/send",
    ),
    "openai": (
        "/v1/batches",
        "/v1/uploads",
        "/v1/evals/e/runs",
        "/v1/fine_tuning/jobs",
        "/v1/realtime",
        "/v1/realtime/calls",
        "/v1/realtime/client_secrets",
        "/v1/vector_stores/vs_1/search",
    ),
    "gemini": ("/upload/v1beta/files",),
}
"""Paths that ask models and that no adapter reads."""

NAMED_ALONE = {
    "/",
    "/chat_tokenize",
    "/files",
    "/cohere/v1/chat",
    "/interactions",
    "/utils/token_counter",
    "/v1/decisions",
    "/v1/detokenize",
    "/v1/realtime",
    "/v1/responses/compact",
    "/v1/systemone",
    "/v1/tokenize",
    "/vertex",
    "/videos",
    "/videos/edits",
    "/videos/extensions",
    "/videos/video_1/remix",
    "/vllm/classify",
    "/v1/chat/completions/render",
    "/v1/chat/completions/derender",
    "/v1/completions/render",
    "/v1/completions/derender",
}
"""Paths that are read only where the policy names the server: elsewhere they mean other things."""

PAIRS = [(server, path) for server, paths in GENERATING.items() for path in paths]


def test_every_server_is_listed() -> None:
    assert set(GENERATING) == set(get_args(Server))


@pytest.mark.parametrize(("server", "path"), PAIRS)
def test_a_path_that_asks_a_model_is_read_where_its_server_is_named(
    server: Server, path: str
) -> None:
    for method in ("POST", "PUT"):
        assert adapter_for(path, method, (), (server,)) is not None


@pytest.mark.parametrize("path", sorted({path for _, path in PAIRS} | set(ANY_SERVER)))
def test_it_is_read_without_a_server_too_unless_it_may_mean_something_else(path: str) -> None:
    assert (adapter_for(path, "POST", ()) is not None) == (path not in NAMED_ALONE)


@pytest.mark.parametrize("server", get_args(Server))
def test_the_paths_that_nothing_reads_are_known_and_said(server: Server) -> None:
    said = server_file(server).unread
    for path in UNREAD.get(server, ()):
        assert adapter_for(path, "POST", (), (server,)) is None
        assert any(fnmatchcase(path, pattern) for pattern in said)
    for pattern in said:
        assert any(fnmatchcase(path, pattern) for path in UNREAD[server])


@pytest.mark.parametrize("server", [*get_args(Server), DEFAULT])
def test_no_health_path_is_read_as_a_model_s(server: Server) -> None:
    for path in server_file(server).probes:
        assert adapter_for(path, "GET", (), ()) is None
        assert not set("*?[") & set(path)


@pytest.mark.parametrize("server", get_args(Server))
def test_a_server_brings_no_route_twice_and_says_where_its_keys_are(server: Server) -> None:
    written = server_file(server)
    paths = [route.path for route in written.routes]
    assert len(paths) == len(set(paths))
    assert written.keys
    assert written.streams.endswith(".")
