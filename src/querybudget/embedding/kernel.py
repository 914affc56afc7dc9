"""The compiled form of the loops over a text's characters, if it was built.

`_kernel.c` returns what the Python forms return, to the bit. They handle the texts that it does
not.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

PURE = "QUERYBUDGET_PURE"
"""Environment variable that, set to anything but 0, chooses the Python forms."""

_MODULE = "querybudget.embedding._kernel"

RAW, FOLDED = 0, 1
"""Whether a text was normalised."""

READABLE, PLAIN = 0, 1
"""What `Lexicon.reads` is asked."""


class Lexicon(Protocol):
    """The words of a vocabulary. Each function returns None if the Python form must take a text."""

    def vector(
        self,
        text: str,
        folded: int,
        rows: NDArray[Any],
        scales: NDArray[Any],
        into: NDArray[Any],
        /,
    ) -> bool | None:
        """Add the vectors of a text's pieces to zeros, and scale the sum to unit length."""
        ...

    def share(self, text: str, folded: int, /) -> float | None:
        """Return what `Reader.share` returns, of a text that was normalised or not."""
        ...

    def reads(self, lower: str, asked: int, /) -> bool:
        """Return whether a text is plain, or only readable, of its lower case."""
        ...

    def unknown(self, lower: str, /) -> list[str]:
        """Return the words that `Reader.unknown` returns, of lower case; some more than once."""
        ...

    def unknown_if_plain(self, lower: str, /) -> list[str] | None:
        """Return the same of a text that is plain, or else None."""
        ...


class Kernel(Protocol):
    """The compiled module."""

    Lexicon: Callable[[Sequence[str], bytes, bytes, bytes], Lexicon]

    def ends(self, text: str, kinds: Any, spread: int, step: int, mix: int, /) -> list[int]:  # noqa: ANN401 - any buffer
        """Return where the chunks of a text end, as `Cutter` cuts them."""
        ...

    def met(  # noqa: PLR0913, PLR0917 - C takes them so
        self,
        text: str,
        folds: bytes,
        kinds: NDArray[Any],
        powers: NDArray[Any],
        inverses: NDArray[Any],
        mix: int,
        recent: NDArray[Any],
        old: NDArray[Any],
        left: int,
        /,
    ) -> tuple[list[tuple[int, int]], int, bool]:
        """Return the stretches sent before, how many words there are, and whether it is dense."""
        ...

    def counted(self, text: str, mark: int, backwards: int, counts: bytearray, /) -> bytes:
        """Count each word but the last with those before it; return how often it was before."""
        ...


def _loaded() -> Kernel | None:
    if os.environ.get(PURE, "0") not in {"", "0"}:
        return None
    try:
        found: Any = import_module(_MODULE)
    except ImportError:
        return None
    kernel: Kernel = found
    return kernel


KERNEL = _loaded()
"""The compiled module; None where the Python forms do everything."""
