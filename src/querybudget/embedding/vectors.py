"""What an embedder gave, checked: as many unit vectors as texts, of the expected length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from querybudget.errors import EmbeddingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["units"]


def units(given: Any, count: int, dimensions: int, who: str) -> NDArray[np.float32]:  # noqa: ANN401 - what a server or a stranger's function gave, of any type until checked here
    """Vectors at unit length, float32 of shape (count, dimensions).

    Args:
        given: Anything numpy can make an array of.
        count: Texts that were asked for.
        dimensions: The codebook's.
        who: Gave it, for the error.

    Raises:
        EmbeddingError: It is of another shape, or not all numbers.
    """
    try:
        with np.errstate(all="ignore"):
            vectors = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise EmbeddingError(
            f"expected {count} vectors of {dimensions} numbers from {who},"
            f" found {type(given).__name__} that is none"
        ) from error
    if vectors.shape != (count, dimensions):
        raise EmbeddingError(
            f"expected vectors of shape {(count, dimensions)} from {who}, found {vectors.shape}"
        )
    with np.errstate(all="ignore"):
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not np.isfinite(lengths).all():
        raise EmbeddingError(f"expected finite numbers from {who}, found infinite or missing ones")
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1)[:, None], np.float32)
