"""From text to unit vectors, and from vectors to bucket numbers.

numpy is imported when a policy needs it, not before.
"""

from __future__ import annotations

from querybudget.embedding.base import Embedder, unit_vectors
from querybudget.errors import SetupError
from querybudget.policy.model import Embedding
from querybudget.units import SECOND

__all__ = ["Embedder", "open_embedder", "unit_vectors"]


def open_embedder(spec: Embedding, dimensions: int) -> Embedder:
    """Return the embedder that a policy names. It connects and starts threads on first use.

    Args:
        spec: The policy's embedding.
        dimensions: Length of the vectors that its codebook takes.

    Raises:
        SetupError: An extra is missing, or there is no such kind, model or function.
    """
    timeout = spec.timeout / SECOND
    match spec.kind:
        case "static":
            from querybudget.embedding.static import StaticEmbedder  # noqa: PLC0415 - numpy

            return StaticEmbedder.load()
        case "remote":
            from querybudget.embedding.remote import RemoteEmbedder  # noqa: PLC0415 - httpx

            return RemoteEmbedder(
                spec.url,
                model=spec.model,
                dimensions=dimensions,
                shorten=bool(spec.dimensions),
                api_key=spec.api_key,
                timeout=timeout,
            )
        case "model2vec":
            from querybudget.embedding.local import model2vec  # noqa: PLC0415 - numpy

            return model2vec(spec.target, timeout=timeout)
        case "callable":
            from querybudget.embedding.local import from_target  # noqa: PLC0415 - numpy

            return from_target(spec.target, dimensions=dimensions, timeout=timeout)
        case kind:
            raise SetupError(
                f"expected the embedding static, remote, model2vec or callable, found {kind!r}"
            )
