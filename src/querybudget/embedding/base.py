"""What all embedders have in common: their protocol, and a check of what they return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from querybudget.errors import EmbeddingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def name(self) -> str:
        """Name and version of the embedding; a codebook is made for one name and checks it."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def suspends(self) -> bool:
        """Whether `embed` may wait. False means that it returns without suspending."""
        ...

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return one unit vector per text, float32 of shape (texts, dimensions).

        The vector of an empty text is zero.

        Raises:
            EmbeddingError: The vectors are not available now.
        """
        ...

    async def aclose(self) -> None:
        """Close connections and stop threads. Closing twice does nothing."""
        ...


def unit_vectors(values: Any, count: int, dimensions: int, source: str) -> NDArray[np.float32]:  # noqa: ANN401 - what a server or a foreign function returned, of any type until checked here
    """Return an embedder's output scaled to unit length, float32 of shape (count, dimensions).

    Args:
        values: Anything numpy can make an array of.
        count: Number of texts.
        dimensions: Length of a vector.
        source: What returned `values`, for the error.

    Raises:
        EmbeddingError: The shape is different, or some values are not finite numbers.
    """
    import numpy as np  # noqa: PLC0415 - few policies need it

    try:
        with np.errstate(all="ignore"):
            vectors = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EmbeddingError(
            f"expected {count} vectors of {dimensions} numbers from {source},"
            f" found a {type(values).__name__} that is no array of numbers"
        ) from error
    if vectors.shape != (count, dimensions):
        raise EmbeddingError(
            f"expected vectors of shape {(count, dimensions)} from {source}, found {vectors.shape}"
        )
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not np.isfinite(lengths).all():
        raise EmbeddingError(f"expected finite numbers from {source}, found infinity or NaN")
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1)[:, None], np.float32)
