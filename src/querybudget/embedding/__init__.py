"""From text to unit vectors, and from vectors to bucket numbers.

Everything here that touches numpy is imported where a policy asks for it, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embedder"]


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
