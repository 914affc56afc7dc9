"""Dialects of calling a model over HTTP: what a request asks, and what its answer used.

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
_BY_PATH: dict[str, Adapter] = {"/responses": Responses()}


def adapter_for(path: str, method: str, routes: Sequence[GenericRoute]) -> Adapter | None:
    """Return the adapter that reads a request; None if the request does not call a model.

    Only ``POST`` requests call a model. The policy's routes come first, in their order, then the
    known dialects, by the end of the path: ``/chat/completions``, ``/completions`` and
    ``/embeddings`` after any prefix; ``/messages`` only after ``/v1``; ``/responses`` after
    ``/v1``, after ``/openai`` or alone, since other applications use those words too. The result
    depends only on the arguments, so it may be cached.

    Args:
        path: The request's path, without ``root_path``.
        method: The HTTP method, in upper case.
        routes: The policy's generic routes.
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
    return _BY_PATH.get(path)
