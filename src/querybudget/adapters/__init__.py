"""How models are asked and answer over HTTP: what a request asks, what its answer used.

Nothing here does I/O, knows an identity or reads a clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from querybudget.adapters.anthropic import CountTokens, Messages
from querybudget.adapters.base import Adapter
from querybudget.adapters.generic import Generic
from querybudget.adapters.openai import ChatCompletions, Completions, Embeddings, Responses
from querybudget.policy.model import GenericRoute

__all__ = ["adapter_for"]

_BY_SUFFIX: tuple[tuple[str, Adapter], ...] = (
    ("/chat/completions", ChatCompletions()),
    ("/completions", Completions()),
    ("/embeddings", Embeddings()),
    ("/v1/messages", Messages()),
    ("/v1/messages/count_tokens", CountTokens()),
    ("/v1/responses", Responses()),
    ("/openai/responses", Responses()),
)
_WHOLE: dict[str, Adapter] = {"/responses": Responses()}


def adapter_for(path: str, method: str, routes: Sequence[GenericRoute]) -> Adapter | None:
    """The adapter that reads a request.

    Only ``POST`` asks a model anything. The policy's routes go first, in their order; then the
    known dialects, by how the path ends: ``/chat/completions``, ``/completions`` and
    ``/embeddings`` after any prefix, ``/messages`` only after ``/v1``, and ``/responses`` after
    ``/v1``, after ``/openai`` or alone, since other applications use those words too. The answer
    depends on the arguments alone, so it may be cached.

    Args:
        path: The request's path, ``root_path`` taken off.
        method: The HTTP method, upper case.
        routes: The policy's generic routes.

    Returns:
        The adapter; None for a request that is no call of a model.
    """
    if method != "POST":
        return None
    for route in routes:
        if fnmatchcase(path, route.path):
            return Generic(route)
    path = path.rstrip("/")
    for suffix, adapter in _BY_SUFFIX:
        if path.endswith(suffix):
            return adapter
    return _WHOLE.get(path)
