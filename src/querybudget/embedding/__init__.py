"""From text to unit vectors, and from vectors to bucket numbers.

Everything here that touches numpy is imported where a policy asks for it, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from querybudget.errors import SetupError
from querybudget.policy.model import Embedding
from querybudget.units import SECOND

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder", "open_embedder"]


class Embedder(Protocol):
    """Turns texts into unit vectors.

    Attributes:
        name: Of the embedding and its version: a codebook is made for one name and knows it.
        dimensions: Length of a vector.
        suspends: Whether `embed` may wait for something. One that does not is never cached around.
    """

    @property
    def name(self) -> str:
        """Name and version."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def suspends(self) -> bool:
        """Whether `embed` may wait for something."""
        ...

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """One unit vector for each text, float32 of shape (texts, dimensions); zeros for no text.

        Raises:
            EmbeddingError: The vectors cannot be had now.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections and threads. Closing twice does nothing."""
        ...


def open_embedder(spec: Embedding, dimensions: int) -> Embedder:
    """The embedder that a policy names; connections and threads are made when it is first used.

    Args:
        spec: As the policy has it.
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
